// Rows of x, normalised by all threads of a block into memory that they share, for a kernel that reads them many times.
//
// NORM: 1 x / sqrt(mean x^2 + eps) * weight; 2 (x - mean) / sqrt(var + eps) * weight, and + bias where NORM_BIAS is 1.
// The variance is that of the distances from the mean, so no digits are lost; results are rounded to T, as if a kernel
// of their own had written them. On a GPU 256 threads hold a row in registers between the passes, a vector or two each,
// and have their weights before the first sum; longer rows are read again, out of the cache.
#pragma once

#include "numeric.cuh"

#ifndef NORM
#define NORM 0
#endif
#ifndef NORM_BIAS
#define NORM_BIAS 0
#endif

using Normed = Compute<T>::type;

struct Norm {
    const T *weight, *bias;
    Normed eps;

    static __device__ T result(Normed distance, Normed factor, Normed weight, Normed bias)
    {
        const Normed y = distance * factor * weight;
        return narrow<T>(NORM_BIAS ? y + bias : y);
    }
    __device__ T result(Normed distance, Normed factor, int k) const
    {
        return result(distance, factor, widen(weight[k]), NORM_BIAS ? widen(bias[k]) : Normed(0));
    }
};

#ifdef CUDAGRAPH_HOST

template <class Each> __device__ inline Normed sum_of(int count, Each each)
{
    constexpr int PARTS = 16;
    Normed parts[PARTS] = {}, sum = 0;
    int k = 0;
    for (; k + PARTS <= count; k += PARTS)
        for (int i = 0; i < PARTS; ++i) parts[i] += each(k + i);
    for (; k < count; ++k) sum += each(k);
    for (int i = 0; i < PARTS; ++i) sum += parts[i];
    return sum;
}

__device__ inline void normalize_row(const T* x, T* normed, int count, const Norm& norm)
{
    const Normed share = Normed(1) / count;
    const Normed mean = NORM == 2 ? sum_of(count, [=](int k) { return widen(x[k]); }) * share : Normed(0);
    const Normed squares = sum_of(count, [=](int k) {
        const Normed distance = widen(x[k]) - mean;
        return distance * distance;
    });
    const Normed factor = 1 / sqrt(squares * share + norm.eps);
    for (int k = 0; k < count; ++k) normed[k] = norm.result(widen(x[k]) - mean, factor, k);
}

#else

__device__ inline float inverse_root(float x) { return rsqrtf(x); }
__device__ inline double inverse_root(double x) { return rsqrt(x); }

// The sum over the 256 threads of the block.
__device__ inline Normed across_block(Normed sum)
{
    __shared__ Normed parts[8];
#pragma unroll
    for (int offset = 16; offset; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    __syncthreads();  // the parts of the sum before have been read
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0;
#pragma unroll
    for (int warp = 0; warp < 8; ++warp) sum += parts[warp];
    return sum;
}

struct alignas(16) NormVector {
    T value[16 / sizeof(T)];
};
constexpr int NORM_WIDTH = 16 / sizeof(T), NORM_STEP = 256 * NORM_WIDTH, NORM_HELD = 2;

__device__ inline NormVector vector_at(const T* array, int k) { return *reinterpret_cast<const NormVector*>(array + k); }

__device__ inline void normalize_held(const T* x, T* normed, int count, const Norm& norm)
{
    NormVector values[NORM_HELD], weight[NORM_HELD], bias[NORM_HELD];
    const Normed share = Normed(1) / count;
    const int first = threadIdx.x * NORM_WIDTH;
    Normed sum = 0, squares = 0;
#pragma unroll
    for (int i = 0; i < NORM_HELD; ++i) {
        const int k = first + i * NORM_STEP;
        if (k >= count) break;
        values[i] = vector_at(x, k);
        weight[i] = vector_at(norm.weight, k);
        if (NORM_BIAS) bias[i] = vector_at(norm.bias, k);
    }
#pragma unroll
    for (int i = 0; i < NORM_HELD; ++i) {
        if (first + i * NORM_STEP >= count) break;
#pragma unroll
        for (int j = 0; j < NORM_WIDTH; ++j) sum += widen(values[i].value[j]);
    }
    const Normed mean = NORM == 2 ? across_block(sum) * share : Normed(0);
#pragma unroll
    for (int i = 0; i < NORM_HELD; ++i) {
        if (first + i * NORM_STEP >= count) break;
#pragma unroll
        for (int j = 0; j < NORM_WIDTH; ++j) {
            const Normed distance = widen(values[i].value[j]) - mean;
            squares += distance * distance;
        }
    }
    const Normed factor = inverse_root(across_block(squares) * share + norm.eps);
#pragma unroll
    for (int i = 0; i < NORM_HELD; ++i) {
        const int k = first + i * NORM_STEP;
        if (k >= count) break;
#pragma unroll
        for (int j = 0; j < NORM_WIDTH; ++j) {
            values[i].value[j] = Norm::result(widen(values[i].value[j]) - mean, factor, widen(weight[i].value[j]),
                                              NORM_BIAS ? widen(bias[i].value[j]) : Normed(0));
        }
        *reinterpret_cast<NormVector*>(normed + k) = values[i];
    }
}

__device__ inline void normalize_streamed(const T* x, T* normed, int count, const Norm& norm)
{
    const Normed share = Normed(1) / count;
    Normed sum = 0, squares = 0;
    if (NORM == 2)
#pragma unroll 4
        for (int k = threadIdx.x; k < count; k += 256) sum += widen(x[k]);
    const Normed mean = NORM == 2 ? across_block(sum) * share : Normed(0);
#pragma unroll 4
    for (int k = threadIdx.x; k < count; k += 256) {
        const Normed distance = widen(x[k]) - mean;
        squares += distance * distance;
    }
    const Normed factor = inverse_root(across_block(squares) * share + norm.eps);
#pragma unroll 4
    for (int k = threadIdx.x; k < count; k += 256) normed[k] = norm.result(widen(x[k]) - mean, factor, k);
}

// All threads of the block call it; what they wrote is there after their next barrier.
__device__ inline void normalize_row(const T* x, T* normed, int count, const Norm& norm)
{
    unsigned long long starts = reinterpret_cast<unsigned long long>(x) | reinterpret_cast<unsigned long long>(norm.weight);
    if (NORM_BIAS) starts |= reinterpret_cast<unsigned long long>(norm.bias);
    if (count % NORM_WIDTH == 0 && count <= NORM_HELD * NORM_STEP && starts % 16 == 0) normalize_held(x, normed, count, norm);
    else normalize_streamed(x, normed, count, norm);
}

#endif
