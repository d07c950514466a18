// y[o, m] = reduction of x[o, r, m, c] over r and c
//
// Layout: x is [outputs / middle, repeats, middle, columns], row-major, of a number type T, and y [outputs]. REDUCTION is
//         Sum, Mean, Product, Maximum, Minimum, Variance, Deviation, ArgMaximum or ArgMinimum. A block has blockDim.x threads
//         (a multiple of 32) for each of its blockDim.y outputs; blockIdx.y is the split. With SPLIT, y takes partial
//         results [outputs, splits].
// Idea:   threads walk along a row in vectors of 16 bytes, so every access is coalesced; lanes are joined by shuffles and
//         warps through shared memory. A CPU walks alone, tile by tile, in independent chains that it can vectorise.
// Floor:  x read once; one operation per element.
// Variants: REDUCTION=Maximum; REDUCTION=Variance; REDUCTION=Product

#include "math/reductions.cuh"

#ifdef __CUDA_ARCH__
__device__ inline Part along(const T* __restrict__ x, long long begin, long long end, long long place, Real pivot)
{
    Part part[4];
    for_each_pack(end - begin, Lane{threadIdx.x, blockDim.x}, [&](long long i, const auto& pack) {
        constexpr int count = sizeof(pack.value) / sizeof(T);
#pragma unroll
        for (int j = 0; j < count; ++j) part[j % 4] = with_next(part[j % 4], part_of(pack.value[j], pivot, place + begin + i + j));
    }, x + begin);
    return part[0].join(part[1]).join(part[2].join(part[3]));
}
#else
__device__ inline Part along(const T* __restrict__ x, long long begin, long long end, long long place, Real pivot)
{
    Part whole;
    for (; begin < end; begin += TILE) {  // so that no chain grows long enough to lose digits
        const int count = end - begin < TILE ? static_cast<int>(end - begin) : TILE;
        whole = whole.join(part_of_tile(whole, x + begin, count, pivot, place + begin));
    }
    return whole;
}
#endif

// What this thread sees of an output's elements: segments of rows, each `stride` after the one before.
__device__ inline Part part_of(const T* __restrict__ x, Range range, long long columns, long long stride)
{
    Part part;
    if (range.begin >= range.end) return part;
    const Real pivot = pivot_of(x, true);
    for (long long r = range.begin / columns; r * columns < range.end; ++r) {
        const long long first = r * columns;
        const long long begin = range.begin > first ? range.begin - first : 0;
        const long long end = range.end - first < columns ? range.end - first : columns;
        part = part.join(along(x + r * stride, begin, end, first, pivot));
    }
    return part;
}

extern "C" __global__ void reduce_rows(const T* __restrict__ x, Result* __restrict__ y, long long outputs, long long repeats,
    long long middle, long long columns, int splits, float correction)
{
    const long long output = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    const long long outer = output / middle, count = repeats * columns;
    const T* source = x + (outer * repeats * middle + (output - outer * middle)) * columns;
    const Range range(output < outputs ? count : 0, blockIdx.y, splits);
    const long long place = output * splits + blockIdx.y;
#ifdef __CUDA_ARCH__
    __shared__ unsigned long long memory[32 * 3];
    Part part = across_warp(part_of(source, range, columns, middle * columns));
    const int warps = blockDim.x / 32;
    if (warps > 1) {
        Part* mine = reinterpret_cast<Part*>(memory) + threadIdx.y * warps;
        if (threadIdx.x % 32 == 0) mine[threadIdx.x / 32] = part;
        __syncthreads();
        part = mine[0];
        for (int i = 1; i < warps; ++i) part = part.join(mine[i]);
    }
    if (threadIdx.x == 0 && output < outputs) put(y, place, part, count, correction);
#else
    if (threadIdx.x == 0 && output < outputs) put(y, place, part_of(source, range, columns, middle * columns), count, correction);
#endif
}
