// c = a + b * gain
//
// Layout: a, b and c have n contiguous elements of a floating-point type T.
// Idea:   nothing is used twice, so memory speed is the limit: elements move as vectors.
// Floor:  3 n elements of traffic, 2 n operations.

#include "elementwise.cuh"

static_assert(Floating<T>::value, "vector_add takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void vector_add(const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ c, float gain, long long n)
{
    elementwise(n, [gain](T x, T y) { return narrow<T>(widen(x) + widen(y) * gain); }, c, a, b);
}
