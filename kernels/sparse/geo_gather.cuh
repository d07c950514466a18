// ROWS rows of x, gathered for a tile of outputs: sum over j of weight[o, j] * norm(x)[b, index[o, j]], and what `Finish`
// makes of it.
//
// The norm is folded in: with the row's mean and inverse deviation,
//   sum w (x - mean) inverse scale + w shift = inverse (sum (w scale) x - mean sum (w scale)) + sum w shift,
// so x itself is gathered. NORM is 0 for none, 1 for a scale only (RMS), 2 for mean, scale and shift. The moments come from
// normalization/moments, in pieces.
//
// On a GPU a thread keeps weights and indices of one output in registers for all rows. On a CPU the first thread of a block
// does the work of HOST_ROWS rows: it lays weights and indices out by tap, and where 16 neighbouring outputs look at 16
// neighbouring inputs, which is nearly everywhere in a local pattern, it loads them as one vector instead of gathering.
#pragma once

#include "sparse/geo_lanes.cuh"
#include "sparse/geo_moments.cuh"

#ifndef ROWS
#define ROWS 8
#endif
constexpr int TILE = 256;  // outputs of a block

struct Gathered {
    const T *x, *weight, *bias;
    const I* index;
    long long rows;
    int inputs, outputs;
    const P *scale, *shift;
    const Sum* parts;  // of the rows' moments
    long long piece;
    int pieces, span;  // span: tiles of a block, one after the other

    __device__ void norms(Row* of, long long first, int count) const
    {
        combine_rows(of, parts, first, count, pieces, [=](int i) { return static_cast<int>(piece_of(i, piece, inputs)); }, inputs);
    }
};

// The constant part of an output, and the weights' sum that the mean is multiplied by.
struct Folded {
    Sum constant, total;

    __device__ Sum fold(const Gathered& in, Sum w, int at)
    {
#if NORM > 0
        if (NORM == 2) constant += w * Sum(in.shift[at]);
        w *= Sum(in.scale[at]);
        total += w;
#endif
        return w;
    }
};

#ifdef CUDAGRAPH_HOST

constexpr int HOST_ROWS = 64;
constexpr int PART = FAN_IN <= 8 ? TILE : FAN_IN <= 16 ? TILE / 2 : FAN_IN <= 128 ? TILE / 4 : TILE / 16;  // outputs whose taps stay in the L1 cache

struct Taps {
    alignas(64) Sum weight[FAN_IN][PART];
    alignas(64) int at[FAN_IN][PART];
    alignas(64) Sum constant[PART], total[PART];
    bool together[FAN_IN][PART / LANES];

    void lay_out(const Gathered& in, int first)
    {
        for (int i = 0; i < PART; ++i) {
            const int o = first + i < in.outputs ? first + i : in.outputs - 1;  // what is too much repeats the last one
            Folded folded{BIAS ? Sum(widen(in.bias[o])) : Sum(0), Sum(0)};
            for (int j = 0; j < FAN_IN; ++j) {
                const long long tap = static_cast<long long>(o) * FAN_IN + j;
                at[j][i] = in.index[tap];
                weight[j][i] = folded.fold(in, widen(in.weight[tap]), at[j][i]);
            }
            constant[i] = folded.constant, total[i] = folded.total;
        }
        for (int j = 0; j < FAN_IN; ++j) {
            for (int g = 0; g < PART / LANES; ++g) {
                int apart = 0;
                for (int i = 0; i < LANES; ++i) apart |= at[j][g * LANES + i] - at[j][g * LANES] - i;
                together[j][g] = apart == 0;
            }
        }
    }

    Lanes load(const T* row, int j, int g) const
    {
        const int* from = at[j] + g * LANES;
        if (together[j][g]) return lanes_of<LANES>([x = row + *from](int i) { return Sum(widen(x[i])); });
        alignas(64) Sum value[LANES];  // one by one: a CPU's own gathers are slower
#pragma GCC unroll 16
        for (int i = 0; i < LANES; ++i) value[i] = widen(row[from[i]]);
        Lanes lanes;
        __builtin_memcpy(&lanes, value, sizeof lanes);
        return lanes;
    }

    Lanes sum(const T* row, int g) const
    {
        Lanes sum{}, other{};
        for (int j = 0; j + 1 < FAN_IN; j += 2) {
            sum += load(row, j, g) * *reinterpret_cast<const Lanes*>(weight[j] + g * LANES);
            other += load(row, j + 1, g) * *reinterpret_cast<const Lanes*>(weight[j + 1] + g * LANES);
        }
        if (FAN_IN % 2) sum += load(row, FAN_IN - 1, g) * *reinterpret_cast<const Lanes*>(weight[FAN_IN - 1] + g * LANES);
        return sum + other;
    }
};

template <class Finish> inline void gather_rows(Taps& taps, const Row* norms, const Gathered in, long long begin, int rows, Finish& kept)
{
    Finish finish = kept;  // of this function's own: nothing that is stored changes it
    const int end = (blockIdx.y + 1) * in.span * TILE < in.outputs ? (blockIdx.y + 1) * in.span * TILE : in.outputs;
    for (int first = blockIdx.y * in.span * TILE; first < end; first += PART) {
        taps.lay_out(in, first);
        finish.prepare(first, first + PART < end ? PART : end - first);
        for (int r = 0; r < rows; ++r) {
            for (int g = 0; g < PART / LANES && first + g * LANES < end; ++g) {
                Lanes sum = taps.sum(in.x + (begin + r) * in.inputs, g);
                if (NORM == 2) sum -= norms[r].mean * *reinterpret_cast<const Lanes*>(taps.total + g * LANES);
                if (NORM) sum *= norms[r].inverse;
                sum += *reinterpret_cast<const Lanes*>(taps.constant + g * LANES);
                const int left = end - first - g * LANES;
                finish.store(sum, begin, r, first + g * LANES, left < LANES ? left : LANES);
            }
        }
    }
}

template <class Finish> __device__ inline void gather(const Gathered& in, Finish finish)
{
    if (threadIdx.x != 0 || blockIdx.x % (HOST_ROWS / ROWS) != 0) return;
    __shared__ Taps taps;
    __shared__ Row norms[HOST_ROWS];
    const long long begin = blockIdx.x * static_cast<long long>(ROWS);
    const int rows = in.rows - begin < HOST_ROWS ? static_cast<int>(in.rows - begin) : HOST_ROWS;
    if (NORM) in.norms(norms, begin, rows);
    finish.begin(begin, rows);
    gather_rows(taps, norms, in, begin, rows, finish);
    finish.end(begin, rows);
}

#else

template <class Finish> __device__ inline void gather_output(const Gathered& in, const Row* norms, long long begin, int rows, int o, Finish& finish)
{
    const T* x = in.x + begin * in.inputs;
    const long long first = static_cast<long long>(o) * FAN_IN;
    finish.prepare(o, 1);
    Folded folded{BIAS ? Sum(widen(in.bias[o])) : Sum(0), Sum(0)};
    Sum sum[ROWS] = {};
#pragma unroll 2
    for (int j = 0; j < FAN_IN; j += CHUNK) {
        const Chunk<T> w = *reinterpret_cast<const Chunk<T>*>(in.weight + first + j);
        const Chunk<I> at = *reinterpret_cast<const Chunk<I>*>(in.index + first + j);
#pragma unroll
        for (int i = 0; i < CHUNK; ++i) {
            const Sum weight = folded.fold(in, widen(w.value[i]), at.value[i]);
            const T* source = x + static_cast<int>(at.value[i]);
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                if (r < rows) sum[r] += weight * Sum(widen(source[r * static_cast<long long>(in.inputs)]));
            }
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        if (r >= rows) break;
#if NORM > 0
        sum[r] = (sum[r] - norms[r].mean * folded.total) * norms[r].inverse;
#endif
        finish.store(sum[r] + folded.constant, begin, r, o);
    }
}

template <class Finish> __device__ inline void gather(const Gathered& in, Finish finish)
{
    const long long begin = blockIdx.x * static_cast<long long>(ROWS);
    const int rows = in.rows - begin < ROWS ? static_cast<int>(in.rows - begin) : ROWS;
    __shared__ Row norms[NORM > 0 ? ROWS : 1];
    if (NORM) in.norms(norms, begin, rows);
    finish.begin(begin, rows);
    for (int i = 0; i < in.span; ++i) {
        const int o = (blockIdx.y * in.span + i) * TILE + threadIdx.x;
        if (o < in.outputs) gather_output(in, norms, begin, rows, o, finish);
    }
    finish.end(begin, rows);
}

#endif
