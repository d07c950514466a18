// y[i] = shift + scale * factor * z[i], z[i] constant 0 (LAW 0), uniform in [-1, 1) (LAW 1) or normal (LAW 2)
//
// Layout: y has n contiguous elements of a floating-point type T.
// Idea:   one call of Philox gives four numbers for four neighbouring elements (as two pairs by Box and Muller, where they
//         are normal), which move as one vector. They depend on (seed, element) only.
// Floor:  n elements of traffic; 20 (uniform) to 30 (normal) operations per element.

#include "elementwise.cuh"
#include "philox.cuh"

#ifndef LAW
#define LAW 2
#endif

static_assert(Floating<T>::value, "fill makes float16, bfloat16, float32 or float64 tensors");

// Two normal numbers; the first word counts from 1, so that its logarithm is finite.
__device__ inline void normal_pair(unsigned int first, unsigned int second, float* z)
{
    const float radius = sqrtf(-2.0f * logf(static_cast<float>((first >> 8) + 1u) * (1.0f / 16777216.0f)));
    float sine, cosine;
    sincospif(2.0f * uniform(second), &sine, &cosine);
    z[0] = radius * cosine;
    z[1] = radius * sine;
}

// Four numbers for the elements 4 group, 4 group + 1, ...
__device__ inline void draw(unsigned int seed, long long group, float* z)
{
    if (LAW == 0) return;
    const uint4 words = philox(seed, static_cast<unsigned int>(group), 0u, 0u);
    if (LAW == 1) {
        const unsigned int word[4] = {words.x, words.y, words.z, words.w};
        for (int i = 0; i < 4; ++i) z[i] = 2.0f * uniform(word[i]) - 1.0f;
    } else {
        normal_pair(words.x, words.y, z);
        normal_pair(words.z, words.w, z + 2);
    }
}

struct Filled {
    float shift, scale;
    unsigned int seed;

    __device__ T one(float z) const { return narrow<T>(shift + scale * z); }

    template <int W> __device__ void operator()(long long i, Pack<W, T>& y) const
    {
        constexpr int together = W < 4 ? W : 4;
#pragma unroll
        for (int k = 0; k < W; k += together) {
            float z[4] = {};
            draw(seed, (i + k) / 4, z);
#pragma unroll
            for (int j = 0; j < together; ++j) {
                const int from = static_cast<int>((i + j) % 4);
                y.value[k + j] = one(W >= 4 ? z[j] : from == 0 ? z[0] : from == 1 ? z[1] : from == 2 ? z[2] : z[3]);
            }
        }
    }
};

extern "C" __global__ void fill(T* __restrict__ y, float shift, float scale, float factor, unsigned int seed, long long n)
{
    const Filled filled = {shift, scale * factor, seed};
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0) return;
    const PartOfBlock groups((n + 3) / 4);
#pragma GCC ivdep
    for (long long group = groups.first; group < groups.end; ++group) {
        float z[4] = {};
        draw(seed, group, z);
        for (int i = 0; i < 4 && 4 * group + i < n; ++i) y[4 * group + i] = filled.one(z[i]);
    }
#else
    for_each_pack(n, this_lane(), filled, y);
#endif
}
