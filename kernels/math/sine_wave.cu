// y = sin(x + TURNS pi / 2)
//
// Layout: x and y have n contiguous elements of a floating-point type T. TURNS is 0, or 1 for a cosine.
// Idea:   memory speed is the limit: elements move as vectors. Near 0, multiples of pi are taken away in
//         two parts. Far from it (Payne and Hanek 1983), the bits of 2 / pi that decide the quadrant and the rest are
//         multiplied as integers, in registers, where CUDA's own function keeps an array. A CPU takes all elements as near
//         ones, which makes vectors, and then again those that are far. Doubles have the device's own function.
// Floor:  2 n elements of traffic, n sines.
// Variants: TURNS=1

#include "activation/sine.cuh"
#include "elementwise.cuh"

#ifndef TURNS
#define TURNS 0
#endif

static_assert(Floating<T>::value, "functions of one number take float16, bfloat16, float32 or float64 tensors");

__device__ inline bool is_far(float x) { return !(fabsf(x) < 131072.0f); }
__device__ inline bool is_far(double) { return false; }

__device__ inline double near_sine(double x) { return TURNS ? cos(x) : sin(x); }
__device__ inline float near_sine(float x)
{
    if (!TURNS) return sine_of(x);
    const float n = rintf(x * 0.318309886f - 0.5f), turns = n + 0.5f;
    const float sine = sine_series<6>(fmaf(turns, 8.74227766e-8f, fmaf(turns, -3.14159274f, x)));
    return static_cast<int>(n) & 1 ? sine : -sine;
}

// 32 bits of 2 / pi; the first ones stand before the point.
__device__ inline unsigned long long two_over_pi(int word)
{
    switch (word) {
    case 0: return 0u;
    case 1: return 0xa2f9836eu;
    case 2: return 0x4e441529u;
    case 3: return 0xfc2757d1u;
    case 4: return 0xf534ddc0u;
    case 5: return 0xdb629599u;
    default: return 0x3c439041u;
    }
}

__device__ inline double far_sine(double x) { return near_sine(x); }
// Not inlined: it is seldom needed, and one copy for each of a thread's elements would be more than the caches hold.
__device__ __noinline__ float far_sine(float x)
{
    const unsigned bits = __float_as_uint(x);
    const int first = static_cast<int>((bits >> 23) & 0xff) - 128, word = first / 32, shift = first % 32;
    const unsigned long long mantissa = ((bits & 0x7fffff) | 0x800000) << 8;
    unsigned long long window[3];  // the bits before them stand for multiples of 4 quadrants
#pragma unroll
    for (int i = 0; i < 3; ++i) window[i] = (two_over_pi(word + i) << 32 | two_over_pi(word + i + 1)) << shift >> 32;
    const unsigned long long quadrants = (mantissa * window[0] << 32) + mantissa * window[1] + (mantissa * window[2] >> 32);
    const int nearest = static_cast<int>((quadrants + (1ull << 61)) >> 62);  // the point stands after 2 bits
    const float angle = static_cast<float>(static_cast<long long>(quadrants << 2)) * 8.51530395e-20f;
    const float r = x < 0.0f ? -angle : angle;
    const int turns = (x < 0.0f ? -nearest : nearest) + TURNS;
    const float sine = sine_series<6>(turns & 1 ? 1.57079633f - fabsf(r) : r);
    return x - x == 0.0f ? (turns & 2 ? -sine : sine) : x - x;
}

extern "C" __global__ void sine_wave(const T* __restrict__ x, T* __restrict__ y, long long n)
{
#ifdef CUDAGRAPH_HOST
    elementwise(n, [](T v) { return narrow<T>(near_sine(widen(v))); }, y, x);
    if (threadIdx.x != 0) return;
    const PartOfBlock part(n);
    int far = 0;
    for (long long i = part.first; i < part.end; ++i) far |= is_far(widen(x[i]));
    for (long long i = part.first; far && i < part.end; ++i) {
        if (is_far(widen(x[i]))) y[i] = narrow<T>(far_sine(widen(x[i])));
    }
#else
    elementwise(n, [](T v) { return narrow<T>(is_far(widen(v)) ? far_sine(widen(v)) : near_sine(widen(v))); }, y, x);
#endif
}
