// Random masks. An element's word depends on (seed, element, frame, stream) only, never on the launch: see philox.cuh.
#pragma once

#include "elementwise.cuh"
#include "philox.cuh"

// What is kept is multiplied by this, so that the mean stays: 1 / (1 - p), and 0 where nothing is kept.
__device__ inline float keep_scale(float p) { return p < 1.0f ? 1.0f / (1.0f - p) : 0.0f; }

__device__ inline unsigned int word_of(uint4 words, int i) { return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w; }

// y[i] = keep(i) ? x[i] * scale : 0. Word i % 4 of group i / 4 decides: it is at least p where i is kept.
struct Drop {
    float p, scale;
    unsigned int seed, frame;

    template <class X> __device__ X one(X value, unsigned int word) const
    {
        return uniform(word) >= p ? narrow<X>(widen(value) * scale) : narrow<X>(0);
    }

    template <int W, class X> __device__ void operator()(long long i, const Pack<W, X>& x, Pack<W, X>& y) const
    {
        constexpr int together = W < 4 ? W : 4;
#pragma unroll
        for (int k = 0; k < W; k += together) {
            const uint4 words = philox(seed, static_cast<unsigned int>((i + k) / 4), frame, 0u);
#pragma unroll
            for (int j = k; j < k + together; ++j) y.value[j] = one(x.value[j], word_of(words, static_cast<int>((i + j) % 4)));
        }
    }
};

// Launch `vector_threads(n)` threads. x and y may be the same array.
template <class X> __device__ inline void drop(const X* x, X* y, float p, unsigned int seed, unsigned int frame, long long n)
{
    const Drop drop = {p, keep_scale(p), seed, frame};
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0) return;
    const PartOfBlock groups((n + 3) / 4);
#pragma GCC ivdep
    for (long long group = groups.first; group < groups.end; ++group) {
        const uint4 words = philox(seed, static_cast<unsigned int>(group), frame, 0u);
        const int count = n - 4 * group < 4 ? static_cast<int>(n - 4 * group) : 4;
        for (int j = 0; j < count; ++j) y[4 * group + j] = drop.one(x[4 * group + j], word_of(words, j));
    }
#else
    for_each_pack(n, this_lane(), drop, x, y);
#endif
}
