// Activation functions, chosen by the macro ACTIVATION: none, relu or gelu.
#pragma once

#include "numeric.cuh"

#ifndef ACTIVATION
#define ACTIVATION none
#endif

template <class X> __device__ inline X activate_none(X x) { return x; }

// NaN stays NaN, as in every framework.
template <class X> __device__ inline X activate_relu(X x) { return x < X(0) ? X(0) : x; }

// The tanh approximation, which is also what cuBLASLt's epilogue computes.
__device__ inline float activate_gelu(float x)
{
    return 0.5f * x * (1.0f + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
}
__device__ inline double activate_gelu(double x)
{
    return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

#define CUDAGRAPH_JOIN(a, b) a##b
#define CUDAGRAPH_ACTIVATE(name) CUDAGRAPH_JOIN(activate_, name)
#define activate CUDAGRAPH_ACTIVATE(ACTIVATION)
