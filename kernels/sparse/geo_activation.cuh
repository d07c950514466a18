// The activation of a feature: SINE is 0 for one of activation.cuh, else a damped sine with numbers of the feature's own
// (1), with a phase (2), between a rectifier and a sigmoid (3), or a kind for each feature (4). DECAY: see sine.cuh.
#pragma once

#include "activation/activation.cuh"
#include "activation/sine.cuh"
#include "sparse/geo.cuh"

#ifndef SINE
#define SINE 0
#endif
#ifndef DECAY
#define DECAY 1
#endif

enum Kind { NONE, RELU, TANH, GELU, PSANN, PHASE_PSANN, RELU_SIGMOID_PSANN };

// The numbers of all features as they are stored, before softplus.
struct Responses {
    const P *amplitude, *frequency, *decay, *phase, *slope;
    const I* kind;
    float amplitude_low, amplitude_high, frequency_low, frequency_high, decay_low, decay_high, clip_max;
};

struct Response {
    Sum amplitude, frequency, decay, phase, slope, clip_max;
    int kind;

    template <int KIND> __device__ Sum sine(Sum z) const
    {
        if (KIND == PSANN) return damped_sine<DECAY>(z, amplitude, frequency, decay, Sum(0));
        if (KIND == PHASE_PSANN) return damped_sine<DECAY>(z, amplitude, frequency, decay, phase);
        const Sum positive = z > Sum(0) ? z : Sum(0);
        const Sum t = slope * positive;
        const Sum shown = t * activate_sigmoid(t + damped_sine<DECAY>(positive, amplitude, frequency, decay, Sum(0)));
        return shown < Sum(0) ? Sum(0) : shown > clip_max ? clip_max : shown;
    }

    template <int KIND> __device__ Sum of(Sum z) const
    {
        if (KIND == NONE) return z;
        if (KIND == RELU) return activate_relu(z);
        if (KIND == TANH) return activate_tanh(z);
        if (KIND == GELU) return activate_gelu(z);
        return sine<KIND>(z);
    }

    // f applied to what this feature's kind makes of a number: the kind is chosen once for all numbers of the feature.
    template <class Each> __device__ auto choose(Each f) const
    {
#if SINE == 0
        return f([](Sum z) { return activate(z); });
#elif SINE < 4
        return f([this](Sum z) { return sine<SINE == 1 ? PSANN : SINE == 2 ? PHASE_PSANN : RELU_SIGMOID_PSANN>(z); });
#else
        switch (kind) {
            case RELU: return f([this](Sum z) { return of<RELU>(z); });
            case TANH: return f([this](Sum z) { return of<TANH>(z); });
            case GELU: return f([this](Sum z) { return of<GELU>(z); });
            case PSANN: return f([this](Sum z) { return of<PSANN>(z); });
            case PHASE_PSANN: return f([this](Sum z) { return of<PHASE_PSANN>(z); });
            case RELU_SIGMOID_PSANN: return f([this](Sum z) { return of<RELU_SIGMOID_PSANN>(z); });
            default: return f([](Sum z) { return z; });
        }
#endif
    }

    template <int COUNT> __device__ typename LanesOf<COUNT>::type operator()(typename LanesOf<COUNT>::type z) const
    {
        alignas(64) Sum in[COUNT];
        unpack<COUNT>(z, in);
        return choose([&](auto activation) { return lanes_of<COUNT>([&](int i) { return activation(in[i]); }); });
    }
};

__device__ inline Response response_of(const Responses& all, int feature)
{
    Response one{};
#if SINE > 0
    one.amplitude = ready_value<Sum>(all.amplitude[feature], 0, all.amplitude_low, all.amplitude_high);
    one.frequency = ready_value<Sum>(all.frequency[feature], Sum(1e-6), all.frequency_low, all.frequency_high);
    one.decay = ready_value<Sum>(all.decay[feature], 0, all.decay_low, all.decay_high);
    if (SINE == 2 || SINE == 4) one.phase = all.phase[feature];
    if (SINE > 2) one.slope = ready_value<Sum>(all.slope[feature], Sum(1e-6), 0, INFINITY), one.clip_max = all.clip_max;
    if (SINE == 4) one.kind = all.kind[feature];
#endif
    return one;
}

#ifdef CUDAGRAPH_HOST
// The responses of neighbouring features, made in one go that is vectorised.
template <int COUNT> struct Ready {
    alignas(64) Sum amplitude[COUNT], frequency[COUNT], decay[COUNT], phase[COUNT], slope[COUNT];
    int kind[COUNT];
    float clip_max;

    void prepare(const Responses& all, int first, int count)
    {
#if SINE > 0
        clip_max = all.clip_max;
#pragma GCC ivdep
        for (int i = 0; i < count; ++i) {
            const Response one = response_of(all, first + i);
            amplitude[i] = one.amplitude, frequency[i] = one.frequency, decay[i] = one.decay;
            if (SINE == 2 || SINE == 4) phase[i] = one.phase;
            if (SINE > 2) slope[i] = one.slope;
            if (SINE == 4) kind[i] = one.kind;
        }
#endif
    }

    Response of(int i) const
    {
        Response one{};
#if SINE > 0
        one.amplitude = amplitude[i], one.frequency = frequency[i], one.decay = decay[i], one.clip_max = clip_max;
        if (SINE == 2 || SINE == 4) one.phase = phase[i];
        if (SINE > 2) one.slope = slope[i];
        if (SINE == 4) one.kind = kind[i];
#endif
        return one;
    }
};
#endif
