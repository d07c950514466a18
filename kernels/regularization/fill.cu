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

extern "C" __global__ void fill(T* __restrict__ y, float shift, float scale, float factor, unsigned int seed, long long n)
{
    const long long group = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    const long long first = 4 * group;
    if (first >= n) return;
    float z[4] = {};
    if (LAW > 0) {
        const uint4 words = philox(seed, static_cast<unsigned int>(group), 0u, 0u);
        if (LAW == 1) {
            const unsigned int word[4] = {words.x, words.y, words.z, words.w};
            for (int i = 0; i < 4; ++i) z[i] = 2.0f * uniform(word[i]) - 1.0f;
        } else {
            normal_pair(words.x, words.y, z);
            normal_pair(words.z, words.w, z + 2);
        }
    }
    Four<T> four;
#pragma unroll
    for (int i = 0; i < 4; ++i) four.value[i] = narrow<T>(shift + scale * factor * z[i]);
    if (first + 4 <= n && aligned(y)) {
        *reinterpret_cast<Four<T>*>(y + first) = four;
    } else {
        for (int i = 0; i < 4 && first + i < n; ++i) y[first + i] = four.value[i];
    }
}
