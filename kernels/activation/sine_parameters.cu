// amplitude | frequency | decay = clamp(softplus(raw), low, high), + 1e-6 for the frequency before the clamp
//
// Layout: amplitude, frequency, decay: features raw values; ready: 3 x features floats, one row for each.
// Idea:   so that the elements need not compute softplus; runs beside what makes their input.
// Floor:  6 features elements of traffic.

#include "activation/sine.cuh"

extern "C" __global__ void sine_parameters(const float* __restrict__ amplitude, const float* __restrict__ frequency, const float* __restrict__ decay,
                                           float* __restrict__ ready, float2 amplitude_bounds, float2 frequency_bounds, float2 decay_bounds, int features)
{
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= features) return;
    ready[c] = ready_value(amplitude[c], 0.0f, amplitude_bounds.x, amplitude_bounds.y);
    ready[features + c] = ready_value(frequency[c], 1e-6f, frequency_bounds.x, frequency_bounds.y);
    ready[2 * features + c] = ready_value(decay[c], 0.0f, decay_bounds.x, decay_bounds.y);
}
