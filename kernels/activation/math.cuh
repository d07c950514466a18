// The functions that activations are made of: the device's own on a GPU, and on the CPU forms that a loop over threads
// can be vectorised with, where libm's are calls. Errors are below 3 units in the last place of a float.
#pragma once

#include "numeric.cuh"

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }

__device__ inline float logarithm(float x) { return logf(x); }
__device__ inline double logarithm(double x) { return log(x); }

__device__ inline float hyperbolic_tangent(float x) { return tanhf(x); }
__device__ inline double hyperbolic_tangent(double x) { return tanh(x); }

__device__ inline float magnitude(float x) { return fabsf(x); }
__device__ inline double magnitude(double x) { return fabs(x); }

// a / b without the slow path that exact rounding needs on a GPU; 0 where |b| > 2^126.
__device__ inline float quotient(float a, float b) { return __fdividef(a, b); }
__device__ inline double quotient(double a, double b) { return a / b; }

// log(1 + x) for 0 <= x <= 1, as 2 artanh(s) by its series, whose s = x / (2 + x) is at most 1/3.
__device__ inline float log_one_plus(float x)
{
    const float s = quotient(x, 2.0f + x);
    const float z = s * s;
    float series = 1.0f / 15.0f;
    series = series * z + 1.0f / 13.0f;
    series = series * z + 1.0f / 11.0f;
    series = series * z + 1.0f / 9.0f;
    series = series * z + 1.0f / 7.0f;
    series = series * z + 1.0f / 5.0f;
    series = series * z + 1.0f / 3.0f;
    return 2.0f * (s + s * z * series);
}
__device__ inline double log_one_plus(double x) { return log1p(x); }

// exp(x) - 1 for x <= 0.
__device__ inline double exp_minus_one(double x) { return expm1(x); }
__device__ inline float exp_minus_one(float x)
{
#ifdef CUDAGRAPH_HOST
    float series = 2.4801587e-5f;  // Taylor, enough for |x| < 1/2
    series = series * x + 1.9841270e-4f;
    series = series * x + 1.3888889e-3f;
    series = series * x + 8.3333333e-3f;
    series = series * x + 4.1666667e-2f;
    series = series * x + 1.6666667e-1f;
    series = series * x + 0.5f;
    return x > -0.5f ? x + x * x * series : expf(x) - 1.0f;
#else
    return expm1f(x);
#endif
}

// The share of a standard normal variable below x.
__device__ inline double normal_share(double x) { return 0.5 * (1.0 + erf(0.7071067811865476 * x)); }
__device__ inline float normal_share(float x)
{
#ifdef CUDAGRAPH_HOST
    // The tail beyond |x| is exp(-x * x / 2) times a polynomial (least relative error) in 1 / (1 + 0.35 |x|).
    const float t = 1.0f / (1.0f + 0.35f * fabsf(x));
    float p = -2.910913015e-02f;
    p = p * t + 1.437891659e-01f;
    p = p * t - 2.553291607e-01f;
    p = p * t + 1.587240894e-01f;
    p = p * t - 2.279211423e-02f;
    p = p * t + 1.053697435e-01f;
    p = p * t + 1.198689589e-01f;
    p = p * t + 1.398567211e-01f;
    p = p * t + 1.396217106e-01f;
    const float tail = t * p * expf(-0.5f * x * x);
    return x < 0.0f ? tail : 1.0f - tail;
#else
    return 0.5f * (1.0f + erff(0.70710678f * x));
#endif
}
