// y[o, m, i] = reduction of x[o, r, m, c, i] over r and c
//
// Layout: x is [groups / middle, repeats, middle, columns, inner], row-major, of a number type T, and y [groups, inner].
//         REDUCTION is Sum, Mean, Product, Maximum, Minimum, Variance, Deviation, ArgMaximum or ArgMinimum. With SPLIT, y
//         takes partial results [groups, inner, splits].
// Idea:   a thread owns four neighbouring columns and walks down, so every access is coalesced and no thread waits for
//         another one. Rows of threads are groups and, within them, splits. A CPU walks down with a block's columns together.
// Floor:  x read once; one operation per element.
// Variants: REDUCTION=Maximum; REDUCTION=Variance; REDUCTION=Product

#include "math/reductions.cuh"

struct Walk {
    const T* __restrict__ x;
    Result* __restrict__ y;
    long long repeats, middle, columns, inner;
    int splits;
    float correction;

    // `width` columns of one split, from `first` on.
    template <int MOST> __device__ void down(long long group, int split, long long first, int width) const
    {
#ifdef CUDAGRAPH_HOST
        const int all = width;
#else
        constexpr int all = MOST;
#endif
        const bool vectors = MOST == 4 && inner % 4 == 0 && aligned(x);
        const Range range(repeats * columns, split, splits);
        Part part[MOST];
        if (range.begin < range.end) {
            const long long repeat = range.begin / columns, outer = group / middle;
            long long column = range.begin - repeat * columns;
            const T* source = x + (outer * repeats * middle + (group - outer * middle)) * columns * inner + first;
            Real pivot[MOST];
#pragma unroll
            for (int i = 0; i < all; ++i) pivot[i] = pivot_of(source + i, i < width);
            const T* at = source + (repeat * middle * columns + column) * inner;
            for (long long r = range.begin; r < range.end;) {
                const long long tile = r + 512 < range.end ? r + 512 : range.end;  // no chain grows long enough to lose digits
                Part chain[MOST];
                for (; r < tile; ++r) {
                    step(chain, at, pivot, r, width, vectors);
                    at += inner;
                    if (++column == columns) {
                        column = 0;
                        at += (middle - 1) * columns * inner;
                    }
                }
#pragma unroll
                for (int i = 0; i < all; ++i) part[i] = part[i].join(chain[i]);
            }
        }
#pragma unroll
        for (int i = 0; i < all; ++i) {
            if (i < width) put(y, (group * inner + first + i) * splits + split, part[i], repeats * columns, correction);
        }
    }

    __device__ static void step(Part* chain, const T* __restrict__ at, const Real* pivot, long long r, int width, bool vectors)
    {
#ifdef CUDAGRAPH_HOST
        for (int i = 0; i < width; ++i) chain[i] = with_next(chain[i], part_of(at[i], pivot[i], r));
#else
        Four<T> four;
        if (vectors) four = *reinterpret_cast<const Four<T>*>(at);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if (!vectors) four.value[i] = at[i < width ? i : 0];
            chain[i] = with_next(chain[i], part_of(four.value[i], pivot[i], r));
        }
#endif
    }
};

extern "C" __global__ void reduce_columns(const T* __restrict__ x, Result* __restrict__ y, long long groups, long long repeats,
    long long middle, long long columns, long long inner, int splits, float correction)
{
    const long long first = 4 * (blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x), row = this_row();
    if (first >= inner || row >= groups * splits) return;
    const Walk walk{x, y, repeats, middle, columns, inner, splits, correction};
    const long long group = row / splits;
    const int split = static_cast<int>(row - group * splits);
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0) return;
    const long long end = inner < first + 4 * blockDim.x ? inner : first + 4 * blockDim.x;
    for (long long at = first; at < end; at += 128) {
        const int width = end - at < 128 ? static_cast<int>(end - at) : 128;
        if (width <= 4) walk.down<4>(group, split, at, width);
        else walk.down<128>(group, split, at, width);
    }
#else
    walk.down<4>(group, split, first, inner - first < 4 ? static_cast<int>(inner - first) : 4);
#endif
}
