// LANES rows of packed x, gathered for a tile of outputs: sum over j of weight[o, j] * norm(x)[b, index[o, j]], and what `Finish`
// makes of it. For tables that reach over the whole grid: a gather is one line of memory for all rows, wherever it lies.
//
// Packed numbers come from geo_pack.cu: groups x inputs x LANES. The norm is folded in as in geo_gather.cuh. Blocks are numbered
// by group and then by `span` tiles of 256 outputs, so that those that run together gather from one group.
//
// On a GPU four rows of an output are a thread's, whose gathers are vectors of 16 bytes; the threads of an output together read
// a line. On a CPU the first thread of a block does it all, with a vector of LANES rows for each output.
#pragma once

#include "sparse/geo_lanes.cuh"
#include "sparse/geo_moments.cuh"

constexpr int TILE = 256;  // threads of a block, and outputs that it takes at a time
#ifndef CUDAGRAPH_HOST
constexpr int LANES = 64 / sizeof(Sum), QUADS = LANES / 4, OUTPUTS = TILE / QUADS;  // outputs at once
using Quad = LanesOf<4>::type;
#endif

// What a block is to do: cells `begin` to `end` of a group, which starts at row `first` and has `rows` of them.
struct Share {
    long long first;
    int rows, piece, pieces, begin, end;

    __device__ Share(long long all, int cells, int span)
    {
        const int most = span * TILE;
        pieces = (cells + most - 1) / most, piece = static_cast<int>(blockIdx.x % pieces);
        first = static_cast<long long>(blockIdx.x / pieces) * LANES, rows = all - first < LANES ? static_cast<int>(all - first) : LANES;
        begin = piece * most, end = cells - begin < most ? cells : begin + most;
    }
    __device__ long long part(int r) const { return (first + r) * pieces + piece; }  // where the moments of row r go
};

struct Packed {
    const T *x, *weight, *bias;
    const I* index;
    long long rows;
    int inputs, outputs;
    const P *scale, *shift;
    const Sum* parts;  // of the rows' moments
    long long piece;
    int pieces, span;

    __device__ void norms(Row* of, long long first, int count) const
    {
        combine_rows(of, parts, first, count, pieces, [=](int i) { return static_cast<int>(piece_of(i, piece, inputs)); }, inputs);
    }
    __device__ Sum constant(int o) const { return BIAS ? Sum(widen(bias[o])) : Sum(0); }
};

#ifdef CUDAGRAPH_HOST

constexpr int PART = FAN_IN <= 16 ? TILE : FAN_IN <= 64 ? TILE / 4 : TILE / 16;  // outputs whose taps stay in the L1 cache

struct PackedTaps {
    alignas(64) Sum weight[PART * FAN_IN];
    Sum constant[PART], total[PART];

    void lay_out(const Packed& in, int first, int count)
    {
        const T* __restrict__ from = in.weight + static_cast<long long>(first) * FAN_IN;
        const I* __restrict__ index = in.index + static_cast<long long>(first) * FAN_IN;
#pragma GCC ivdep
        for (int i = 0; i < count * FAN_IN; ++i) weight[i] = NORM ? Sum(widen(from[i])) * Sum(in.scale[index[i]]) : Sum(widen(from[i]));
        for (int i = 0; i < count; ++i) {
            constant[i] = in.constant(first + i), total[i] = 0;
            for (int j = 0; NORM == 2 && j < FAN_IN; ++j) {
                constant[i] += Sum(widen(from[i * FAN_IN + j])) * Sum(in.shift[index[i * FAN_IN + j]]);
                total[i] += weight[i * FAN_IN + j];
            }
        }
    }

    Lanes sum(const T* __restrict__ x, const I* __restrict__ index, int i) const
    {
        const Sum* w = weight + i * FAN_IN;
        Lanes sum{}, other{};
#pragma GCC unroll 8
        for (int j = 0; j + 1 < FAN_IN; j += 2) {
            sum += load_lanes(x + static_cast<long long>(index[j]) * LANES, LANES) * w[j];
            other += load_lanes(x + static_cast<long long>(index[j + 1]) * LANES, LANES) * w[j + 1];
        }
        if (FAN_IN % 2) sum += load_lanes(x + static_cast<long long>(index[FAN_IN - 1]) * LANES, LANES) * w[FAN_IN - 1];
        return sum + other;
    }
};

struct PackedMemory {
    PackedTaps taps;
    Row norms[LANES];
    alignas(64) Lanes outputs[TILE];
};

template <class Finish> inline void gather_group(PackedMemory& memory, const Packed& in, Finish& finish, const Share& share)
{
    const T* x = in.x + share.first * in.inputs;
    const Lanes mean = lanes_of<LANES>([&](int r) { return NORM == 2 && r < share.rows ? memory.norms[r].mean : Sum(0); });
    const Lanes inverse = lanes_of<LANES>([&](int r) { return NORM && r < share.rows ? memory.norms[r].inverse : Sum(0); });
    for (int at = share.begin; at < share.end; at += PART) {
        const int count = share.end - at < PART ? share.end - at : PART;
        memory.taps.lay_out(in, at, count);
        finish.prepare(at, count);
        for (int i = 0; i < count; ++i) {
            Lanes sum = memory.taps.sum(x, in.index + static_cast<long long>(at + i) * FAN_IN, i);
            if (NORM == 2) sum -= mean * memory.taps.total[i];
            if (NORM) sum *= inverse;
            memory.outputs[i] = finish.result(sum + memory.taps.constant[i], at + i, i);
        }
        finish.store(memory.outputs, share, at, count);
    }
}

template <class Finish> __device__ inline void gather_packed(const Packed& in, Finish finish)
{
    if (threadIdx.x != 0) return;
    __shared__ PackedMemory memory;
    const Share share(in.rows, in.outputs, in.span);
    if (NORM) in.norms(memory.norms, share.first, share.rows);
    finish.begin(share);
    gather_group(memory, in, finish, share);
    finish.end(share);
}

// Outputs as rows of y. They are overwritten.
inline void store_rows(Lanes* outputs, T* y, int features, const Share& share, int at, int count)
{
    for (int i = 0; i < count; i += LANES) transpose(outputs + i);
    for (int r = 0; r < share.rows; ++r) {
        for (int i = 0; i < count; i += LANES) store_lanes(y + (share.first + r) * features + at + i, outputs[i + r], count - i);
    }
}

#else

struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) PackedQuad {
    T value[4];

    __device__ Quad wide() const
    {
        return Quad::of([&](int i) { return Sum(widen(value[i])); });
    }
};

__device__ inline Quad load_quad(const T* from) { return reinterpret_cast<const PackedQuad*>(from)->wide(); }
__device__ inline void store_quad(T* to, const Quad& quad)
{
    PackedQuad stored;
#pragma unroll
    for (int i = 0; i < 4; ++i) stored.value[i] = narrow<T>(quad[i]);
    *reinterpret_cast<PackedQuad*>(to) = stored;
}

template <class Finish> __device__ inline void gather_packed(const Packed& in, Finish finish)
{
    const Share share(in.rows, in.outputs, in.span);
    const int quad = threadIdx.x % QUADS;
    __shared__ Row norms[NORM > 0 ? LANES : 1];
    if (NORM) in.norms(norms, share.first, share.rows);
    finish.begin(share);
    const T* x = in.x + share.first * in.inputs + quad * 4;
    for (int at = share.begin; at < share.end; at += OUTPUTS) {
        const int o = at + threadIdx.x / QUADS;
        if (o < share.end) {
            const long long tap = static_cast<long long>(o) * FAN_IN;
            Sum constant = in.constant(o), total = 0;
            Quad sum = Quad::of([](int) { return Sum(0); });
#pragma unroll 2
            for (int j = 0; j < FAN_IN; j += CHUNK) {
                const Chunk<T> w = *reinterpret_cast<const Chunk<T>*>(in.weight + tap + j);
                const Chunk<I> cell = *reinterpret_cast<const Chunk<I>*>(in.index + tap + j);
#pragma unroll
                for (int i = 0; i < CHUNK; ++i) {
                    Sum weight = widen(w.value[i]);
#if NORM > 0
                    if (NORM == 2) constant += weight * Sum(in.shift[cell.value[i]]);
                    weight *= Sum(in.scale[cell.value[i]]);
                    total += weight;
#endif
                    sum = sum + load_quad(x + static_cast<long long>(cell.value[i]) * LANES) * weight;
                }
            }
#if NORM > 0
            sum = Quad::of([&](int i) {
                const int r = quad * 4 + i;
                return r < share.rows ? (sum[i] - norms[r].mean * total) * norms[r].inverse : Sum(0);
            });
#endif
            finish.result(sum + constant, share, o, quad);
        }
        finish.store(share, at);
    }
    finish.end(share);
}

// Outputs on their way to rows of y.
struct RowsMemory {
    Sum value[LANES][OUTPUTS + 1];
};

__device__ inline void store_rows(RowsMemory& memory, T* y, int features, const Share& share, int at)
{
    __syncthreads();
#pragma unroll
    for (int r = threadIdx.x / OUTPUTS; r < LANES; r += TILE / OUTPUTS) {
        const int o = at + threadIdx.x % OUTPUTS;
        if (r < share.rows && o < share.end) y[(share.first + r) * features + o] = narrow<T>(memory.value[r][o - at]);
    }
    __syncthreads();
}

#endif
