// What the softmax kernels share. LOGARITHM is 1 for the logarithm of the result, else 0.
#pragma once

#include "activation/math.cuh"

#ifndef LOGARITHM
#define LOGARITHM 0
#endif

using Real = Compute<T>::type;

__device__ inline Real larger(Real a, Real b) { return b > a ? b : a; }

// The sum of exp(x - maximum) over some elements. Starting at the lowest finite number keeps an empty part, and one that
// is -inf throughout, free of inf - inf.
struct Part {
    Real maximum, sum;
};

__device__ inline Part combine(Part a, Part b)
{
    const Real maximum = larger(a.maximum, b.maximum);
    return {maximum, a.sum * exponential(a.maximum - maximum) + b.sum * exponential(b.maximum - maximum)};
}

// An element of the result, from the maximum and the sum of its row.
struct Outcome {
    Real maximum, last;

    __device__ Outcome(Real maximum, Real sum) : maximum(maximum), last(LOGARITHM ? logarithm(sum) : quotient(Real(1), sum)) {}
    __device__ Real operator()(Real x) const { return LOGARITHM ? x - maximum - last : exponential(x - maximum) * last; }
};
