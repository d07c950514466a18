// y = activation(x)
//
// Layout: x and y have n contiguous elements of a floating-point type T; ACTIVATION is a name of activation.cuh.
// Idea:   memory speed is the limit: elements move as vectors.
// Floor:  2 n elements of traffic; n (relu) to 30 n (mish) operations.
// Variants: ACTIVATION=silu; ACTIVATION=gelu; ACTIVATION=gelu_tanh; ACTIVATION=mish

#include "elementwise.cuh"
#include "activation/activation.cuh"

static_assert(Floating<T>::value, "activation takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void activation(const T* __restrict__ x, T* __restrict__ y, long long n)
{
    elementwise(n, [](T v) { return narrow<T>(activate(widen(v))); }, y, x);
}
