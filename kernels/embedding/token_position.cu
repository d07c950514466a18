// y[r] = words[ids[r]] + positions[*offset + r % tokens] (+ kinds[types[r]])
//
// Layout: words is vocabulary x columns, positions length x columns, kinds types_count x columns; ids and types have `rows`
//         integers, `tokens` of them before the next batch; y is rows x columns. TYPES is 1 where there are kinds.
//         Threads: x along the columns, y over the rows. An index outside of its table adds nothing and is counted.
// Idea:   one kernel for the sum of all embeddings: a thread adds four neighbouring elements, moved as vectors.
// Floor:  rows x columns elements read and written, and the positions once.

#include "embedding/row.cuh"
#include "embedding/rows.cuh"

#ifndef TYPES
#define TYPES 0
#endif

extern "C" __global__ void token_position(const I* __restrict__ ids, const I* __restrict__ types, const T* __restrict__ words, const T* __restrict__ positions, const T* __restrict__ kinds, const int* __restrict__ offset, T* __restrict__ y, unsigned int* outside, unsigned int* beyond, long long rows, int tokens, long long vocabulary, int length, int types_count, int columns)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    if (row >= rows) return;
    const bool counts = threadIdx.x == 0;
    const T* word = row_of(words, ids[row], vocabulary, columns, outside, counts);
    const T* place = row_of(positions, *offset + row % tokens, length, columns, beyond, counts);
#if TYPES
    const T* kind = row_of(kinds, types[row], types_count, columns, outside, counts);
    add_rows(word, place, kind, y + row * columns, columns);
#else
    add_rows(word, place, y + row * columns, columns);
#endif
}
