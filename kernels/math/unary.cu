// y = function(x)
//
// Layout: x and y have n contiguous elements of a floating-point type T. FUNCTION is negative, absolute, exponential,
//         logarithm, root, inverse_root, inverse or square.
// Idea:   memory speed is the limit: elements move as vectors.
// Floor:  2 n elements of traffic, n functions.
// Variants: FUNCTION=logarithm; FUNCTION=inverse_root; FUNCTION=inverse

#include "elementwise.cuh"

static_assert(Floating<T>::value, "functions of one number take float16, bfloat16, float32 or float64 tensors");

#ifndef FUNCTION
#define FUNCTION exponential
#endif

template <class X> __device__ inline X negative(X x) { return -x; }
template <class X> __device__ inline X inverse(X x) { return X(1) / x; }
template <class X> __device__ inline X square(X x) { return x * x; }
__device__ inline float absolute(float x) { return fabsf(x); }
__device__ inline double absolute(double x) { return fabs(x); }
__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }
__device__ inline float logarithm(float x) { return logf(x); }
__device__ inline double logarithm(double x) { return log(x); }
__device__ inline float root(float x) { return sqrtf(x); }
__device__ inline double root(double x) { return sqrt(x); }
__device__ inline float inverse_root(float x) { return rsqrtf(x); }
__device__ inline double inverse_root(double x) { return rsqrt(x); }

extern "C" __global__ void unary(const T* __restrict__ x, T* __restrict__ y, long long n)
{
    elementwise(n, [](T v) { return narrow<T>(FUNCTION(widen(v))); }, y, x);
}
