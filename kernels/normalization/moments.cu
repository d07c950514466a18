// parts[r, i] = (mean, sum of squared differences from it) of piece number i of row r of x
//
// Layout: row r starts at element r * row_stride and has `segments` segments of `length` neighbouring elements, `stride`
//         apart: a channel of an image batch, or a group of channels. parts: rows x pieces x 2 of Real. `piece` elements
//         to each piece. `used` = 0: there is nothing to do. batches, when COUNTED, counts the calls.
// Idea:   a block does a piece in two passes, the second out of the cache; vectors of 16 bytes where rows are aligned.
// Floor:  x once from memory.

#include "normalization/moments.cuh"

#ifndef COUNTED
#define COUNTED 0
#endif

extern "C" __global__ void __launch_bounds__(256, 1) moments(const T* __restrict__ x, Real* __restrict__ parts, long long* __restrict__ batches, int used, long long row_stride, int segments, long long length, long long stride, long long piece, int pieces)
{
    if (!used) return;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const long long r = blockIdx.x / pieces;
    const int i = static_cast<int>(blockIdx.x - r * pieces);
    const long long total = segments * length, first = i * piece, last = first + piece_of(i, piece, total);
    const T* row = x + r * row_stride;
    const Moments moments = in_packs(row, length, stride) ? moments_of<WIDE>(row, first, last, length, stride) : moments_of<1>(row, first, last, length, stride);
    if (threadIdx.x > 0) return;
    parts[2 * (r * pieces + i)] = moments.mean;
    parts[2 * (r * pieces + i) + 1] = moments.squares;
    if (COUNTED && blockIdx.x == 0) ++*batches;
}
