// y = 0 with probability p, else x / (1 - p)
//
// Layout: x and y have n contiguous elements of a floating-point type T; frame is one number.
// Idea:   the weight of a layer, masked for one frame; otherwise as dropout.
// Floor:  2 n elements of traffic, 20 n operations.

#include "regularization/noise.cuh"

static_assert(Floating<T>::value, "drop_connect takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void drop_connect(const T* __restrict__ x, T* __restrict__ y, const unsigned int* __restrict__ frame, float p, unsigned int seed, bool training, long long n)
{
    drop(x, y, training ? p : 0.0f, seed, *frame, n);
}
