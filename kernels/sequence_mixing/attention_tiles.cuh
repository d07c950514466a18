// Attention of one block of query rows by the ordinary arithmetic of a GPU, for any type and head length.
//
// Tiles of queries, keys, values and weights lie in shared memory. 16 lanes share a row group: lane x owns the keys
// x, x + 16, ... of a tile and the values in groups of four, so that a row's maximum and sum take four shuffles, and
// the weights of a row stay inside one warp. Rows are padded by four numbers: 16-byte reads of 8 neighbouring lanes, each
// from another row, then meet other banks.
#pragma once

#include "attention.cuh"

template <class Real> struct alignas(16) Quad {
    Real value[4];
};

__device__ constexpr int padded(int width) { return (width + 3) / 4 * 4 + 4; }

// Rows of X from global memory as rows of Real in shared memory; beyond `count` rows and WIDTH they are zero.
template <int WIDTH, int LINES, class Real, class X>
__device__ inline void stage(const X* source, long long stride, int count, Real* target)
{
    constexpr int pitch = padded(WIDTH);
    for (int i = threadIdx.x; i < LINES * (pitch - 4); i += THREADS) {
        const int row = i / (pitch - 4), column = i % (pitch - 4);
        const bool inside = row < count && column < WIDTH;
        target[row * pitch + column] = inside ? widen(source[row * stride + column]) : Real(0);
    }
}

template <class Real> __device__ inline Real power(Real x)
{
    if constexpr (sizeof(Real) == 4) return exp2f(x);
    else return exp2(x);
}

// One pass over the keys for PASS rows of queries, from query `begin`.
template <int PASS, int SPAN, class X, class Real>
__device__ void attend_pass(const Keys<Real>& keys, int begin, int queries, const X* q, long long q_token, const X* k,
                            long long k_token, const X* v, long long v_token, X* o, long long o_token, Real* shared)
{
    constexpr int groups = THREADS / 16, rows = PASS / groups, columns = SPAN / 16;
    constexpr int head = padded(HEAD), wide = padded(VALUE), weights = SPAN + 4, quads = (VALUE + 63) / 64;
    Real* query = shared;
    Real* key = query + PASS * head;
    Real* value = key + SPAN * head;
    Real* weight = value + SPAN * wide;
    const int lane = threadIdx.x % 16, group = threadIdx.x / 16;
    const int end = begin + PASS < queries ? begin + PASS : queries;

    __syncthreads();
    stage<HEAD, PASS>(q + begin * q_token, q_token, end - begin, query);
    Real most[rows], sum[rows], out[rows][quads][4];
#pragma unroll
    for (int r = 0; r < rows; ++r) {
        most[r] = -INFINITY;
        sum[r] = 0;
        for (int c = 0; c < quads; ++c) {
            for (int e = 0; e < 4; ++e) out[r][c][e] = 0;
        }
    }
    const int last = keys.last(end);
    for (int from = keys.first(begin); from < last; from += SPAN) {
        const int count = from + SPAN <= last ? SPAN : last - from;
        __syncthreads();
        stage<HEAD, SPAN>(k + from * k_token, k_token, count, key);
        stage<VALUE, SPAN>(v + from * v_token, v_token, count, value);
        __syncthreads();

        Real score[rows][columns] = {};
#pragma unroll 4
        for (int d = 0; d < HEAD; d += 4) {
            Quad<Real> line[columns];
#pragma unroll
            for (int c = 0; c < columns; ++c) {
                line[c] = *reinterpret_cast<const Quad<Real>*>(key + (lane + 16 * c) * head + d);
            }
#pragma unroll
            for (int r = 0; r < rows; ++r) {
                const Quad<Real> one = *reinterpret_cast<const Quad<Real>*>(query + (group * rows + r) * head + d);
#pragma unroll
                for (int c = 0; c < columns; ++c) {
#pragma unroll
                    for (int e = 0; e < 4; ++e) score[r][c] += one.value[e] * line[c].value[e];
                }
            }
        }
        const bool whole = keys.whole(begin, end, from, from + SPAN);
#pragma unroll
        for (int r = 0; r < rows; ++r) {
            const int i = begin + group * rows + r;
            Real high = most[r];
#pragma unroll
            for (int c = 0; c < columns; ++c) {
                const int j = from + lane + 16 * c;
                const bool seen = i < end && (whole || keys.sees(i, j));
                score[r][c] = seen ? keys.biased(score[r][c] * keys.scale, i, j) : static_cast<Real>(-INFINITY);
                high = score[r][c] > high ? score[r][c] : high;
            }
#pragma unroll
            for (int step = 8; step; step /= 2) {
                const Real other = __shfl_xor_sync(~0u, high, step, 16);
                high = other > high ? other : high;
            }
            const Real base = high == static_cast<Real>(-INFINITY) ? Real(0) : high;
            const Real shrink = power(most[r] - base);
            most[r] = high;
            Real part = 0;
#pragma unroll
            for (int c = 0; c < columns; ++c) {
                const Real w = power(score[r][c] - base);
                weight[(group * rows + r) * weights + lane + 16 * c] = w;
                part += w;
            }
            sum[r] = sum[r] * shrink + part;
#pragma unroll
            for (int c = 0; c < quads; ++c) {
#pragma unroll
                for (int e = 0; e < 4; ++e) out[r][c][e] *= shrink;
            }
        }
        __syncwarp();
#pragma unroll 2
        for (int j = 0; j < SPAN; j += 4) {
            Quad<Real> one[rows];
#pragma unroll
            for (int r = 0; r < rows; ++r) {
                one[r] = *reinterpret_cast<const Quad<Real>*>(weight + (group * rows + r) * weights + j);
            }
#pragma unroll
            for (int e = 0; e < 4; ++e) {
#pragma unroll
                for (int c = 0; c < quads; ++c) {
                    if (4 * (lane + 16 * c) >= VALUE) break;
                    const Quad<Real> line =
                        *reinterpret_cast<const Quad<Real>*>(value + (j + e) * wide + 4 * (lane + 16 * c));
#pragma unroll
                    for (int r = 0; r < rows; ++r) {
#pragma unroll
                        for (int f = 0; f < 4; ++f) out[r][c][f] += one[r].value[e] * line.value[f];
                    }
                }
            }
        }
    }
#pragma unroll
    for (int r = 0; r < rows; ++r) {
#pragma unroll
        for (int step = 8; step; step /= 2) sum[r] += __shfl_xor_sync(~0u, sum[r], step, 16);
        const Real inverse = sum[r] == Real(0) ? Real(0) : Real(1) / sum[r];
        const int i = begin + group * rows + r;
        if (i >= end) continue;
#pragma unroll
        for (int c = 0; c < quads; ++c) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int d = 4 * (lane + 16 * c) + e;
                if (d < VALUE) o[i * o_token + d] = narrow<X>(out[r][c][e] * inverse);
            }
        }
    }
}
