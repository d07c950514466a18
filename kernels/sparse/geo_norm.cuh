// The norm in front of a residual block: NORM is 0 for none, 1 for RMS (a scale), 2 for a layer norm (mean, scale, shift).
#pragma once

#include "normalization/moments.cuh"

#ifndef NORM
#define NORM 0
#endif

struct Row {
    Real mean, inverse;  // of the deviation
};

__device__ inline Real inverse_deviation(Real variance)
{
#ifdef CUDAGRAPH_HOST
    return Real(1) / sqrt(variance + Real(NORM == 2 ? 1e-5 : 1e-6));
#else
    return inverse_root(variance + Real(NORM == 2 ? 1e-5 : 1e-6));
#endif
}

__device__ inline Row row_of(Moments moments, int features)
{
    const Real variance = moments.squares * reciprocal(static_cast<Real>(features));
    if (NORM == 2) return {moments.mean, inverse_deviation(variance)};
    return {Real(0), inverse_deviation(variance + moments.mean * moments.mean)};
}
