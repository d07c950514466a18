// Philox4x32-10, the counter-based random number generator of Salmon, Moraes, Dror and Shaw,
// "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
//
// There is no state: the same key and counter give the same four words on every device, in any order of threads.
// By convention key = (seed, 0) and counter = (element, frame, stream, 0).
#pragma once

__device__ inline uint4 philox_rounds(uint4 counter, uint2 key)
{
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned long long a = 0xD2511F53ull * counter.x;
        const unsigned long long b = 0xCD9E8D57ull * counter.z;
        counter = make_uint4(static_cast<unsigned int>(b >> 32) ^ counter.y ^ key.x, static_cast<unsigned int>(b),
                             static_cast<unsigned int>(a >> 32) ^ counter.w ^ key.y, static_cast<unsigned int>(a));
        key.x += 0x9E3779B9u;
        key.y += 0xBB67AE85u;
    }
    return counter;
}

// Four random words of a counter and a key.
__device__ inline uint4 philox(uint4 counter, uint2 key) { return philox_rounds(counter, key); }

// Four random words that belong to one element of one frame.
__device__ inline uint4 philox(unsigned int seed, unsigned int element, unsigned int frame, unsigned int stream)
{
    return philox_rounds(make_uint4(element, frame, stream, 0u), make_uint2(seed, 0u));
}

// A word as a float in [0, 1): the 24 upper bits, so every value is exact.
__device__ inline float uniform(unsigned int word) { return static_cast<float>(word >> 8) * (1.0f / 16777216.0f); }
