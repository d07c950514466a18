// velocity *= exp(-coefficient * dt)
//
// Layout: particles in place, the first `count` of `capacity`.
// Idea:   one thread per particle; the exact solution of dv/dt = -coefficient * v, stable for any time step.
// Floor:  64 bytes per particle (whole 32-byte sectors move, in and out), 5 operations.

#include "append.cuh"
#include "particles/particle.cuh"

extern "C" __global__ void drag(Particle* __restrict__ particles, const unsigned int* __restrict__ count, float coefficient, float dt, unsigned int capacity)
{
    const unsigned int i = particle_index();
    if (i >= appended(count, capacity)) return;
    const float kept = expf(-coefficient * dt);
    float3 velocity = particles[i].velocity;
    velocity.x *= kept;
    velocity.y *= kept;
    velocity.z *= kept;
    particles[i].velocity = velocity;
}
