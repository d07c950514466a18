// Heads on their way from their projection to attention: normalised, rotated, pair by pair.
//
// A token of qkv has the heads of queries first, then of keys, then of values. ROTARY of the HEAD elements of a query or key
// turn in pairs: (i, i + ROTARY / 2), or (2 i, 2 i + 1) with INTERLEAVED. NORM: it is divided by its root mean square and
// multiplied by the weight q_norm or k_norm, before it turns. table: [positions, ROTARY / 2, 2] float, the cosine and sine of
// each pair; beyond the last row, the last one counts. PLACED: tokens begin at *position, not at 0.
#pragma once

#include "numeric.cuh"

constexpr int PAIRS = (HEAD + 1) / 2, HEADS = QUERY_HEADS + 2 * KEY_HEADS;

struct Turn {
    const T* qkv;  // [B, tokens, HEADS * HEAD]
    const Angle* table;
    const Weight *q_norm, *k_norm;
    int tokens, start, positions;
    float eps;

    // Whether there is no row for a token in a cache of so many rows, or in the table.
    __device__ bool lacks(int token, int row, int capacity) const
    {
        const int place = start + token;
        return place < 0 || row >= capacity || (ROTARY && place >= positions);
    }

    // Pair `p` of a head of a token, element by element: put(d, value).
    template <class Put> __device__ void pair(int batch, int token, int head, int p, Put put) const
    {
        using Real = typename Compute<T>::type;
        constexpr int half = ROTARY / 2;
        const T* const x = qkv + ((static_cast<long long>(batch) * tokens + token) * HEADS + head) * HEAD;
        const bool is_value = head >= QUERY_HEADS + KEY_HEADS, turns = !is_value && p < half;
        const int first = turns ? (INTERLEAVED ? 2 * p : p) : is_value ? 2 * p : ROTARY + 2 * (p - half);
        const int second = turns && !INTERLEAVED ? p + half : first + 1;
        const bool both = second < HEAD;
        Real a = widen(x[first]), b = both ? widen(x[second]) : Real(0);
        if (NORM && !is_value) {
            Real sum = 0;
            for (int d = 0; d < HEAD; ++d) sum += widen(x[d]) * widen(x[d]);
            const Real inverse = Real(1) / sqrt(sum / HEAD + static_cast<Real>(eps));
            const Weight* const weight = head < QUERY_HEADS ? q_norm : k_norm;
            a *= inverse * static_cast<Real>(weight[first]);
            if (both) b *= inverse * static_cast<Real>(weight[second]);
        }
        if (ROTARY && turns) {
            const int place = start + token, row = place < 0 ? 0 : place < positions ? place : positions - 1;
            const Angle* const angle = table + (static_cast<long long>(row) * half + p) * 2;
            const Real cosine = static_cast<Real>(angle[0]), sine = static_cast<Real>(angle[1]), turned = a * cosine - b * sine;
            b = b * cosine + a * sine;
            a = turned;
        }
        put(first, narrow<T>(a));
        if (both) put(second, narrow<T>(b));
    }
};
