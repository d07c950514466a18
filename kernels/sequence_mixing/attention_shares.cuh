// One thread block's share of decoding, and the sum of all shares. See attention_decode.cu.
#pragma once

#include "attention.cuh"

__device__ constexpr int power_above(int n)
{
    int power = 1;
    while (power < n) power *= 2;
    return power < 32 ? power : 32;
}

template <class Real> struct Share {
    static constexpr int together = GROUP * QUERIES;
    static constexpr int rows = together < 4 ? together : 4;  // at a time, or registers run out
};

template <class X, int COUNT> struct alignas(COUNT * sizeof(X)) Chunk {
    X value[COUNT];
};

template <class Real> __device__ inline Real power_of_two(Real x)
{
    if constexpr (sizeof(Real) == 4) return exp2f(x);
    else return exp2(x);
}

// The frame's own queries [GROUP][QUERIES][HEAD], keys and values [QUERIES][HEAD], in shared memory, and the row of the first.
template <class X> struct Fresh {
    const X *query, *key, *value;
    int start;
};

// k, v: [rows][HEAD], of which the rows before fresh.start are read.
template <class X, class Real>
__device__ inline void attend_share(const Keys<Real>* keys, int first_row, const Fresh<X>& fresh, const X* k, const X* v,
                                    X* o, long long o_head, long long o_token, Part* parts)
{
    constexpr int together = Share<Real>::together, rows = Share<Real>::rows;
    constexpr int vector = HEAD % (16 / sizeof(X)) == 0 ? 16 / sizeof(X) : 1, chunks = HEAD / vector;
    constexpr int lanes = power_above(chunks), each = (chunks + lanes - 1) / lanes, at_once = each == 1 ? 4 : 1;
    constexpr int teams = THREADS / lanes;
    using Line = Chunk<X, vector>;
    __shared__ Real heights[teams][rows], totals[teams][rows];
    __shared__ Real values[teams][rows][HEAD];
    const int lane = threadIdx.x % lanes, team = threadIdx.x / lanes;

    Real query[rows][each][vector], out[rows][each][vector], most[rows], sum[rows];
#pragma unroll
    for (int r = 0; r < rows; ++r) {
        const int row = first_row + r < together ? first_row + r : together - 1;
        const Keys<Real>& seen = keys[row / QUERIES];
        most[r] = -INFINITY;
        sum[r] = 0;
#pragma unroll
        for (int c = 0; c < each; ++c) {
#pragma unroll
            for (int e = 0; e < vector; ++e) {
                const int d = (c * lanes + lane) * vector + e;
                query[r][c][e] = d < HEAD ? seen.scale * widen(fresh.query[row * HEAD + d]) : Real(0);
                out[r][c][e] = 0;
            }
        }
    }
    // The keys base, base + 1, ... of a round, those before `end`; row 0 of the arrays is the key `from`.
    constexpr int round = teams * at_once;
    const auto attend = [&](const X* key_rows, const X* value_rows, int from, int base, int end) {
        Line key[at_once][each], value[at_once][each];
#pragma unroll
        for (int u = 0; u < at_once; ++u) {
            const int j = base + u * teams + team;
            const long long at = static_cast<long long>(j - from) * HEAD;
#pragma unroll
            for (int c = 0; c < each; ++c) {
                const int chunk = c * lanes + lane;
                const bool inside = j < end && chunk < chunks;
                key[u][c] = inside ? reinterpret_cast<const Line*>(key_rows + at)[chunk] : Line{};
                value[u][c] = inside ? reinterpret_cast<const Line*>(value_rows + at)[chunk] : Line{};
            }
        }
#pragma unroll
        for (int r = 0; r < rows; ++r) {
            const int row = first_row + r < together ? first_row + r : together - 1;
            const Keys<Real>& seen = keys[row / QUERIES];
            Real score[at_once], high = most[r];
#pragma unroll
            for (int u = 0; u < at_once; ++u) {
                const int j = base + u * teams + team;
                Real dot = 0;
#pragma unroll
                for (int c = 0; c < each; ++c) {
#pragma unroll
                    for (int e = 0; e < vector; ++e) dot += query[r][c][e] * widen(key[u][c].value[e]);
                }
#pragma unroll
                for (int step = lanes / 2; step; step /= 2) dot += __shfl_xor_sync(~0u, dot, step);
                const bool sees = j < end && seen.sees(row % QUERIES, j);
                score[u] = sees ? seen.biased(dot, row % QUERIES, j) : static_cast<Real>(-INFINITY);
                high = score[u] > high ? score[u] : high;
            }
            const Real level = high == static_cast<Real>(-INFINITY) ? Real(0) : high;
            const Real shrink = power_of_two(most[r] - level);
            most[r] = high;
            sum[r] *= shrink;
#pragma unroll
            for (int c = 0; c < each; ++c) {
#pragma unroll
                for (int e = 0; e < vector; ++e) out[r][c][e] *= shrink;
            }
#pragma unroll
            for (int u = 0; u < at_once; ++u) {
                const Real weight = power_of_two(score[u] - level);
                sum[r] += weight;
#pragma unroll
                for (int c = 0; c < each; ++c) {
#pragma unroll
                    for (int e = 0; e < vector; ++e) out[r][c][e] += weight * widen(value[u][c].value[e]);
                }
            }
        }
    };
    // Equal shares of the cache, in whole rounds of the block; the last one takes what is fresh too.
    const int first = keys[0].first(0), last = keys[0].last(QUERIES), cached = last < fresh.start ? last : fresh.start;
    const int shares = static_cast<int>(gridDim.x), number = static_cast<int>(blockIdx.x);
    const int share = (cached > first ? (cached - first + round - 1) / round + shares - 1 : 0) / shares * round;
    const int begin = first + number * share, end = begin + share < cached ? begin + share : cached;
    for (int base = begin; base < end; base += round) attend(k, v, 0, base, end);
    if (number == shares - 1) {
        const int from = first > fresh.start ? first : fresh.start;
        for (int base = from; base < last; base += round) attend(fresh.key, fresh.value, fresh.start, base, last);
    }
    // All teams at one level, then their sum.
    __syncthreads();
    if (lane == 0) {
        for (int r = 0; r < rows; ++r) heights[team][r] = most[r];
    }
    __syncthreads();
    Real top[rows];
#pragma unroll
    for (int r = 0; r < rows; ++r) {
        top[r] = heights[0][r];
        for (int i = 1; i < teams; ++i) top[r] = heights[i][r] > top[r] ? heights[i][r] : top[r];
        const Real level = top[r] == static_cast<Real>(-INFINITY) ? Real(0) : top[r];
        const Real shrink = power_of_two(most[r] - level);
        if (lane == 0) totals[team][r] = sum[r] * shrink;
#pragma unroll
        for (int c = 0; c < each; ++c) {
#pragma unroll
            for (int e = 0; e < vector; ++e) {
                const int d = (c * lanes + lane) * vector + e;
                if (d < HEAD) values[team][r][d] = out[r][c][e] * shrink;
            }
        }
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < rows; ++r) {
        const int row = first_row + r;
        if (row >= together) break;
        Real total = 0;
        for (int i = 0; i < teams; ++i) total += totals[i][r];
        Part* const part = parts + (static_cast<long long>(blockIdx.x) * together + row) * (HEAD + 2);
        for (int d = threadIdx.x; d < HEAD; d += THREADS) {
            Real value = 0;
            for (int i = 0; i < teams; ++i) value += values[i][r][d];
            if (gridDim.x == 1) {
                X* const to = o + row / QUERIES * o_head + row % QUERIES * o_token;
                to[d] = narrow<X>(total == Real(0) ? Real(0) : value / total);
            } else {
                part[d + 2] = value;
            }
        }
        if (gridDim.x > 1 && threadIdx.x == 0) {
            part[0] = top[r];
            part[1] = total;
        }
    }
}

// The block that takes the last ticket of a head adds up all shares; the ticket starts again from zero.
template <class X, class Real>
__device__ inline void add_shares(X* o, long long o_head, long long o_token, const Part* parts, unsigned* ticket)
{
    constexpr int together = Share<Real>::together;
    __shared__ bool is_last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) is_last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    const int pitch = together * (HEAD + 2);
    for (int i = threadIdx.x; i < together * HEAD; i += THREADS) {
        const int row = i / HEAD, d = i % HEAD;
        const Part* const part = parts + row * (HEAD + 2);
        Real top = -INFINITY, total = 0, value = 0;
        for (int s = 0; s < static_cast<int>(gridDim.x); ++s) {
            const Real height = __ldcg(part + s * pitch);
            top = height > top ? height : top;
        }
        const Real level = top == static_cast<Real>(-INFINITY) ? Real(0) : top;
        for (int s = 0; s < static_cast<int>(gridDim.x); ++s) {
            const Real shrink = power_of_two(static_cast<Real>(__ldcg(part + s * pitch)) - level);
            total += shrink * __ldcg(part + s * pitch + 1);
            value += shrink * __ldcg(part + s * pitch + 2 + d);
        }
        o[row / QUERIES * o_head + row % QUERIES * o_token + d] = narrow<X>(total == Real(0) ? Real(0) : value / total);
    }
}
