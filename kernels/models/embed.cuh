// What embed_ids.cu and embed_tokens.cu share: one row of a table per token, plus one per position with POSITIONS 1.
#pragma once

#include "elementwise.cuh"

#ifndef POSITIONS
#define POSITIONS 0
#endif

// The index, brought into the table. What was outside is counted once per row.
__device__ inline long long checked(long long index, long long rows, unsigned int* outside)
{
    if (index >= 0 && index < rows) return index;
    if (threadIdx.x == 0 && blockIdx.x == 0) atomicAdd(outside, 1u);
    return index < 0 ? 0 : rows - 1;
}

// Four elements from column `first` on; the table's rows are read as vectors where they are aligned.
__device__ inline void embed_row(const T* __restrict__ word, const T* __restrict__ position, T* __restrict__ y, int columns)
{
    const int first = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (first + 4 <= columns && aligned(word + first, position + first, y + first)) {
        const Four<T> a = *reinterpret_cast<const Four<T>*>(word + first);
#if POSITIONS
        const Four<T> b = *reinterpret_cast<const Four<T>*>(position + first);
        *reinterpret_cast<Four<T>*>(y + first) = each<T>([](T u, T v) { return narrow<T>(widen(u) + widen(v)); }, a, b);
#else
        *reinterpret_cast<Four<T>*>(y + first) = a;
#endif
        return;
    }
    for (int c = first; c < columns && c < first + 4; ++c) {
#if POSITIONS
        y[c] = narrow<T>(widen(word[c]) + widen(position[c]));
#else
        y[c] = word[c];
#endif
    }
}
