// y[i] = scale * weight[ids[i]], zeros where ids[i] is outside of the table
//
// Layout: weight is rows x columns, ids has `count` integers (int or long long), y is count x columns; SCALED is 1 where
//         scale is not always 1. Threads: x along the columns, y over the ids.
// Idea:   a line of threads moves one row as vectors of 16 bytes; nothing is divided. What is outside is never read.
// Floor:  2 count x columns elements of traffic.

#include "embedding/row.cuh"

#ifndef SCALED
#define SCALED 0
#endif

extern "C" __global__ void embedding(const I* __restrict__ ids, const T* __restrict__ weight, float scale, T* __restrict__ y, unsigned int* outside, long long count, long long rows, int columns)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const long long i = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    if (i >= count) return;
    const int lane = threadIdx.x, lanes = blockDim.x;
    const T* row = row_of(weight, ids[i], rows, columns, outside, lane == 0);
    T* target = y + i * columns;
    if (row == nullptr) {
        fill_run(target, static_cast<T>(0.0f), columns, lane, lanes);
        return;
    }
#if SCALED
    for_each_element(columns, Lane{lane, lanes}, [=](T v, T& scaled) { scaled = narrow<T>(widen(v) * scale); }, row, target);
#else
    copy_run(target, row, columns, lane, lanes);
#endif
}
