// The activation of one feature among several kinds. The order of the kinds is that of blocks/activation/settings.py.
#pragma once

#include "activation/activation.cuh"
#include "activation/sine.cuh"

#ifndef DECAY
#define DECAY 1
#endif

enum MixedKind { MIXED_RELU, MIXED_TANH, MIXED_GELU, MIXED_PSANN, MIXED_PHASE_PSANN, MIXED_RELU_SIGMOID_PSANN };

// clamp(t sigmoid(t + s), 0, clip), t = slope max(z, 0), s a damped sine of max(z, 0)
template <class X> __device__ inline X relu_sigmoid_psann(X z, X amplitude, X frequency, X decay, X slope, X clip)
{
    const X positive = z < X(0) ? X(0) : z;
    const X t = slope * positive;
    const X y = t * activate_sigmoid(t + damped_sine<DECAY>(positive, amplitude, frequency, decay, X(0)));
    return y < X(0) ? X(0) : y > clip ? clip : y;
}
