// Drop path: a row's share of a block is left out with probability p times the block's place among DEPTH blocks.
#pragma once

#include "philox.cuh"

#ifndef DEPTH
#define DEPTH 1
#endif

// The number of the frame is an unsigned int; where nothing is drawn, any array may stand for it.
#ifndef Q
#define Q unsigned int
#endif

struct DropPath {
    const unsigned int* frame;
    float p;
    unsigned int seed;
    bool training;

    // What a row's share is multiplied by in a layer.
    __device__ float keep(long long row, int layer) const
    {
        const float share = DEPTH > 1 ? p * layer / (DEPTH > 1 ? DEPTH - 1 : 1) : p;
        if (!training || share <= 0.0f) return 1.0f;
        const float drawn = uniform(philox(seed, static_cast<unsigned int>(row), *frame, static_cast<unsigned int>(layer)).x);
        return drawn >= share && share < 1.0f ? 1.0f / (1.0f - share) : 0.0f;
    }
};
