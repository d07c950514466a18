// y[o, i] = x[o, index[i]], zeros where index[i] is outside of 0..length-1
//
// Layout: x is outer x length runs of `run` elements of any type, y outer x count runs; index has count integers. Threads: x along
//         a run, y over index; the grid's y over outer.
// Idea:   a run moves as vectors of 16 bytes; nothing is divided. What is outside is counted once, and never read.
// Floor:  2 elements of traffic for each of y.

#include "layout/run.cuh"

#ifndef I
#define I int
#endif

static_assert(static_cast<I>(0.5f) == static_cast<I>(0) && static_cast<I>(-1) < static_cast<I>(0), "indices are int32 or int64");

extern "C" __global__ void gather(const T* __restrict__ x, const I* __restrict__ index, T* __restrict__ y, unsigned int* outside, int outer, long long length, long long count, long long run)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const long long i = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    if (i >= count) return;
    const I at = index[i];
    const bool inside = at >= 0 && at < length;
    if (!inside && threadIdx.x == 0 && blockIdx.y == 0) atomicAdd(outside, 1u);
    for (int o = blockIdx.y; o < outer; o += gridDim.y) {
        T* target = y + (o * count + i) * run;
        if (inside) {
            copy_run(target, x + (o * length + at) * run, run, threadIdx.x, blockDim.x);
        } else {
            fill_run(target, static_cast<T>(0.0f), run, threadIdx.x, blockDim.x);
        }
    }
}
