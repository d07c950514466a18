// y[b, 0] = token (+ positions[0]), y[b, EXTRA + t] = x[b, t] (+ positions[EXTRA + t])
//
// Layout: x is batch x tokens x columns, y batch x (EXTRA + tokens) x columns; EXTRA is 1 where a class token of `columns`
//         elements comes first, POSITIONS is 1 where positions, (EXTRA + tokens) x columns, are added. Threads: x along the
//         columns, y over the rows of y.
// Idea:   one kernel joins and adds: a thread moves four neighbouring elements as vectors.
// Floor:  2 elements of traffic for each of y, and the positions once.

#include "embedding/rows.cuh"
#include "layout/run.cuh"

#ifndef EXTRA
#define EXTRA 1
#endif
#ifndef POSITIONS
#define POSITIONS 1
#endif

extern "C" __global__ void class_token(const T* __restrict__ x, const T* __restrict__ token, const T* __restrict__ positions, T* __restrict__ y, long long rows, int tokens, int columns)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    if (row >= rows) return;
    const long long b = row / (tokens + EXTRA), t = row % (tokens + EXTRA);
    const T* source = EXTRA && t == 0 ? token : x + (b * tokens + t - EXTRA) * columns;
#if POSITIONS
    add_rows(source, positions + t * columns, y + row * columns, columns);
#else
    copy_run(y + row * columns, source, columns, threadIdx.x, blockDim.x);
#endif
}
