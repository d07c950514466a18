// c = a + b
//
// Layout: a, b and c have n contiguous elements of a number type T; integers wrap around.
// Idea:   memory speed is the limit: four elements per thread, moved as vectors.
// Floor:  3 n elements of traffic, n operations.

#include "elementwise.cuh"

extern "C" __global__ void add(const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ c, long long n)
{
    elementwise(n, [](T x, T y) { return narrow<T>(widen(x) + widen(y)); }, c, a, b);
}
