// One particle: 32 bytes, two 16-byte vectors, so that a warp moves whole sectors. Lengths in metres, times in seconds.
#pragma once

struct alignas(16) Particle {
    float3 position;
    float age;
    float3 velocity;
    float lifetime;
};

static_assert(sizeof(Particle) == 32, "a particle is two 16-byte vectors");

__device__ inline unsigned int particle_index() { return blockIdx.x * blockDim.x + threadIdx.x; }
