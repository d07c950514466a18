// y = x / temperature
//
// Layout: x and y have n contiguous elements of a floating-point type T.
// Idea:   memory speed is the limit: four elements per thread, moved as vectors.
// Floor:  2 n elements of traffic, n divisions.

#include "elementwise.cuh"

static_assert(Floating<T>::value, "temperature takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void temperature(const T* __restrict__ x, T* __restrict__ y, float temperature, long long n)
{
    elementwise(n, [temperature](T v) { return narrow<T>(widen(v) / temperature); }, y, x);
}
