// particles = survivors of the last frame, then floor(carry + rate * dt) new ones
//
// Layout: previous and particles have room for `capacity` particles; counters are device values. `before` and `now` hold
//         the frame number and the part of a particle that is still owed, from frame to frame.
// Idea:   thread i carries over particle i if it is still alive, then makes new particle i. Every thread works out the
//         number of new particles itself, from `before`, so the host has nothing to do per frame. Random numbers depend
//         on (seed, i, frame) only, so the same particles are made in any order of threads.
// Floor:  64 bytes per survivor (read and written), 32 per new particle.

#include "append.cuh"
#include "particles/particle.cuh"
#include "philox.cuh"

struct Clock {
    unsigned int frame;
    float carry;
};

// A point of the unit sphere's surface from two uniform numbers.
__device__ inline float3 on_sphere(float u, float v)
{
    const float z = 2.0f * u - 1.0f;
    const float radius = sqrtf(fmaxf(0.0f, 1.0f - z * z));
    const float angle = 6.283185307179586f * v;
    float sine, cosine;
    sincospif(2.0f * v, &sine, &cosine);
    return make_float3(radius * cosine, radius * sine, z);
}

extern "C" __global__ void emit(const Particle* __restrict__ previous, const unsigned int* __restrict__ previous_count,
                                const Clock* __restrict__ before, Clock* __restrict__ now, Particle* __restrict__ particles,
                                unsigned int* __restrict__ count, float3 center, float radius, float speed, float rate,
                                float lifetime, float dt, unsigned int seed, unsigned int capacity)
{
    const unsigned int i = particle_index();
    const float owed = before->carry + rate * dt;
    const float made = floorf(owed);
    if (i == 0) *now = {before->frame + 1u, owed - made};
    if (i < appended(previous_count, capacity) && previous[i].age < previous[i].lifetime) {
        const int slot = append_slot(count, capacity);
        if (slot >= 0) particles[slot] = previous[i];
    }
    if (i < capacity && static_cast<float>(i) < made) {
        const int slot = append_slot(count, capacity);
        const uint4 words = philox(seed, i, before->frame, 0u);
        const float3 out = on_sphere(uniform(words.x), uniform(words.y));
        const float pace = speed * (0.5f + 0.5f * uniform(words.z));
        const float3 start = make_float3(center.x + radius * out.x, center.y + radius * out.y, center.z + radius * out.z);
        const float3 velocity = make_float3(pace * out.x, pace * out.y, pace * out.z);
        if (slot >= 0) particles[slot] = {start, 0.0f, velocity, lifetime * (0.75f + 0.25f * uniform(words.w))};
    }
}
