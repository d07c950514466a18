// Activation functions, chosen by the macro ACTIVATION: any activate_NAME below that takes one number. NaN stays NaN.
//
// Float forms avoid what is slow on a GPU (exact division) and what a CPU cannot vectorise (calls).
#pragma once

#include "activation/math.cuh"

#ifndef ACTIVATION
#define ACTIVATION none
#endif

template <class X> __device__ inline X activate_none(X x) { return x; }

template <class X> __device__ inline X activate_relu(X x) { return x < X(0) ? X(0) : x; }

template <class X> __device__ inline X activate_relu6(X x) { return x < X(0) ? X(0) : x > X(6) ? X(6) : x; }

template <class X> __device__ inline X activate_leaky_relu(X x, X slope) { return x < X(0) ? slope * x : x; }
template <class X> __device__ inline X activate_leaky_relu(X x) { return activate_leaky_relu(x, X(0.01)); }

template <class X> __device__ inline X activate_elu(X x, X alpha)
{
    const X below = alpha * exp_minus_one(x > X(0) ? X(0) : x);
    return x > X(0) ? x : below;
}
template <class X> __device__ inline X activate_elu(X x) { return activate_elu(x, X(1)); }

template <class X> __device__ inline X activate_sigmoid(X x) { return quotient(X(1), X(1) + exponential(-x)); }

// x * sigmoid(beta * x)
template <class X> __device__ inline X activate_silu(X x, X beta) { return quotient(x, X(1) + exponential(-beta * x)); }
template <class X> __device__ inline X activate_silu(X x) { return activate_silu(x, X(1)); }
template <class X> __device__ inline X activate_quick_gelu(X x) { return activate_silu(x, X(1.702)); }

template <class X> __device__ inline X activate_tanh(X x) { return hyperbolic_tangent(x); }

// x times the share of a standard normal variable below x: torch's default.
template <class X> __device__ inline X activate_gelu(X x) { return x * normal_share(x); }

// 0.5 x (1 + tanh(u)) = x * sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): GPT-2's, and cuBLASLt's epilogue.
template <class X> __device__ inline X activate_gelu_tanh(X x)
{
    const X u = X(0.7978845608028654) * (x + X(0.044715) * x * x * x);
    return quotient(x, X(1) + exponential(X(-2) * u));
}

// log(1 + exp(beta x)) / beta, and x itself where beta x > threshold.
template <class X> __device__ inline X activate_softplus(X x, X beta, X threshold)
{
    const X z = beta * x;
    const X soft = (z < X(0) ? X(0) : z) + log_one_plus(exponential(-magnitude(z)));
    return z > threshold ? x : quotient(soft, beta);
}
template <class X> __device__ inline X activate_softplus(X x)
{
    const X soft = (x < X(0) ? X(0) : x) + log_one_plus(exponential(-magnitude(x)));
    return x > X(20) ? x : soft;
}

// x * tanh(log(1 + w)) = x (w^2 + 2 w) / (w^2 + 2 w + 2), w = exp(x); above 0, both sides are divided by w^2.
template <class X> __device__ inline X activate_mish(X x)
{
    const X e = exponential(-magnitude(x));
    const X part = x < X(0) ? e * (e + X(2)) : X(1) + X(2) * e;
    return x * quotient(part, part + (x < X(0) ? X(2) : X(2) * e * e));
}

template <class X> __device__ inline X activate_hardsigmoid(X x) { return activate_relu6(x + X(3)) * X(1.0 / 6.0); }
template <class X> __device__ inline X activate_hardswish(X x) { return x * activate_hardsigmoid(x); }

#define CUDAGRAPH_JOIN(a, b) a##b
#define CUDAGRAPH_ACTIVATE(name) CUDAGRAPH_JOIN(activate_, name)
#define activate CUDAGRAPH_ACTIVATE(ACTIVATION)
