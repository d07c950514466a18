// y = x / temperature
//
// Layout: x and y have n contiguous elements of a floating-point type T.
// Idea:   memory speed is the limit: elements move as vectors.
// Floor:  2 n elements of traffic, n products.

#include "elementwise.cuh"

static_assert(Floating<T>::value, "temperature takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void temperature(const T* __restrict__ x, T* __restrict__ y, float temperature, long long n)
{
    const Compute<T>::type factor = Compute<T>::type(1) / temperature;  // because a GPU divides slowly
    elementwise(n, [factor](T v) { return narrow<T>(widen(v) * factor); }, y, x);
}
