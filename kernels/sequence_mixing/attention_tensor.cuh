// Attention of 64 query rows on tensor cores (sm_80 and later), for half and bfloat16 and heads of 16, 32, ... 128.
//
// Four warps of 16 rows. mma.m16n8k16 with float sums: the queries stay in registers as its left operand, and the sums
// of two neighbouring score tiles are, as they lie in registers, the left operand of weights times values. Keys and
// values arrive through cp.async in two stages; rows are padded by 16 bytes, so that the eight rows of an ldmatrix lie
// in different banks. A row belongs to four lanes: its maximum and sum take two shuffles.
#pragma once

#include "attention.cuh"
#include "tensor.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800

constexpr int TENSOR_TILE = 64;

template <int WIDTH, class X>
__device__ inline void stage_ahead(CopiesAhead& ahead, const X* source, long long stride, int count, X* target)
{
    constexpr int chunks = WIDTH / 8;
    for (int i = threadIdx.x; i < TENSOR_TILE * chunks; i += THREADS) {
        const int row = i / chunks, column = i % chunks * 8;
        const bool inside = row < count;
        ahead.copy(target + row * (WIDTH + 8) + column, source + (inside ? row * stride : 0) + column, inside);
    }
}

// Whether 16-byte copies are possible: rows that begin at multiples of 16 bytes.
__device__ inline bool in_step(const void* start, long long stride)
{
    return reinterpret_cast<unsigned long long>(start) % 16 == 0 && stride % 8 == 0;
}

template <class X>
__device__ void attend_tensor(const Keys<float>& keys, int begin, int queries, const X* q, long long q_token,
                              const X* k, long long k_token, const X* v, long long v_token, X* o, long long o_token,
                              X* shared)
{
    constexpr int key_tile = TENSOR_TILE * (HEAD + 8), value_tile = TENSOR_TILE * (VALUE + 8);
    constexpr int parts = HEAD / 16, tiles = TENSOR_TILE / 8, outs = VALUE / 8;
    X* const key = shared;                       // [2][TENSOR_TILE][HEAD + 8]
    X* const value = shared + 2 * key_tile;      // [2][TENSOR_TILE][VALUE + 8]
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const int end = begin + 64 < queries ? begin + 64 : queries;
    const X kind{};

    // Queries: through the first key stage into fragments.
    CopiesAhead ahead;
    stage_ahead<HEAD>(ahead, q + begin * q_token, q_token, end - begin, key);
    ahead.commit();
    ahead.wait<0>();
    __syncthreads();
    unsigned query[parts][4];
#pragma unroll
    for (int p = 0; p < parts; ++p) {
        load_matrices(query[p], key + (warp * 16 + lane % 16) * (HEAD + 8) + p * 16 + lane / 16 * 8);
    }
    __syncthreads();

    float out[outs][4] = {}, most[2] = {-INFINITY, -INFINITY}, sum[2] = {};
    const int first = keys.first(begin), last = keys.last(end);
    const auto fetch = [&](int from, int stage) {
        if (from < last) {
            const int count = from + TENSOR_TILE <= last ? TENSOR_TILE : last - from;
            stage_ahead<HEAD>(ahead, k + from * k_token, k_token, count, key + stage * key_tile);
            stage_ahead<VALUE>(ahead, v + from * v_token, v_token, count, value + stage * value_tile);
        }
        ahead.commit();
    };
    fetch(first, 0);
    int stage = 0;
    for (int from = first; from < last; from += TENSOR_TILE, stage ^= 1) {
        fetch(from + TENSOR_TILE, stage ^ 1);
        ahead.wait<1>();
        __syncthreads();

        float score[tiles][4] = {};
        const X* const key_now = key + stage * key_tile;
#pragma unroll
        for (int p = 0; p < parts; ++p) {
#pragma unroll
            for (int n = 0; n < tiles; n += 2) {
                // Matrices: keys n*8..+7 with both halves of the 16 columns, then keys n*8+8..+15 with both.
                unsigned b[4];
                const int row = n * 8 + lane / 16 * 8 + lane % 8, column = p * 16 + lane / 8 % 2 * 8;
                load_matrices(b, key_now + row * (HEAD + 8) + column);
                multiply_add(score[n], query[p], b[0], b[1], kind);
                multiply_add(score[n + 1], query[p], b[2], b[3], kind);
            }
        }

        const bool whole = keys.whole(begin, end, from, from + TENSOR_TILE);
        float high[2] = {most[0], most[1]};
#pragma unroll
        for (int n = 0; n < tiles; ++n) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                float x = score[n][e] * keys.scale;
                if (!whole || !Keys<float>::plain) {
                    const int i = begin + warp * 16 + g + e / 2 * 8, j = from + n * 8 + 2 * t + e % 2;
                    x = i < end && keys.sees(i, j) ? keys.biased(x, i, j) : -INFINITY;
                }
                score[n][e] = x;
                high[e / 2] = x > high[e / 2] ? x : high[e / 2];
            }
        }
        float base[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
#pragma unroll
            for (int step = 1; step <= 2; step *= 2) {
                const float other = __shfl_xor_sync(~0u, high[r], step);
                high[r] = other > high[r] ? other : high[r];
            }
            base[r] = high[r] == -INFINITY ? 0.0f : high[r];
            const float shrink = exp2f(most[r] - base[r]);
            most[r] = high[r];
            sum[r] *= shrink;
#pragma unroll
            for (int n = 0; n < outs; ++n) {
                out[n][2 * r] *= shrink;
                out[n][2 * r + 1] *= shrink;
            }
        }
#pragma unroll
        for (int n = 0; n < tiles; ++n) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                score[n][e] = exp2f(score[n][e] - base[e / 2]);
                sum[e / 2] += score[n][e];
            }
        }
        const X* const value_now = value + stage * value_tile;
#pragma unroll
        for (int p = 0; p < tiles / 2; ++p) {
            const unsigned weight[4] = {
                pair(score[2 * p][0], score[2 * p][1], kind), pair(score[2 * p][2], score[2 * p][3], kind),
                pair(score[2 * p + 1][0], score[2 * p + 1][1], kind),
                pair(score[2 * p + 1][2], score[2 * p + 1][3], kind)};
#pragma unroll
            for (int n = 0; n < outs; n += 2) {
                // Matrices: keys p*16..+7 and +8..+15 of columns n*8..+7, then the same of columns n*8+8..+15.
                unsigned b[4];
                const int row = p * 16 + lane / 8 % 2 * 8 + lane % 8, column = n * 8 + lane / 16 * 8;
                load_transposed(b, value_now + row * (VALUE + 8) + column);
                multiply_add(out[n], weight, b[0], b[1], kind);
                multiply_add(out[n + 1], weight, b[2], b[3], kind);
            }
        }
        __syncthreads();
    }
    ahead.wait<0>();
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        sum[r] += __shfl_xor_sync(~0u, sum[r], 1);
        sum[r] += __shfl_xor_sync(~0u, sum[r], 2);
        const float inverse = sum[r] == 0.0f ? 0.0f : 1.0f / sum[r];
        const int i = begin + warp * 16 + g + r * 8;
        if (i >= end) continue;
#pragma unroll
        for (int n = 0; n < outs; ++n) {
            X* const to = o + i * o_token + n * 8 + 2 * t;
            *reinterpret_cast<unsigned*>(to) = pair(out[n][2 * r] * inverse, out[n][2 * r + 1] * inverse, kind);
        }
    }
}

#endif
