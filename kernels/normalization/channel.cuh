// What is done to the elements of a channel: y = activation((x - mean) * factor + shift).
//
// AFFINE: 1 with weight and bias. RUNNING: 0 without running statistics, 1 with them, 2 with the average of all batches
// (momentum 1 / batches).
#pragma once

#include "normalization/moments.cuh"
#include "activation/activation.cuh"

#ifndef AFFINE
#define AFFINE 1
#endif
#ifndef RUNNING
#define RUNNING 1
#endif

struct Channel {
    Real mean, factor, shift;

    __device__ T operator()(T x) const { return narrow<T>(activate((widen(x) - mean) * factor + shift)); }
};

__device__ inline Channel channel_of(Real mean, Real variance, Real eps, const T* __restrict__ weight, const T* __restrict__ bias, int c)
{
    const Real factor = inverse_root(variance + eps);
    return {mean, AFFINE ? factor * widen(weight[c]) : factor, AFFINE ? widen(bias[c]) : Real(0)};
}

// What batches have left behind. Only in training are they written, and then nobody else reads them.
struct Running {
    Real *__restrict__ mean, *__restrict__ variance;
    const long long* __restrict__ batches;
    Real momentum;
    int training;

    __device__ void update(int c, Moments moments, long long total) const
    {
        const Real share = RUNNING == 2 ? Real(1) / static_cast<Real>(*batches) : momentum;
        const Real unbiased = moments.squares / static_cast<Real>(total > 1 ? total - 1 : 1);
        mean[c] = (Real(1) - share) * mean[c] + share * moments.mean;
        variance[c] = (Real(1) - share) * variance[c] + share * unbiased;
    }
};
