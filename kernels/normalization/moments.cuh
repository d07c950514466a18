// The mean of many numbers and the sum of their squared differences from it, in pieces that are put together later.
//
// A piece takes two passes over memory, so that nothing cancels; pieces combine as Chan, Golub and LeVeque (1979) say.
// A row consists of segments of `length` neighbouring elements, `stride` elements apart; it has less than 2^31 of them.
#pragma once

#include "numeric.cuh"
#include "vectors.cuh"

static_assert(Floating<T>::value, "a norm takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

constexpr int PIECES = 32;  // at most, of a row

__device__ inline float inverse_root(float x) { return rsqrtf(x); }
__device__ inline double inverse_root(double x) { return rsqrt(x); }

// 1 / x without the slow path that exact rounding needs on a GPU.
__device__ inline float reciprocal(float x) { return __fdividef(1.0f, x); }
__device__ inline double reciprocal(double x) { return 1.0 / x; }

struct Moments {
    Real mean, squares;
};

// Elements of piece number i of a row of `total`.
__device__ inline long long piece_of(int i, long long piece, long long total)
{
    const long long left = total - i * piece;
    return left < 0 ? 0 : left < piece ? left : piece;
}

// The moments of a row from those of its pieces, which stand `step` apart. A thread does it all.
__device__ inline Moments combined(const Real* __restrict__ parts, int step, int pieces, long long piece, long long total)
{
    Real sum = 0, squares = 0;
    for (int i = 0; i < pieces; ++i) sum += parts[2 * i * step] * piece_of(i, piece, total);
    const Real mean = sum / total;
    for (int i = 0; i < pieces; ++i) {
        const Real d = parts[2 * i * step] - mean;
        squares += parts[2 * i * step + 1] + d * d * piece_of(i, piece, total);
    }
    return {mean, squares};
}

#ifdef CUDAGRAPH_HOST
// The sum of f(x) over the elements [first, last) of a row, in parts so that it is vectorised.
template <class F> inline Real sum_of(const T* __restrict__ x, long long first, long long last, long long length, long long stride, F f)
{
    constexpr int PARTS = 16;
    double total = 0;
    while (first < last) {
        const long long segment = first / length, at = first - segment * length;
        const long long left = last - first < length - at ? last - first : length - at;
        const long long count = left < 4096 ? left : 4096;
        const T* run = x + segment * stride + at;
        Real parts[PARTS] = {};
        long long i = 0;
        for (; i + PARTS <= count; i += PARTS) {
            for (int j = 0; j < PARTS; ++j) parts[j] += f(widen(run[i + j]));
        }
        for (; i < count; ++i) parts[0] += f(widen(run[i]));
        for (int j = 0; j < PARTS; ++j) total += parts[j];
        first += count;
    }
    return static_cast<Real>(total);
}

#else
// The sum over a block of whole warps. `round` tells two calls' memory apart.
__device__ inline Real across_block(Real sum, int round)
{
    __shared__ Real parts[2][32];
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    if (threadIdx.x % 32 == 0) parts[round][threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0;
    for (int i = 0; i < blockDim.x / 32; ++i) sum += parts[round][i];
    return sum;
}

// f(segment, position) for every V-th element of [first, last), all multiples of V, by the threads of a block.
template <int V, class F> __device__ inline void each_of(long long first, long long last, long long length, F f)
{
    const int units = static_cast<int>(length / V), end = static_cast<int>(last / V), threads = blockDim.x;
    int unit = static_cast<int>(first / V) + threadIdx.x, segment = unit / units, at = unit - segment * units;
    const int more = threads / units, further = threads - more * units;
#pragma unroll 2
    for (; unit < end; unit += threads) {
        f(segment, at * V);
        segment += more;
        at += further;
        if (at >= units) at -= units, ++segment;
    }
}

template <int V, class F> __device__ inline Real sum_of(const T* __restrict__ x, long long first, long long last, long long length, long long stride, F f)
{
    Real sum = 0;
    each_of<V>(first, last, length, [&](int segment, int at) {
        const Pack<V, T> pack = *reinterpret_cast<const Pack<V, T>*>(x + segment * stride + at);
#pragma unroll
        for (int j = 0; j < V; ++j) sum += f(widen(pack.value[j]));
    });
    return sum;
}
#endif

// The moments of the elements [first, last) of a row, by a block; on the CPU by one thread. V neighbours are read at once.
template <int V> __device__ inline Moments moments_of(const T* __restrict__ x, long long first, long long last, long long length, long long stride)
{
    if (last <= first) return {Real(0), Real(0)};
    const Real share = reciprocal(static_cast<Real>(last - first));
#ifdef CUDAGRAPH_HOST
    const Real mean = sum_of(x, first, last, length, stride, [](Real v) { return v; }) * share;
    return {mean, sum_of(x, first, last, length, stride, [=](Real v) { return (v - mean) * (v - mean); })};
#else
    const Real mean = across_block(sum_of<V>(x, first, last, length, stride, [](Real v) { return v; }), 0) * share;
    return {mean, across_block(sum_of<V>(x, first, last, length, stride, [=](Real v) { return (v - mean) * (v - mean); }), 1)};
#endif
}

constexpr int WIDE = 16 / sizeof(T);

__device__ inline bool in_packs(const void* array, long long length, long long stride)
{
    return reinterpret_cast<unsigned long long>(array) % 16 == 0 && length % WIDE == 0 && stride % WIDE == 0;
}
