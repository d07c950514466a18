// Running sums of segments, each of which begins with the sum of those before it.
#pragma once

#define REDUCTION Sum
#include "math/reductions.cuh"

// The sum of a row's segments before this one; on a GPU the lanes of a warp that share the row take turns.
__device__ inline Wide sum_before(const unsigned char* __restrict__ parts, long long row, int split, int splits, int lane, int lanes)
{
    const Part* part = reinterpret_cast<const Part*>(parts) + row * splits;
    Part sum;
    for (int s = lane; s < split; s += lanes) sum = sum.join(part[s]);
#ifdef __CUDA_ARCH__
    if (lanes == 32) sum = across_warp(sum);
#endif
    return sum.value;
}
