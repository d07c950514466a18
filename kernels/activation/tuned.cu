// y = activation(x, first) or activation(x, first, second)
//
// Layout: x and y have n contiguous elements of a floating-point type T; ACTIVATION is a name of activation.cuh that takes
//         PARAMETERS numbers besides x, which stay hot.
// Idea:   memory speed is the limit: elements move as vectors.
// Floor:  2 n elements of traffic; n (leaky_relu) to 30 n (softplus) operations.

#include "elementwise.cuh"
#ifndef ACTIVATION
#define ACTIVATION leaky_relu
#define PARAMETERS 1
#endif
#include "activation/activation.cuh"

static_assert(Floating<T>::value, "tuned takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

extern "C" __global__ void tuned(const T* __restrict__ x, T* __restrict__ y, float first, float second, long long n)
{
    const Real a = first, b = second;
#if PARAMETERS == 1
    elementwise(n, [a](T v) { return narrow<T>(activate(widen(v), a)); }, y, x);
#else
    elementwise(n, [a, b](T v) { return narrow<T>(activate(widen(v), a, b)); }, y, x);
#endif
}
