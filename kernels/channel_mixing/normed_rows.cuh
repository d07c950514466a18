// Rows of x, normalised by all threads of a block into memory that they share, for a kernel that reads them many times.
//
// NORM: 1 x / sqrt(mean x^2 + eps) * weight; 2 (x - mean) / sqrt(var + eps) * weight, and + bias where NORM_BIAS is 1.
// The variance is that of the distances from the mean, so no digits are lost; results are rounded to T, as if a kernel
// of their own had written them.
#pragma once

#include "numeric.cuh"

#ifndef NORM
#define NORM 0
#endif
#ifndef NORM_BIAS
#define NORM_BIAS 0
#endif

struct Norm {
    const T *weight, *bias;
    Compute<T>::type eps;

    __device__ T result(Compute<T>::type distance, Compute<T>::type factor, int k) const
    {
        const Compute<T>::type y = distance * factor * widen(weight[k]);
        return narrow<T>(NORM_BIAS ? y + widen(bias[k]) : y);
    }
};

#ifdef CUDAGRAPH_HOST

template <class Each> __device__ inline Compute<T>::type sum_of(int count, Each each)
{
    constexpr int PARTS = 16;
    Compute<T>::type parts[PARTS] = {}, sum = 0;
    int k = 0;
    for (; k + PARTS <= count; k += PARTS)
        for (int i = 0; i < PARTS; ++i) parts[i] += each(k + i);
    for (; k < count; ++k) sum += each(k);
    for (int i = 0; i < PARTS; ++i) sum += parts[i];
    return sum;
}

__device__ inline Compute<T>::type inverse_root(Compute<T>::type x) { return 1 / sqrt(x); }

#else

// The sum over all threads of the block, of each(k) for k < count.
template <class Each> __device__ inline Compute<T>::type sum_of(int count, Each each)
{
    __shared__ Compute<T>::type parts[32];
    Compute<T>::type sum = 0;
    for (int k = threadIdx.x; k < count; k += blockDim.x) sum += each(k);
#pragma unroll
    for (int offset = 16; offset; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    __syncthreads();  // the parts of the sum before have been read
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0;
    for (int warp = 0; warp < static_cast<int>(blockDim.x / 32); ++warp) sum += parts[warp];
    return sum;
}

__device__ inline float inverse_root(float x) { return rsqrtf(x); }
__device__ inline double inverse_root(double x) { return rsqrt(x); }

#endif

// All threads of the block call it, on a CPU the only one that works.
__device__ inline void normalize_row(const T* x, T* normed, int count, const Norm& norm)
{
    using Real = Compute<T>::type;
    const Real share = Real(1) / count;
    const Real mean = NORM == 2 ? sum_of(count, [=](int k) { return widen(x[k]); }) * share : Real(0);
    const Real squares = sum_of(count, [=](int k) {
        const Real distance = widen(x[k]) - mean;
        return distance * distance;
    });
    const Real factor = inverse_root(squares * share + norm.eps);
#ifdef CUDAGRAPH_HOST
    for (int k = 0; k < count; ++k) normed[k] = norm.result(widen(x[k]) - mean, factor, k);
#else
    for (int k = threadIdx.x; k < count; k += blockDim.x) normed[k] = norm.result(widen(x[k]) - mean, factor, k);
#endif
}
