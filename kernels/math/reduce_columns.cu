// y[o, m, i] = reduction of x[o, r, m, c, i] over r and c
//
// Layout: x is [groups / middle, repeats, middle, columns, inner], row-major, of a number type T, and y [groups, inner].
//         REDUCTION is Sum, Mean, Product, Maximum, Minimum, Variance, Deviation, ArgMaximum or ArgMinimum. With SPLIT, y
//         takes partial results [groups, inner, splits].
// Idea:   a thread owns four neighbouring columns and walks down, so every access is coalesced and no thread waits for
//         another one. Rows of threads are groups and, within them, splits.
// Floor:  x read once; one operation per element.

#include "math/reductions.cuh"

__device__ inline Four<T> four_of(const T* __restrict__ x, int width, bool vectors)
{
    if (vectors) return *reinterpret_cast<const Four<T>*>(x);
    Four<T> four;
#pragma unroll
    for (int i = 0; i < 4; ++i) four.value[i] = x[i < width ? i : 0];
    return four;
}

extern "C" __global__ void reduce_columns(const T* __restrict__ x, Result* __restrict__ y, long long groups, long long repeats,
    long long middle, long long columns, long long inner, int splits, float correction)
{
    const long long first = 4 * (blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x);
    const long long row = this_row();
    if (first >= inner || row >= groups * splits) return;
    const long long group = row / splits, outer = group / middle, count = repeats * columns;
    const int split = static_cast<int>(row - group * splits), width = inner - first < 4 ? static_cast<int>(inner - first) : 4;
    const Range range(count, split, splits);
    const bool vectors = inner % 4 == 0 && aligned(x);
    Part part[4];
    if (range.begin < range.end) {
        long long repeat = range.begin / columns, column = range.begin - repeat * columns;
        const T* source = x + (outer * repeats * middle + (group - outer * middle)) * columns * inner + first;
        Real pivot[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) pivot[i] = pivot_of(source + i, i < width);
        const T* at = source + (repeat * middle * columns + column) * inner;
        for (long long r = range.begin; r < range.end;) {
            const long long tile = r + 512 < range.end ? r + 512 : range.end;  // no chain grows long enough to lose digits
            Part chain[4];
            for (; r < tile; ++r) {
                const Four<T> four = four_of(at, width, vectors);
#pragma unroll
                for (int i = 0; i < 4; ++i) chain[i] = chain[i].join(part_of(four.value[i], pivot[i], r));
                at += inner;
                if (++column == columns) {
                    column = 0;
                    at += (middle - 1) * columns * inner;
                }
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) part[i] = part[i].join(chain[i]);
        }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (i < width) put(y, (group * inner + first + i) * splits + split, part[i], count, correction);
    }
}
