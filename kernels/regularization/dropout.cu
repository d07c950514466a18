// y = 0 with probability p, else y / (1 - p), in place
//
// Layout: y has n contiguous elements of a floating-point type T; frame is one number.
// Idea:   one call of Philox serves four neighbouring elements, which move as vectors. Nothing is touched where nothing drops.
// Floor:  2 n elements of traffic, 20 n operations; none of either in evaluation.

#include "regularization/noise.cuh"

static_assert(Floating<T>::value, "dropout takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void dropout(T* y, const unsigned int* __restrict__ frame, float p, unsigned int seed, bool training, long long n)
{
    if (training && p > 0.0f) drop(y, y, p, seed, *frame, n);
}
