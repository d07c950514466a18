// y[o, c, i] = A[c] exp(-d[c] g(z)) sin(f[c] z + phase[c]), z = x[o, c, i]
//
// Layout: x and y are outer x features x inner, row-major, of a floating-point type T; ready: A, f and d, 3 x features
//         floats; phase: features floats, used where PHASE is 1. DECAY: g(z) is |z| (1), max(z, 0) (2) or 0 (0).
//         rows x columns is outer x features where inner is 1, else outer * features x inner.
// Idea:   rows of one feature, or of all of them, so that no element divides an index.
// Floor:  2 elements of traffic, 1 exponential and 1 sine per element.

#include "activation/per_feature.cuh"
#include "activation/sine.cuh"

#ifndef DECAY
#define DECAY 1
#endif
#ifndef PHASE
#define PHASE 1
#endif

static_assert(Floating<T>::value, "sine takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

extern "C" __global__ void sine(const T* __restrict__ x, const float* __restrict__ ready, const float* __restrict__ phase, T* __restrict__ y, long long rows,
                                int columns, int features, int inner)
{
    const auto shown = [](T v, float amplitude, float frequency, float decay, float phi, T& result) {
        result = narrow<T>(damped_sine<DECAY>(widen(v), Real(amplitude), Real(frequency), Real(decay), PHASE ? Real(phi) : Real(0)));
    };
    per_feature(rows, columns, features, inner, shown, x, y, ready, ready + features, ready + 2 * features, PHASE ? phase : ready);
}
