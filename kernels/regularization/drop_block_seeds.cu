// seeds[p, i, j] = 1 with probability gamma = p H W / (S S h w), else 0
//
// Layout: seeds has n = planes x h x w bytes, h = H - S + 1, w = W - S + 1 the places where a square of S x S fits; kept is
//         one number, set to 0.
// Idea:   one call of Philox serves four neighbouring places.
// Floor:  n bytes, 20 n operations.

#include "philox.cuh"

extern "C" __global__ void drop_block_seeds(unsigned char* __restrict__ seeds, unsigned int* __restrict__ kept, const unsigned int* __restrict__ frame, float p, unsigned int seed,
                                            bool training, long long n, long long area, long long divisor)
{
    const long long group = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (group == 0) *kept = 0u;
    if (!training || 4 * group >= n) return;
    const float gamma = p * static_cast<float>(area) / static_cast<float>(divisor);
    const uint4 words = philox(seed, static_cast<unsigned int>(group), *frame, 0u);
    const unsigned int word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (4 * group + i < n) seeds[4 * group + i] = uniform(word[i]) < gamma ? 1 : 0;
    }
}
