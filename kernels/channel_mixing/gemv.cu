// y[m, n] = activation(alpha * sum over k of x[m, k] * weight[n, k] + bias[n] + residual[m, n]), m < ROWS <= 8
//
// Layout: x is ROWS x inner, weight is columns x inner (as torch stores a linear layer), y and residual are
//         ROWS x columns, bias has one value per column; row-major. BIAS and RESIDUAL are 0 where there is none.
//         With GATED, weight and bias have 2 x columns rows, the gates and then the values (2: the other way round), and
//         y = activation(gate) * value, without alpha and residual. With NORM, x is normalised first (normed_rows.cuh), and
//         the launch has ROWS x inner elements of dynamic shared memory.
// Idea:   every weight is read once, so memory speed is the limit. On a GPU a warp computes two columns for all rows:
//         its lanes stride through the weights by 16 bytes, with several loads in flight, and keep float sums that are
//         shuffled together at the end. SPLIT warps share two columns where there are too few columns to fill a GPU, and
//         add their sums in shared memory, always in the same order. Every block normalises the rows for itself, while the
//         first weights are on their way: less work than another launch. On a CPU the first thread of a block does its
//         work, in vectors of 16 sums: no thread waits for another one.
// Floor:  columns x inner weights of traffic; 2 ROWS operations for each.
// Variants: ROWS=4; ROWS=8; ROWS=8 SPLIT=4; ROWS=1 SPLIT=8; RESIDUAL=1; GATED=1; ROWS=4 GATED=1 ACTIVATION=silu
// Variants: NORM=1 GATED=1; ROWS=2 SPLIT=2 NORM=2 NORM_BIAS=1

#include "activation/activation.cuh"
#include "channel_mixing/normed_rows.cuh"

#ifndef ROWS
#define ROWS 1
#endif
#ifndef SPLIT
#define SPLIT 1
#endif
#ifndef BIAS
#define BIAS 1
#endif
#ifndef RESIDUAL
#define RESIDUAL 0
#endif
#ifndef GATED
#define GATED 0
#endif
#ifndef SCALAR
#define SCALAR float
#endif

static_assert(Floating<T>::value, "gemv takes float16, bfloat16, float32 or float64 tensors");

using Sum = Compute<T>::type;
constexpr int EACH = 2;                                    // sums of a warp for each row: two columns, or gate and value
constexpr int WARPS = 8, GROUPS = WARPS / SPLIT;           // SPLIT warps form a group
constexpr int COLUMNS = GATED ? GROUPS : GROUPS * EACH;    // columns of a block
constexpr int VECTOR = 16 / sizeof(T);                     // elements of one load
constexpr int AHEAD = ROWS <= 2 ? 4 : ROWS <= 4 ? 2 : 1;   // loads of each sum in flight

struct Operands {
    const T *x, *weight, *bias, *residual;  // x: as it is given, or normalised
    T* y;
    Sum alpha;
    int columns, inner;

    __device__ const T* row(int r) const { return x + static_cast<long long>(r) * inner; }
    __device__ const T* weights(int n) const { return weight + static_cast<long long>(n) * inner; }

    __device__ void store(Sum sum, int r, int column) const
    {
        const long long at = static_cast<long long>(r) * columns + column;
        sum *= alpha;
        if (BIAS) sum += widen(bias[column]);
        if (RESIDUAL) sum += widen(residual[at]);
        y[at] = narrow<T>(activate(sum));
    }

    __device__ void store_gated(Sum first, Sum second, int r, int column) const
    {
        if (BIAS) first += widen(bias[column]), second += widen(bias[columns + column]);
        const Sum gated = GATED == 2 ? activate(second) * first : activate(first) * second;
        y[static_cast<long long>(r) * columns + column] = narrow<T>(gated);
    }
};

#ifdef CUDAGRAPH_HOST

constexpr int LANES = 16, CHUNK = ROWS <= 2 ? 128 : 32;  // a chunk of rows of x is widened once for all columns of a block
constexpr int TOGETHER = NORM ? 32 / COLUMNS > 1 ? 32 / COLUMNS : 1 : 1;  // blocks that share one normalisation
typedef Sum Lanes __attribute__((vector_size(LANES * sizeof(Sum))));
typedef float Floats __attribute__((vector_size(LANES * sizeof(float))));
typedef unsigned Words __attribute__((vector_size(LANES * sizeof(unsigned))));
typedef unsigned short Halves __attribute__((vector_size(LANES * sizeof(unsigned short))));

__device__ inline Lanes widen_all(Lanes x, Sum) { return x; }
__device__ inline Floats widen_all(Halves x, __nv_bfloat16) { return (Floats)(__builtin_convertvector(x, Words) << 16); }
__device__ inline Floats widen_all(Halves x, __half)
{
    const Words bits = __builtin_convertvector(x, Words), magnitude = (bits & 0x7fff) << 13;
    const Floats scaled = (Floats)magnitude * 0x1p112f;
    const Words infinite = (Words)(magnitude >= 0x0f800000) & 0x7f800000;
    return (Floats)((Words)scaled | infinite | (bits & 0x8000) << 16);
}

template <class X> struct Stored { typedef Halves type; };
template <> struct Stored<Sum> { typedef Lanes type; };

__device__ inline Lanes load(const T* at)
{
    Stored<T>::type stored;
    __builtin_memcpy(&stored, at, sizeof stored);
    return widen_all(stored, T());
}

__device__ inline Lanes load(const T* at, int count)
{
    if (count >= LANES) return load(at);
    Stored<T>::type stored = {};
    __builtin_memcpy(&stored, at, count * sizeof(T));
    return widen_all(stored, T());
}

// MANY columns' products with a chunk of x, `count` elements long.
template <int MANY> __device__ inline void products(const Lanes (*x)[CHUNK], const T* weight, int inner, int count, Lanes (*sums)[ROWS])
{
    Lanes mine[MANY][ROWS] = {};
    const auto step = [&](int k, auto read) {
#pragma GCC unroll 4
        for (int c = 0; c < MANY; ++c) {
            const Lanes w = read(weight + static_cast<long long>(c) * inner + k);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; ++r) mine[c][r] += w * x[r][k / LANES];
        }
    };
    int k = 0;
    for (; k + LANES <= count; k += LANES) step(k, [](const T* at) { return load(at); });
    if (k < count) step(k, [&](const T* at) { return load(at, count - k); });
#pragma GCC unroll 4
    for (int c = 0; c < MANY; ++c)
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) sums[c][r] += mine[c][r];
}

// What a block does with some of its rows of weights: the columns' own, or with GATED the gates' and then the values'.
__device__ inline void accumulate(const Operands& o, const Lanes (*x)[CHUNK], int first, int many, int k, int count, Lanes (*sums)[ROWS])
{
    constexpr int MANY = ROWS <= 4 && COLUMNS >= 4 ? 4 : 2;
    int c = 0;
    for (; c + MANY <= many; c += MANY) products<MANY>(x, o.weights(first + c) + k, o.inner, count, sums + c);
    for (; c < many; ++c) products<1>(x, o.weights(first + c) + k, o.inner, count, sums + c);
}

__device__ inline Sum total(Lanes lanes)
{
    Sum sum = 0;
    for (int i = 0; i < LANES; ++i) sum += lanes[i];
    return sum;
}

__device__ inline void block(const Operands& o, int number)
{
    const int first = number * COLUMNS, many = first + COLUMNS < o.columns ? COLUMNS : o.columns - first;
    Lanes sums[GATED ? 2 : 1][COLUMNS][ROWS] = {};
    for (int k = 0; k < o.inner; k += LANES * CHUNK) {
        const int count = o.inner - k < LANES * CHUNK ? o.inner - k : LANES * CHUNK;
        Lanes wide[ROWS][CHUNK];
        for (int r = 0; r < ROWS; ++r)
            for (int i = 0; i < count; i += LANES) wide[r][i / LANES] = load(o.row(r) + k + i, count - i);
        for (int half = 0; half < (GATED ? 2 : 1); ++half) accumulate(o, wide, half * o.columns + first, many, k, count, sums[half]);
    }
    for (int c = 0; c < many; ++c)
        for (int r = 0; r < ROWS; ++r) {
            if (GATED) o.store_gated(total(sums[0][c][r]), total(sums[GATED ? 1 : 0][c][r]), r, first + c);
            else o.store(total(sums[0][c][r]), r, first + c);
        }
}

#else

union Vector {
    uint4 bits;
    T value[VECTOR];
    __device__ Vector() {}
};

// Bring a line of weights into the L2 cache.
__device__ inline void prefetch(const void* at)
{
#ifdef __CUDACC_RTC__
    asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
#endif
}

// 16 bytes that are read once. Volatile, so that the compiler leaves the loads where they are: all of them in front.
__device__ inline uint4 streamed(const T* at)
{
#ifdef __CUDACC_RTC__
    uint4 bits;
    asm volatile("ld.global.cs.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(bits.x), "=r"(bits.y), "=r"(bits.z), "=r"(bits.w) : "l"(at));
    return bits;
#else
    return __ldcs(reinterpret_cast<const uint4*>(at));
#endif
}

constexpr int APART = SPLIT * 32 * VECTOR;  // elements from one vector of a lane to its next

// MANY vectors of a lane. All loads of weights are on their way before the first product waits for one: without the
// barrier, which costs next to nothing, the compiler saves registers and has two or three of them in flight.
template <int MANY> __device__ inline void step(const Operands& o, const T* const* weight, int k, Sum (*sums)[ROWS])
{
    Vector w[EACH][MANY];
#pragma unroll
    for (int u = 0; u < MANY; ++u)
#pragma unroll
        for (int c = 0; c < EACH; ++c) w[c][u].bits = streamed(weight[c] + k + u * APART);
    __syncwarp(__activemask());
#pragma unroll
    for (int u = 0; u < MANY; ++u)
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            Vector v;
            const uint4* from = reinterpret_cast<const uint4*>(o.row(r) + k + u * APART);
            v.bits = NORM ? *from : __ldg(from);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i)
#pragma unroll
                for (int c = 0; c < EACH; ++c) sums[c][r] += widen(w[c][u].value[i]) * widen(v.value[i]);
        }
}

// The sums of a warp's part of the inner elements, for its lane.
__device__ inline void accumulate(const Operands& o, const T* const* weight, int part, int lane, Sum (*sums)[ROWS])
{
    const auto unaligned = (reinterpret_cast<unsigned long long>(o.x) | reinterpret_cast<unsigned long long>(o.weight)) % 16;
    if (o.inner % VECTOR == 0 && unaligned == 0) {
        int k = (part * 32 + lane) * VECTOR;
        for (; k + (AHEAD - 1) * APART < o.inner; k += AHEAD * APART) step<AHEAD>(o, weight, k, sums);
        if (AHEAD > 2 && k + APART < o.inner) step<2>(o, weight, k, sums), k += 2 * APART;
        if (AHEAD > 1 && k < o.inner) step<1>(o, weight, k, sums);
        return;
    }
    for (int k = part * 32 + lane; k < o.inner; k += SPLIT * 32)
#pragma unroll
        for (int c = 0; c < EACH; ++c) {
            const Sum w = widen(weight[c][k]);
#pragma unroll
            for (int r = 0; r < ROWS; ++r) sums[c][r] += w * widen(o.row(r)[k]);
        }
}

// Lane EACH * r + c is left with the warp's sum for row r and column c.
__device__ inline Sum reduce(Sum (*sums)[ROWS], int lane)
{
    Sum mine = 0;
#pragma unroll
    for (int c = 0; c < EACH; ++c)
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
#pragma unroll
            for (int offset = 16; offset; offset /= 2) sums[c][r] += __shfl_xor_sync(0xffffffffu, sums[c][r], offset);
            if (lane == EACH * r + c) mine = sums[c][r];
        }
    return mine;
}

// Ask for the first weights of a lane, which then come from far away while the rows are normalised.
__device__ inline void ask_ahead(const Operands& o, const T* const* weight, int part, int lane)
{
#pragma unroll
    for (int u = 0; u < AHEAD; ++u) {
        const int k = (part * 32 + lane) * VECTOR + u * APART;
        if (k >= o.inner) break;
#pragma unroll
        for (int c = 0; c < EACH; ++c) prefetch(weight[c] + k);
    }
}

__device__ inline void block(Operands o, const Norm& norm)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = warp / SPLIT, part = warp % SPLIT;
    const int column = blockIdx.x * COLUMNS + group * (GATED ? 1 : EACH), last = o.columns - 1;
    const T* weight[EACH] = {o.weights(min(column, last)), o.weights(GATED ? o.columns + min(column, last) : min(column + 1, last))};
#if NORM
    extern __shared__ __align__(16) unsigned char memory[];
    ask_ahead(o, weight, part, lane);
    T* normed = reinterpret_cast<T*>(memory);
    for (int r = 0; r < ROWS; ++r) normalize_row(o.row(r), normed + r * o.inner, o.inner, norm);
    __syncthreads();
    o.x = normed;
#endif
    Sum sums[EACH][ROWS] = {};
    accumulate(o, weight, part, lane, sums);
    Sum mine = reduce(sums, lane);
    if constexpr (SPLIT > 1) {
        __shared__ Sum partial[WARPS][EACH * ROWS];
        if (lane < EACH * ROWS) partial[warp][lane] = mine;
        __syncthreads();
        mine = 0;
        if (part == 0 && lane < EACH * ROWS)
#pragma unroll
            for (int other = 0; other < SPLIT; ++other) mine += partial[warp + other][lane];
    }
    const Sum value = GATED ? __shfl_down_sync(0xffffffffu, mine, 1) : Sum(0);
    if (part > 0 || lane >= EACH * ROWS) return;
    const int c = lane % EACH;
    if (GATED) {
        if (c == 0 && column <= last) o.store_gated(mine, value, lane / EACH, column);
    } else if (column + c <= last) {
        o.store(mine, lane / EACH, column + c);
    }
}

#endif

extern "C" __global__ void __launch_bounds__(256) gemv(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, const T* __restrict__ residual, T* __restrict__ y, SCALAR alpha, int columns, int inner,
                                                       const T* __restrict__ norm_weight, const T* __restrict__ norm_bias, SCALAR eps)
{
    Operands o{x, weight, bias, residual, y, static_cast<Sum>(alpha), columns, inner};
    const Norm norm{norm_weight, norm_bias, static_cast<Sum>(eps)};
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0 || blockIdx.x % TOGETHER > 0) return;
#if NORM
    extern __shared__ __align__(16) unsigned char memory[];
    T* normed = reinterpret_cast<T*>(memory);
    for (int r = 0; r < ROWS; ++r) normalize_row(o.row(r), normed + r * inner, inner, norm);
    o.x = normed;
#endif
    for (int i = 0; i < TOGETHER && blockIdx.x + i < gridDim.x; ++i) block(o, blockIdx.x + i);
#else
    block(o, norm);
#endif
}
