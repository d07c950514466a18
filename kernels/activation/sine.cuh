// A sine that is damped, with numbers of its own for each feature.
#pragma once

#include "activation/math.cuh"

// clamp(softplus(raw) + shift, low, high)
template <class X> __device__ inline X ready_value(X raw, X shift, X low, X high)
{
    const X soft = (raw < X(0) ? X(0) : raw) + log_one_plus(exponential(-magnitude(raw)));
    const X value = (raw > X(20) ? raw : soft) + shift;
    return value < low ? low : value > high ? high : value;
}

// sin(r) for |r| <= pi / 2 by its series, with nothing left to see after `last` terms.
template <int last, class X> __device__ inline X sine_series(X r)
{
    const X z = r * r;
    X p = X(1);
#pragma unroll
    for (int k = last; k > 0; --k) p = X(1) - z * X(1.0 / (2 * k * (2 * k + 1))) * p;
    return r * p;
}

// x less the nearest multiple of pi, which is taken away in two parts so that nothing is lost for |x| < 1e6. The sine of
// CUDA and of libm has a branch for larger x, which a CPU cannot vectorise and a GPU pays for in registers.
__device__ inline float sine_of(float x)
{
    const float n = rintf(x * 0.318309886f);
    const float sine = sine_series<6>(fmaf(n, 8.74227766e-8f, fmaf(n, -3.14159274f, x)));
    return static_cast<int>(n) & 1 ? -sine : sine;
}
__device__ inline double sine_of(double x)
{
    const double n = rint(x * 0.3183098861837907);
    const double sine = sine_series<11>(fma(n, -1.2246467991473532e-16, fma(n, -3.141592653589793116, x)));
    return static_cast<long long>(n) & 1 ? -sine : sine;
}

// amplitude exp(-decay g(z)) sin(frequency z + phase), where g(z) is |z| (MODE 1), max(z, 0) (2) or 0 (0).
template <int MODE, class X> __device__ inline X damped_sine(X z, X amplitude, X frequency, X decay, X phase)
{
    const X g = MODE == 1 ? magnitude(z) : MODE == 2 && z > X(0) ? z : X(0);
    return amplitude * exponential(-decay * g) * sine_of(frequency * z + phase);
}
