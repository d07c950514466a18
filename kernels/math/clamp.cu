// y = min(max(x, low), high)
//
// Layout: x and y have n contiguous elements of a floating-point type T. NaN stays NaN.
// Idea:   memory speed is the limit: elements move as vectors.
// Floor:  2 n elements of traffic, 2 n operations.

#include "elementwise.cuh"

static_assert(Floating<T>::value, "clamp takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void clamp(const T* __restrict__ x, T* __restrict__ y, float low, float high, long long n)
{
    using Real = Compute<T>::type;
    const Real least = low, most = high;
    const auto between = [least, most](Real v) { return v > most ? most : v < least ? (least > most ? most : least) : v; };
    elementwise(n, [between](T v) { return narrow<T>(between(widen(v))); }, y, x);
}
