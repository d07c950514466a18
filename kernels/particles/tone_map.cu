// picture = 255 * sqrt(v), where v = exposure * light / (1 + exposure * light)
//
// Layout: light has n floats >= 0, picture n bytes.
// Idea:   compresses any amount of light into what a screen can show (Reinhard), then encodes for the eye (gamma 2).
//         Vectors: 16 bytes in, 4 out.
// Floor:  5 n bytes, 5 n operations.

#include "elementwise.cuh"

extern "C" __global__ void tone_map(const float* __restrict__ light, unsigned char* __restrict__ picture, float exposure, long long n)
{
    elementwise(
        n,
        [exposure](float x) {
            const float v = exposure * x;
            return static_cast<unsigned char>(rintf(255.0f * sqrtf(__fdividef(v, 1.0f + v))));
        },
        picture, light);
}
