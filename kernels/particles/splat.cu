// image[pixel of particle] += brightness * color(age / lifetime)
//
// Layout: image is height x width x 3 floats (red, green, blue), cleared before. The camera looks along -z from
//         (0, eye_height, distance); zoom is the image's height in focal lengths.
// Idea:   one thread per particle; light adds up, so the order of the atomic additions only shows in the last bits.
//         Nothing is read back from the image: on a GPU the additions are fire and forget.
// Floor:  32 bytes per particle and 3 atomic additions for each that is seen.

#include "append.cuh"
#include "particles/particle.cuh"

extern "C" __global__ void splat(const Particle* __restrict__ particles, const unsigned int* __restrict__ count, float* __restrict__ image, float brightness, float distance, float eye_height, float zoom, int width, int height, unsigned int capacity)
{
    const unsigned int i = particle_index();
    if (i >= appended(count, capacity)) return;
    const Particle particle = particles[i];
    const float depth = distance - particle.position.z;
    if (depth < 0.1f) return;
    const float scale = zoom * static_cast<float>(height) / depth;
    const float column = floorf(0.5f * static_cast<float>(width) + scale * particle.position.x);
    const float row = floorf(0.5f * static_cast<float>(height) - scale * (particle.position.y - eye_height));
    if (!(column >= 0.0f && column < static_cast<float>(width) && row >= 0.0f && row < static_cast<float>(height))) return;
    const float old = fminf(particle.age / particle.lifetime, 1.0f);
    const float light = brightness * (1.0f - old * old);
    float* pixel = image + 3ll * (static_cast<long long>(row) * width + static_cast<long long>(column));
    atomicAdd(pixel, light * (1.0f - 0.8f * old));  // from orange over pink to blue
    atomicAdd(pixel + 1, light * (0.5f - 0.4f * old));
    atomicAdd(pixel + 2, light * (0.15f + 0.85f * old));
}
