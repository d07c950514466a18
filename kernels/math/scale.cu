// y = x * factor
//
// Layout: x and y have n contiguous elements of a floating-point type T.
// Idea:   memory speed is the limit: elements move as vectors.
// Floor:  2 n elements of traffic, n operations.

#include "elementwise.cuh"

static_assert(Floating<T>::value, "scale takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void scale(const T* __restrict__ x, T* __restrict__ y, float factor, long long n)
{
    elementwise(n, [factor](T v) { return narrow<T>(widen(v) * factor); }, y, x);
}
