// Random masks. An element's word depends on (seed, element, frame, stream) only, never on the launch: see philox.cuh.
#pragma once

#include "elementwise.cuh"
#include "philox.cuh"

// What is kept is multiplied by this, so that the mean stays: 1 / (1 - p), and 0 where nothing is kept.
__device__ inline float keep_scale(float p) { return p < 1.0f ? 1.0f / (1.0f - p) : 0.0f; }

__device__ inline unsigned int word_of(uint4 words, int i) { return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w; }

// y[i] = keep(i) ? x[i] * scale : 0. Word i % 4 of group i / 4 decides: it is at least p where i is kept.
// Launch ceil(n / 4) threads. x and y may be the same array.
template <class X> __device__ inline void drop(const X* x, X* y, float p, unsigned int seed, unsigned int frame, long long n)
{
    const long long group = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    const long long first = 4 * group;
    if (first >= n) return;
    const uint4 words = philox(seed, static_cast<unsigned int>(group), frame, 0u);
    const float scale = keep_scale(p);
    const auto result = [=](X value, int i) {
        return uniform(word_of(words, i)) >= p ? narrow<X>(widen(value) * scale) : narrow<X>(0);
    };
    if (first + 4 <= n && aligned(x, y)) {
        Four<X> four = *reinterpret_cast<const Four<X>*>(x + first);
#pragma unroll
        for (int i = 0; i < 4; ++i) four.value[i] = result(four.value[i], i);
        *reinterpret_cast<Four<X>*>(y + first) = four;
    } else {
        for (int i = 0; i < 4 && first + i < n; ++i) y[first + i] = result(x[first + i], i);
    }
}
