// One part of rows that are joined side by side: target[c] = source[c] for c < width, by blockDim.x threads.
#pragma once

template <class X> struct alignas(16) Sixteen {
    X value[16 / sizeof(X)];
};

template <class X> __device__ inline void join_part(const X* __restrict__ source, X* __restrict__ target, long long width)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0) return;
#pragma GCC ivdep
    for (long long c = 0; c < width; ++c) target[c] = source[c];
#else
    constexpr int WIDE = 16 / sizeof(X);
    const unsigned long long ends = reinterpret_cast<unsigned long long>(source) | reinterpret_cast<unsigned long long>(target);
    const long long packs = ends % 16 ? 0 : width / WIDE;
    for (long long i = threadIdx.x; i < packs; i += blockDim.x) {
        reinterpret_cast<Sixteen<X>*>(target)[i] = reinterpret_cast<const Sixteen<X>*>(source)[i];
    }
    for (long long c = packs * WIDE + threadIdx.x; c < width; c += blockDim.x) target[c] = source[c];
#endif
}
