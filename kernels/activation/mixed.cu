// y[o, c, i] = activation of the kind kind[c], of x[o, c, i] and with numbers of feature c
//
// Layout: x and y are outer x features x inner, row-major, of a floating-point type T; ready: amplitude, frequency, decay,
//         phase and slope, 5 x features floats; kind: features numbers of the enum in mixed.cuh, read where KIND is -1, else
//         all features are of the kind KIND. rows, columns: see sine.cu.
// Idea:   one pass whatever the mix, instead of one gather and scatter per kind. Kinds that stand side by side (a
//         contiguous layout) share warps; a random mix runs each warp through every kind that is in it.
// Floor:  2 elements of traffic.

#include "activation/mixed.cuh"
#include "activation/per_feature.cuh"

#ifndef KIND
#define KIND -1
#endif

static_assert(Floating<T>::value, "mixed takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

extern "C" __global__ void mixed(const T* __restrict__ x, const float* __restrict__ ready, const int* __restrict__ kind, float clip_max,
                                 T* __restrict__ y, long long rows, int columns, int features, int inner)
{
    const auto shown = [=](T v, int of_feature, float amplitude, float frequency, float decay, float phase, float slope, T& result) {
        const Real z = widen(v);
        const int which = KIND < 0 ? of_feature : KIND;
        Real y;
        if (which == MIXED_RELU) y = activate_relu(z);
        else if (which == MIXED_TANH) y = activate_tanh(z);
        else if (which == MIXED_GELU) y = activate_gelu(z);
        else if (which == MIXED_RELU_SIGMOID_PSANN)
            y = relu_sigmoid_psann(z, Real(amplitude), Real(frequency), Real(decay), Real(slope), Real(clip_max));
        else y = damped_sine<DECAY>(z, Real(amplitude), Real(frequency), Real(decay), Real(phase));
        result = narrow<T>(y);
    };
    const auto number = [=](int which) { return ready + which * features; };
    per_feature(rows, columns, features, inner, shown, x, y, kind, number(0), number(1), number(2), number(3), number(4));
}
