// parts[i, c] = (mean, sum of squared differences from it) of piece number i of column c of x
//
// Layout: x is rows x columns, row-major. parts: pieces x columns x 2 of Real. `piece` rows to each piece. A block has 32 x 8
//         threads for 32 columns of a piece. `used` = 0: there is nothing to do. batches, when COUNTED, counts the calls.
// Idea:   neighbouring threads read neighbouring columns, eight rows at a time; two passes, the second out of the cache.
// Floor:  x once from memory.

#include "normalization/moments.cuh"

#ifndef COUNTED
#define COUNTED 0
#endif

extern "C" __global__ void __launch_bounds__(256) moments_columns(const T* __restrict__ x, Real* __restrict__ parts, long long* __restrict__ batches, int used, int rows, int columns, int piece, int tiles)
{
    if (!used) return;
    const int i = blockIdx.x / tiles, c = (blockIdx.x - i * tiles) * 32 + threadIdx.x;
    const int count = static_cast<int>(piece_of(i, piece, rows));
    const long long first = i * static_cast<long long>(piece) * columns;
    Real* target = parts + 2LL * i * columns;
    if (COUNTED && blockIdx.x == 0 && threadIdx.x + threadIdx.y == 0) ++*batches;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x + threadIdx.y > 0) return;
    Real mean[32] = {}, squares[32] = {};
    const int width = columns - c < 32 ? columns - c : 32;
    for (int r = 0; r < count; ++r) {
        for (int j = 0; j < width; ++j) mean[j] += widen(x[first + r * static_cast<long long>(columns) + c + j]);
    }
    for (int j = 0; j < width; ++j) mean[j] = count ? mean[j] / count : Real(0);
    for (int r = 0; r < count; ++r) {
        for (int j = 0; j < width; ++j) {
            const Real d = widen(x[first + r * static_cast<long long>(columns) + c + j]) - mean[j];
            squares[j] += d * d;
        }
    }
    for (int j = 0; j < width; ++j) target[2 * (c + j)] = mean[j], target[2 * (c + j) + 1] = squares[j];
#else
    __shared__ Real sums[2][8][32];
    const bool live = c < columns;
    const T* column = x + first + (live ? c : 0);
    Real sum = 0, squares = 0;
#pragma unroll 4
    for (int r = threadIdx.y; r < count; r += 8) sum += widen(column[r * static_cast<long long>(columns)]);
    sums[0][threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    Real mean = 0;
#pragma unroll
    for (int j = 0; j < 8; ++j) mean += sums[0][j][threadIdx.x];
    mean = count ? mean / count : Real(0);
#pragma unroll 4
    for (int r = threadIdx.y; r < count; r += 8) {
        const Real d = widen(column[r * static_cast<long long>(columns)]) - mean;
        squares += d * d;
    }
    sums[1][threadIdx.y][threadIdx.x] = squares;
    __syncthreads();
    if (!live || threadIdx.y > 0) return;
    squares = 0;
#pragma unroll
    for (int j = 0; j < 8; ++j) squares += sums[1][j][threadIdx.x];
    target[2 * c] = mean;
    target[2 * c + 1] = squares;
#endif
}
