// ready = the numbers of every feature that mixed.cu reads, after softplus and bounds
//
// Layout: amplitude, frequency, decay: raw values of the features with sines, packed; phase: of those with a phase, slope:
//         of those with a slope, which begin at first_phase and first_slope of the packed ones. slot: for each feature its
//         place among the packed ones, -1 without a sine. ready: 5 x features floats.
// Idea:   so that the elements need not compute softplus; runs beside what makes their input.
// Floor:  10 features elements of traffic.

#include "activation/sine.cuh"

extern "C" __global__ void mixed_parameters(const float* __restrict__ amplitude, const float* __restrict__ frequency, const float* __restrict__ decay,
                                            const float* __restrict__ phase, const float* __restrict__ slope, const int* __restrict__ slot,
                                            float* __restrict__ ready, float2 amplitude_bounds, float2 frequency_bounds, float2 decay_bounds,
                                            int first_phase, int phases, int first_slope, int slopes, int features)
{
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= features) return;
    const int i = slot[c];
    const bool phased = i >= first_phase && i < first_phase + phases;
    const bool sloped = i >= first_slope && i < first_slope + slopes;
    ready[c] = i < 0 ? 0.0f : ready_value(amplitude[i], 0.0f, amplitude_bounds.x, amplitude_bounds.y);
    ready[features + c] = i < 0 ? 0.0f : ready_value(frequency[i], 1e-6f, frequency_bounds.x, frequency_bounds.y);
    ready[2 * features + c] = i < 0 ? 0.0f : ready_value(decay[i], 0.0f, decay_bounds.x, decay_bounds.y);
    ready[3 * features + c] = phased ? phase[i - first_phase] : 0.0f;
    ready[4 * features + c] = sloped ? ready_value(slope[i - first_slope], 1e-6f, 0.0f, INFINITY) : 0.0f;
}
