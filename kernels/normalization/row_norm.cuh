// One row: y[c] = (v[c] - mean v) / sqrt(var v + eps) * (weight[c] + OFFSET) + bias[c], v = x or x + residual.
//
// Macros: COLUMNS of a row, LANES (threads of a row: a power of two) and THREADS of a block; CENTERED (0: the mean is taken
// to be 0, which is RMSNorm), WEIGHT, BIAS, RESIDUAL (each 0 or 1) and OFFSET (0 or 1).
// On a GPU a row stays in registers between its two passes, which a whole warp or several of them share; everything is
// loaded before the first sum, the weights too. Rows too long for that are read three times, out of the cache.
// On the CPU one thread does a row, in loops that become vector instructions.
#pragma once

#include "numeric.cuh"
#include "vectors.cuh"

#ifndef COLUMNS
#define COLUMNS 768
#define LANES (sizeof(T) == 8 ? 128 : 32)
#define THREADS 128
#endif
#ifndef CENTERED
#define CENTERED 1
#endif
#ifndef WEIGHT
#define WEIGHT 1
#endif
#ifndef BIAS
#define BIAS 1
#endif
#ifndef RESIDUAL
#define RESIDUAL 0
#endif
#ifndef OFFSET
#define OFFSET 0
#endif

static_assert(Floating<T>::value, "a norm takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

constexpr Real SHARE = Real(1) / COLUMNS;  // a factor, because a GPU divides slowly

__device__ inline float inverse_root(float x) { return rsqrtf(x); }
__device__ inline double inverse_root(double x) { return rsqrt(x); }

// What a row is made of. Arrays that the macros say are not there are not looked at.
struct Row {
    const T *__restrict__ x, *__restrict__ residual, *__restrict__ weight, *__restrict__ bias;
    T *__restrict__ y, *__restrict__ sum;
};

__device__ inline T result(Real centred, Real factor, Real weight, Real bias)
{
    const Real y = centred * factor;
    const Real scaled = WEIGHT ? y * (OFFSET ? Real(1) + weight : weight) : y;
    return narrow<T>(BIAS ? scaled + bias : scaled);
}

#ifdef CUDAGRAPH_HOST
constexpr int PARTS = 16, STRETCH = 4096;

// The sum of f(c) over a row, in parts so that it is vectorised, and in stretches so that long rows keep their precision.
template <class F> inline Real sum_of(F f)
{
    double total = 0;
    for (int from = 0; from < COLUMNS; from += STRETCH) {
        const int last = from + STRETCH < COLUMNS ? from + STRETCH : COLUMNS;
        const int whole = from + (last - from) / PARTS * PARTS;
        Real parts[PARTS] = {};
        for (int at = from; at < whole; at += PARTS) {
            for (int i = 0; i < PARTS; ++i) parts[i] += f(at + i);
        }
        for (int c = whole; c < last; ++c) parts[0] += f(c);
        for (int i = 0; i < PARTS; ++i) total += parts[i];
    }
    return static_cast<Real>(total);
}

template <class X> __device__ inline void normalize(Row row, const X* __restrict__ values, Real eps)
{
    const Real mean = CENTERED ? sum_of([=](int c) { return widen(values[c]); }) * SHARE : Real(0);
    const Real squares = sum_of([=](int c) { const Real d = widen(values[c]) - mean; return d * d; });
    const Real factor = inverse_root(squares * SHARE + eps);
#pragma GCC ivdep
    for (int c = 0; c < COLUMNS; ++c) {
        row.y[c] = result(widen(values[c]) - mean, factor, WEIGHT ? widen(row.weight[c]) : Real(1), BIAS ? widen(row.bias[c]) : Real(0));
    }
}

__device__ inline void normalize(Row row, Real eps)
{
    if (threadIdx.x != 0) return;
    const T* values = RESIDUAL ? row.sum : row.x;
    if (RESIDUAL) {
#pragma GCC ivdep
        for (int c = 0; c < COLUMNS; ++c) row.sum[c] = narrow<T>(widen(row.x[c]) + widen(row.residual[c]));
    }
    if constexpr (sizeof(Real) == sizeof(T) || COLUMNS > STRETCH) {
        normalize(row, values, eps);
    } else {
        Real wide[COLUMNS];
#pragma GCC ivdep
        for (int c = 0; c < COLUMNS; ++c) wide[c] = widen(values[c]);
        normalize(row, wide, eps);
    }
}

#else
// The sum over the threads of a row. Every thread of the block calls it; `round` tells two calls' memory apart.
__device__ inline Real across_row(Real sum, int round)
{
#pragma unroll
    for (int distance = (LANES < 32 ? LANES : 32) / 2; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    }
    if constexpr (LANES > 32) {
        constexpr int WARPS = (LANES + 31) / 32;
        __shared__ Real parts[2][THREADS / LANES][WARPS];
        if (threadIdx.x % 32 == 0) parts[round][threadIdx.y][threadIdx.x / 32] = sum;
        __syncthreads();
        sum = 0;
#pragma unroll
        for (int i = 0; i < WARPS; ++i) sum += parts[round][threadIdx.y][i];
    }
    return sum;
}

template <int V> __device__ inline Pack<V, T> load(const T* __restrict__ array, int c)
{
    return *reinterpret_cast<const Pack<V, T>*>(array + c);
}

// A row that its threads hold in registers, V neighbouring elements at a time.
template <int V> __device__ inline void held(Row row, Real eps, bool live)
{
    constexpr int STEP = LANES * V, PER = (COLUMNS + STEP - 1) / STEP;
    constexpr bool LATE = LANES > 512;  // so many threads have too few registers for the weights too
    Pack<V, T> values[PER], others[PER], weight[PER], bias[PER];
    const int first = threadIdx.x * V;
#pragma unroll
    for (int i = 0; i < PER; ++i) {
        const int c = first + i * STEP;
        if (c >= COLUMNS) continue;
        values[i] = load<V>(row.x, c);
        if (RESIDUAL) others[i] = load<V>(row.residual, c);
        if (WEIGHT && !LATE) weight[i] = load<V>(row.weight, c);
        if (BIAS && !LATE) bias[i] = load<V>(row.bias, c);
    }
    Real sum = 0;
#pragma unroll
    for (int i = 0; i < PER; ++i) {
        const int c = first + i * STEP;
        if (c >= COLUMNS) continue;
#pragma unroll
        for (int j = 0; j < V; ++j) {
            if (RESIDUAL) values[i].value[j] = narrow<T>(widen(values[i].value[j]) + widen(others[i].value[j]));
            sum += widen(values[i].value[j]);
        }
        if (RESIDUAL && live) *reinterpret_cast<Pack<V, T>*>(row.sum + c) = values[i];
    }
    const Real mean = CENTERED ? across_row(sum, 0) * SHARE : Real(0);
    Real squares = 0;
#pragma unroll
    for (int i = 0; i < PER; ++i) {
        if (first + i * STEP >= COLUMNS) continue;
#pragma unroll
        for (int j = 0; j < V; ++j) {
            const Real d = widen(values[i].value[j]) - mean;
            squares += d * d;
        }
    }
    const Real factor = inverse_root(across_row(squares, 1) * SHARE + eps);
    if (!live) return;
#pragma unroll
    for (int i = 0; i < PER; ++i) {
        const int c = first + i * STEP;
        if (c >= COLUMNS) continue;
        if (WEIGHT && LATE) weight[i] = load<V>(row.weight, c);
        if (BIAS && LATE) bias[i] = load<V>(row.bias, c);
#pragma unroll
        for (int j = 0; j < V; ++j) {
            const Real w = WEIGHT ? widen(weight[i].value[j]) : Real(1), b = BIAS ? widen(bias[i].value[j]) : Real(0);
            values[i].value[j] = result(widen(values[i].value[j]) - mean, factor, w, b);
        }
        *reinterpret_cast<Pack<V, T>*>(row.y + c) = values[i];
    }
}

// A row of any length, which is read again for each pass.
__device__ inline void streamed(Row row, Real eps)
{
    Real sum = 0, squares = 0;
    for (int c = threadIdx.x; c < COLUMNS; c += LANES) {
        if (RESIDUAL) row.sum[c] = narrow<T>(widen(row.x[c]) + widen(row.residual[c]));
        sum += widen(RESIDUAL ? row.sum[c] : row.x[c]);
    }
    const T* values = RESIDUAL ? row.sum : row.x;
    const Real mean = CENTERED ? across_row(sum, 0) * SHARE : Real(0);
    for (int c = threadIdx.x; c < COLUMNS; c += LANES) {
        const Real d = widen(values[c]) - mean;
        squares += d * d;
    }
    const Real factor = inverse_root(across_row(squares, 1) * SHARE + eps);
    for (int c = threadIdx.x; c < COLUMNS; c += LANES) {
        row.y[c] = result(widen(values[c]) - mean, factor, WEIGHT ? widen(row.weight[c]) : Real(1), BIAS ? widen(row.bias[c]) : Real(0));
    }
}

__device__ inline bool starts_at(const void* array, int bytes) { return reinterpret_cast<unsigned long long>(array) % bytes == 0; }

// `live` is false for threads beyond the last row, which only help to add; they read a row that there is.
__device__ inline void normalize(Row row, Real eps, bool live)
{
    constexpr int FULL = 16 / sizeof(T), WIDTH = COLUMNS % FULL == 0 ? FULL : 1, BYTES = WIDTH * sizeof(T);
    if constexpr (COLUMNS > LANES * 32) {
        streamed(row, eps);
    } else if constexpr (WIDTH > 1) {
        const bool wide = starts_at(row.x, BYTES) && starts_at(row.y, BYTES) && (!WEIGHT || starts_at(row.weight, BYTES)) &&
            (!BIAS || starts_at(row.bias, BYTES)) && (!RESIDUAL || (starts_at(row.residual, BYTES) && starts_at(row.sum, BYTES)));
        if (wide) held<WIDTH>(row, eps, live);
        else held<1>(row, eps, live);
    } else {
        held<1>(row, eps, live);
    }
}
#endif

// Gives `act(row, live)` the row that a thread is of: the last one again for threads beyond it.
template <class Rows> __device__ inline void normalize_rows(Rows row_of, long long rows, Real eps)
{
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
#ifdef CUDAGRAPH_HOST
    if (row < rows) normalize(row_of(row), eps);
#else
    if (rows == 0) return;
    const bool live = row < rows;
    normalize(row_of(live ? row : rows - 1), eps, live);
#endif
}
