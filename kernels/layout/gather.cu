// y[o, i] = x[o, index[i]], zeros where index[i] is outside of 0..length-1
//
// Layout: x is outer x length runs of `run` elements of any type, y outer x count runs; index has count integers. The
//         grid's x is along a run; the runs of y are its y, then its z.
// Idea:   a run moves as vectors of 16 bytes, and costs one division. What is outside is counted once, and never read.
// Floor:  2 elements of traffic for each of y.

#include "layout/run.cuh"

#ifndef I
#define I int
#endif

static_assert(static_cast<I>(0.5f) == static_cast<I>(0) && static_cast<I>(-1) < static_cast<I>(0), "indices are int32 or int64");

extern "C" __global__ void gather(const T* __restrict__ x, const I* __restrict__ index, T* __restrict__ y, unsigned int* outside, int outer, long long length, long long count, long long run)
{
    const long long row = this_row();
    if (row >= outer * count) return;
    const long long o = row / count;
    const I at = index[row - o * count];
    const bool inside = at >= 0 && at < length;
    if (!inside && o == 0 && threadIdx.x == 0 && blockIdx.x == 0) atomicAdd(outside, 1u);
    if (inside) {
        copy_run(y + row * run, x + (o * length + at) * run, run);
    } else {
        fill_run(y + row * run, static_cast<T>(0.0f), run);
    }
}
