// y[o, c, i] = A[c] exp(-d[c] g(z)) sin(f[c] z + phase[c]), z = x[o, c, i]
//
// Layout: x and y are outer x features x inner, row-major, of a floating-point type T; ready: A, f and d, 3 x features
//         floats; phase: features floats, used where PHASE is 1. DECAY: g(z) is |z| (1), max(z, 0) (2) or 0 (0).
//         rows x columns is outer x features where inner is 1, else outer * features x inner.
// Idea:   rows of one feature, or of all of them, so that no element divides an index.
// Floor:  2 elements of traffic, 1 exponential and 1 sine per element.

#include "activation/per_feature.cuh"

#ifndef DECAY
#define DECAY 1
#endif
#ifndef PHASE
#define PHASE 1
#endif

static_assert(Floating<T>::value, "sine takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

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

extern "C" __global__ void sine(const T* __restrict__ x, const float* __restrict__ ready, const float* __restrict__ phase, T* __restrict__ y, long long rows,
                                int columns, int features, int inner)
{
    per_feature(rows, columns, features, inner, [=](long long i, int feature) {
        const Real z = widen(x[i]);
        const Real g = DECAY == 1 ? magnitude(z) : DECAY == 2 && z > Real(0) ? z : Real(0);
        const Real angle = Real(ready[features + feature]) * z + (PHASE ? Real(phase[feature]) : Real(0));
        y[i] = narrow<T>(Real(ready[feature]) * exponential(-Real(ready[2 * features + feature]) * g) * sine_of(angle));
    });
}
