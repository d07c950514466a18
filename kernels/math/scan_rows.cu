// y[o, c] = sum of x[o, k] over k <= c
//
// Layout: x and y are [outputs, columns], row-major; x is of a number type T. A block has blockDim.x threads (a multiple of 32)
//         for each of its blockDim.y rows; blockIdx.y is one of `splits` segments, and parts [outputs, splits] are their sums.
// Idea:   threads add up four neighbours each, moved as vectors; then shuffles carry sums across a warp and shared memory across the warps
//         of a row; a barrier for every 4 blockDim.x elements. A CPU walks alone, in tiles that keep the digits.
// Floor:  x read once (twice where there are segments), y written once; two additions per element.

#include "math/scans.cuh"

#ifdef __CUDA_ARCH__
// The sum of what the threads before this one of the warp have.
__device__ inline Wide before_in_warp(Wide mine, Wide& whole)
{
    const int lane = threadIdx.x % 32;
    Wide sum = mine;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
        const Wide other = __shfl_up_sync(0xffffffffu, sum, distance);
        if (lane >= distance) sum += other;
    }
    whole = __shfl_sync(0xffffffffu, sum, 31);
    const Wide before = __shfl_up_sync(0xffffffffu, sum, 1);
    return lane > 0 ? before : Wide(0);
}

__device__ inline void along(const T* __restrict__ x, Result* __restrict__ y, Range range, bool live, Wide carry)
{
    __shared__ Wide memory[2][32];
    const int warps = blockDim.x / 32, warp = threadIdx.x / 32;
    const bool vectors = live && aligned(x) && aligned(y);
    int round = 0;
    for (long long from = range.begin; from < range.end; from += 4 * blockDim.x) {
        const long long first = from + 4 * threadIdx.x;
        const bool full = vectors && first + 4 <= range.end;
        Four<T> four;
        if (full) four = *reinterpret_cast<const Four<T>*>(x + first);
        Wide sum[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if (!full) four.value[i] = live && first + i < range.end ? x[first + i] : T(0);
            sum[i] = (i > 0 ? sum[i - 1] : Wide(0)) + Wide(widen(four.value[i]));
        }
        Wide whole, before = carry + before_in_warp(sum[3], whole);
        if (warps > 1) {
            Wide* sums = memory[round] + threadIdx.y * warps;
            if (threadIdx.x % 32 == 0) sums[warp] = whole;
            __syncthreads();
            whole = Wide(0);
            for (int i = 0; i < warps; ++i) {
                before += i < warp ? sums[i] : Wide(0);
                whole += sums[i];
            }
            round ^= 1;
        }
        Four<Result> made;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            made.value[i] = static_cast<Result>(before + sum[i]);
            if (!full && live && first + i < range.end) y[first + i] = made.value[i];
        }
        if (full) *reinterpret_cast<Four<Result>*>(y + first) = made;
        carry += whole;
    }
}
#else
__device__ inline void along(const T* __restrict__ x, Result* __restrict__ y, Range range, bool live, Wide carry)
{
    if (threadIdx.x != 0 || !live) return;
    for (long long from = range.begin; from < range.end; from += TILE) {
        const long long last = from + TILE < range.end ? from + TILE : range.end;
        Wide sum = Wide(0);
        for (long long c = from; c < last; ++c) {
            sum += Wide(widen(x[c]));
            y[c] = static_cast<Result>(carry + sum);
        }
        carry += sum;
    }
}
#endif

extern "C" __global__ void scan_rows(const T* __restrict__ x, const unsigned char* __restrict__ parts, Result* __restrict__ y,
    long long outputs, long long columns, int splits)
{
    const long long output = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    const bool live = output < outputs;
    const Range range(columns, blockIdx.y, splits);
#ifdef __CUDA_ARCH__
    const Wide carry = sum_before(parts, live ? output : 0, blockIdx.y, splits, threadIdx.x % 32, 32);
#else
    const Wide carry = threadIdx.x == 0 && live ? sum_before(parts, output, blockIdx.y, splits, 0, 1) : Wide(0);
#endif
    along(x + output * columns, y + output * columns, range, live, carry);
}
