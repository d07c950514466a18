// Elementwise kernels with a number per feature: x is [..., features, inner].
//
// Rows are [features] where inner is 1, else [inner], of one feature each. Four neighbouring blocks of blockDim.x columns
// per thread; launch as many threads in x, in blocks of blockDim.y rows.
#pragma once

#include "activation/math.cuh"

// f(index, feature) for every element.
template <class F> __device__ inline void per_feature(long long rows, int columns, int features, int inner, F f)
{
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    if (row >= rows) return;
    const int first = 4 * blockIdx.y * blockDim.x + threadIdx.x;
    const int end = min(columns, 4 * static_cast<int>((blockIdx.y + 1) * blockDim.x));
    const int feature = inner == 1 ? 0 : static_cast<int>(row % features);
    const int step = inner == 1 ? 1 : 0;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0) return;
#pragma GCC ivdep
    for (int c = first; c < end; ++c) f(row * columns + c, feature + c * step);
#else
#pragma unroll 4
    for (int c = first; c < end; c += blockDim.x) f(row * columns + c, feature + c * step);
#endif
}
