// Functions of two numbers, chosen by the macro OPERATION. Maximum and minimum of a NaN and a number are NaN, as in torch.
#pragma once

#include "numeric.cuh"

#ifndef OPERATION
#define OPERATION sum
#endif
#ifndef Result
#define Result T
#endif

__device__ inline float power(float x, float y) { return powf(x, y); }
__device__ inline double power(double x, double y) { return pow(x, y); }

template <class X> __device__ inline X operation_sum(X x, X y) { return x + y; }
template <class X> __device__ inline X operation_difference(X x, X y) { return x - y; }
template <class X> __device__ inline X operation_product(X x, X y) { return x * y; }
template <class X> __device__ inline X operation_maximum(X x, X y) { return x != x || x > y ? x : y; }
template <class X> __device__ inline X operation_minimum(X x, X y) { return x != x || x < y ? x : y; }
template <class X> __device__ inline bool operation_equal(X x, X y) { return x == y; }
template <class X> __device__ inline bool operation_less(X x, X y) { return x < y; }
template <class X> __device__ inline bool operation_greater(X x, X y) { return x > y; }

template <class X> __device__ inline X operation_quotient(X x, X y)
{
    static_assert(Floating<X>::value, "a division takes float16, bfloat16, float32 or float64 tensors");
    return x / y;
}

template <class X> __device__ inline X operation_power(X x, X y)
{
    static_assert(Floating<X>::value, "a power takes float16, bfloat16, float32 or float64 tensors");
    return power(x, y);
}

#define CUDAGRAPH_JOIN(a, b) a##b
#define CUDAGRAPH_OPERATION(name) CUDAGRAPH_JOIN(operation_, name)
#define operation CUDAGRAPH_OPERATION(OPERATION)
