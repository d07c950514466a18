// c = operation(a, b)
//
// Layout: a, b and c have n contiguous elements of a number type T; integers wrap around. OPERATION is sum, difference,
//         product, quotient, power, maximum or minimum; or equal, less or greater, whose c is bool.
// Idea:   memory speed is the limit: elements move as vectors.
// Floor:  3 n elements of traffic, n operations.
// Variants: OPERATION=quotient; OPERATION=power; OPERATION=maximum; OPERATION=less Result=bool

#include "elementwise.cuh"
#include "math/operations.cuh"

extern "C" __global__ void binary(const T* __restrict__ a, const T* __restrict__ b, Result* __restrict__ c, long long n)
{
    elementwise(n, [](T x, T y) { return static_cast<Result>(operation(widen(x), widen(y))); }, c, a, b);
}
