// y[g, c, i] = sum of x[g, k, i] over k <= c
//
// Layout: x and y are [groups, columns, inner], row-major; x is of a number type T. Rows of threads are groups and, within them,
//         `splits` segments of columns, whose sums are parts [groups, inner, splits].
// Idea:   a thread owns a column of inner elements and walks down, so every access is coalesced and no thread waits for
//         another one. A CPU walks down with a block's columns together.
// Floor:  x read once (twice where there are segments), y written once; one addition per element.

#include "math/scans.cuh"

// `width` running sums, at most MOST, from `first` on.
template <int MOST> __device__ inline void down(const T* __restrict__ x, Result* __restrict__ y, const unsigned char* __restrict__ parts,
    Range range, long long inner, long long row, int split, int splits, int width)
{
    Wide carry[MOST], sum[MOST];
    for (int i = 0; i < width; ++i) carry[i] = sum_before(parts, row + i, split, splits, 0, 1);
    for (long long from = range.begin; from < range.end; from += 512) {  // no chain grows long enough to lose digits
        const long long last = from + 512 < range.end ? from + 512 : range.end;
        for (int i = 0; i < width; ++i) sum[i] = Wide(0);
        for (long long at = from * inner; at < last * inner; at += inner) {
            for (int i = 0; i < width; ++i) {
                sum[i] += Wide(widen(x[at + i]));
                y[at + i] = static_cast<Result>(carry[i] + sum[i]);
            }
        }
        for (int i = 0; i < width; ++i) carry[i] += sum[i];
    }
}

extern "C" __global__ void scan_columns(const T* __restrict__ x, const unsigned char* __restrict__ parts, Result* __restrict__ y,
    long long groups, long long columns, long long inner, int splits)
{
    const long long first = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x, row = this_row();
    if (first >= inner || row >= groups * splits) return;
    const long long group = row / splits, start = group * columns * inner;
    const int split = static_cast<int>(row - group * splits);
    const Range range(columns, split, splits);
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0) return;
    const long long end = inner < first + blockDim.x ? inner : first + blockDim.x;
    for (long long at = first; at < end; at += 128) {
        const int width = end - at < 128 ? static_cast<int>(end - at) : 128;
        down<128>(x + start + at, y + start + at, parts, range, inner, group * inner + at, split, splits, width);
    }
#else
    down<1>(x + start + first, y + start + first, parts, range, inner, group * inner + first, split, splits, 1);
#endif
}
