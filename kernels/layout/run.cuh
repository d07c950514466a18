// Copies of contiguous runs: n elements from x to y by `lanes` threads, of which this one is number `lane`.
//
// Runs that are aligned alike move as vectors of 16 bytes, two of them in flight per thread, because one load per thread
// keeps too few bytes in flight to reach the memory's speed. On a CPU the first lane copies the whole run in one loop.
#pragma once

struct alignas(16) Sixteen {
    unsigned int word[4];
};

template <class X> __device__ inline bool vectors(const X* x, const X* y)
{
    return ((reinterpret_cast<unsigned long long>(x) | reinterpret_cast<unsigned long long>(y)) % 16) == 0;
}

template <class X> __device__ inline void copy_run(X* __restrict__ y, const X* __restrict__ x, long long n, int lane, int lanes)
{
#ifdef CUDAGRAPH_HOST
    if (lane != 0) return;
#pragma GCC ivdep
    for (long long i = 0; i < n; ++i) y[i] = x[i];
#else
    constexpr int each = 16 / sizeof(X);
    long long done = 0;
    if (vectors(x, y)) {
        const Sixteen* from = reinterpret_cast<const Sixteen*>(x);
        Sixteen* to = reinterpret_cast<Sixteen*>(y);
        const long long count = n / each;
        for (long long i = lane; i < count; i += 2 * lanes) {
            const Sixteen a = from[i];
            const bool second = i + lanes < count;
            const Sixteen b = second ? from[i + lanes] : a;
            to[i] = a;
            if (second) to[i + lanes] = b;
        }
        done = count * each;
    }
    for (long long i = done + lane; i < n; i += lanes) y[i] = x[i];
#endif
}

// The same value in a run.
template <class X> __device__ inline void fill_run(X* __restrict__ y, X value, long long n, int lane, int lanes)
{
#ifdef CUDAGRAPH_HOST
    if (lane != 0) return;
    for (long long i = 0; i < n; ++i) y[i] = value;
#else
    for (long long i = lane; i < n; i += lanes) y[i] = value;
#endif
}
