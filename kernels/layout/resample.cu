// y[b, t] = x[b] at (t + 0.5) * before / after - 0.5, linearly; where AVERAGE, the mean of x[b, t * before / after ...]
//
// Layout: x is batch x before x run, y batch x after x run, row-major; runs are rows of features. An average goes from
//         floor(t * before / after) to ceil((t + 1) * before / after), as torch's adaptive pooling does. The grid's x
//         is along a run; rows of y are its y, then its z.
// Idea:   places and weights are found once per row, whose features move as vectors (linear).
// Floor:  one read of x and one write of y; 3 operations each (linear).

#include "numeric.cuh"
#include "vectors.cuh"

#ifndef AVERAGE
#define AVERAGE 0
#endif

static_assert(Floating<T>::value, "resample takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

// Row t of y, from rows of x.
__device__ inline void resample_row(const T* __restrict__ x, T* __restrict__ y, int t, int before, int after, long long run)
{
#if AVERAGE
    const int first = static_cast<int>(static_cast<long long>(t) * before / after);
    const int last = static_cast<int>((static_cast<long long>(t + 1) * before + after - 1) / after);
    const Real share = Real(1) / static_cast<Real>(last - first);
#ifdef CUDAGRAPH_HOST
    const PartOfBlock part(run);
    for (long long e = part.first; threadIdx.x == 0 && e < part.end; ++e) {
#else
    const Lane lane = this_lane();
    for (long long e = lane.number; e < run; e += lane.lanes) {
#endif
        Real sum = 0;
        for (int i = first; i < last; ++i) sum += widen(x[i * run + e]);
        y[e] = narrow<T>(sum * share);
    }
#else
    // In integers, so that places are exact however long x is.
    const long long twice = (2 * static_cast<long long>(t) + 1) * before - after, unit = 2 * static_cast<long long>(after);
    const long long place = twice < 0 ? 0 : twice;
    const int low = static_cast<int>(place / unit);
    const int high = low + 1 < before ? low + 1 : low;
    const Real part = static_cast<Real>(place % unit) / static_cast<Real>(unit);
    const auto mix = [=](T a, T b, T& c) { c = narrow<T>((Real(1) - part) * widen(a) + part * widen(b)); };
    for_each_element(run, mix, x + low * run, x + high * run, y);
#endif
}

extern "C" __global__ void resample(const T* __restrict__ x, T* __restrict__ y, int batch, int before, int after, long long run)
{
    const long long row = this_row();
    if (row >= static_cast<long long>(batch) * after) return;
    const long long b = row / after;
    resample_row(x + b * before * run, y + row * run, static_cast<int>(row - b * after), before, after, run);
}
