// velocity += strength * direction * dt
//
// Layout: particles in place, the first `count` of `capacity`.
// Idea:   one thread per particle; the velocity is one of a particle's two 16-byte vectors.
// Floor:  64 bytes per particle (whole 32-byte sectors move, in and out), 6 operations.

#include "append.cuh"
#include "particles/particle.cuh"

extern "C" __global__ void gravity(Particle* __restrict__ particles, const unsigned int* __restrict__ count, float strength, float3 direction, float dt, unsigned int capacity)
{
    const unsigned int i = particle_index();
    if (i >= appended(count, capacity)) return;
    float3 velocity = particles[i].velocity;
    velocity.x += strength * direction.x * dt;
    velocity.y += strength * direction.y * dt;
    velocity.z += strength * direction.z * dt;
    particles[i].velocity = velocity;
}
