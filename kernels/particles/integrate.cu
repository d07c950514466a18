// position += velocity * dt;  age += dt;  below the floor y = 0 a particle is reflected, keeping `bounce` of its speed
//
// Layout: particles in place, the first `count` of `capacity`.
// Idea:   one thread per particle, read and written as two 16-byte vectors. Semi-implicit Euler: forces came first.
// Floor:  64 bytes per particle, 8 operations.

#include "append.cuh"
#include "particles/particle.cuh"

extern "C" __global__ void integrate(Particle* __restrict__ particles, const unsigned int* __restrict__ count, float bounce, float dt, unsigned int capacity)
{
    const unsigned int i = particle_index();
    if (i >= appended(count, capacity)) return;
    Particle particle = particles[i];
    particle.position.x += particle.velocity.x * dt;
    particle.position.y += particle.velocity.y * dt;
    particle.position.z += particle.velocity.z * dt;
    particle.age += dt;
    if (particle.position.y < 0.0f) {
        particle.position.y *= -bounce;
        particle.velocity.y *= -bounce;
    }
    particles[i] = particle;
}
