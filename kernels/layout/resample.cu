// y[b, t] = x[b] at (t + 0.5) * before / after - 0.5, linearly; where AVERAGE, the mean of x[b, t * before / after ...]
//
// Layout: x is batch x before x run, y batch x after x run, row-major; runs are rows of features. An average goes from
//         floor(t * before / after) to ceil((t + 1) * before / after), as torch's adaptive pooling does. Threads: x along a run, y over
//         t; the grid's y over the batch.
// Idea:   neighbouring threads have neighbouring features; places and weights are found once per row.
// Floor:  one read of x and one write of y; 3 operations each (linear).

#include "numeric.cuh"

#ifndef AVERAGE
#define AVERAGE 0
#endif

static_assert(Floating<T>::value, "resample takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

__device__ inline T mixed(const T* __restrict__ x, long long run, int t, int before, int after)
{
#if AVERAGE
    const int first = static_cast<int>(static_cast<long long>(t) * before / after);
    const int last = static_cast<int>((static_cast<long long>(t + 1) * before + after - 1) / after);
    Real sum = 0;
    for (int i = first; i < last; ++i) sum += widen(x[i * run]);
    return narrow<T>(sum / static_cast<Real>(last - first));
#else
    // In integers, so that places are exact however long x is.
    const long long twice = (2 * static_cast<long long>(t) + 1) * before - after, unit = 2 * static_cast<long long>(after);
    const long long place = twice < 0 ? 0 : twice;
    const int low = static_cast<int>(place / unit);
    const int high = low + 1 < before ? low + 1 : low;
    const Real part = static_cast<Real>(place % unit) / static_cast<Real>(unit);
    return narrow<T>((Real(1) - part) * widen(x[low * run]) + part * widen(x[high * run]));
#endif
}

extern "C" __global__ void resample(const T* __restrict__ x, T* __restrict__ y, int batch, int before, int after, long long run)
{
    const int t = blockIdx.x * blockDim.y + threadIdx.y;
    if (t >= after) return;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
    const int first = 0, step = 1;
#else
    const int first = threadIdx.x, step = blockDim.x;
#endif
    for (int b = blockIdx.y; b < batch; b += gridDim.y) {
        const T* source = x + static_cast<long long>(b) * before * run;
        T* target = y + (static_cast<long long>(b) * after + t) * run;
        for (long long e = first; e < run; e += step) target[e] = mixed(source + e, run, t, before, after);
    }
}
