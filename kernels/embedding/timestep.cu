// y[b, i] = sin(t[b] * frequencies[i]), y[b, half + i] = cos(t[b] * frequencies[i]); the halves swapped where COS_FIRST
//
// Layout: t and frequencies are float, y is rows x channels, half = channels / 2; a last odd channel is 0.
// Idea:   a thread computes one sine and one cosine; frequencies come ready, because exp and log here would cost digits.
// Floor:  rows x channels elements of traffic; 60 operations each.

#include "numeric.cuh"

#ifndef COS_FIRST
#define COS_FIRST 1
#endif

static_assert(Floating<T>::value, "timestep gives float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void timestep(const float* __restrict__ t, const float* __restrict__ frequencies, T* __restrict__ y, long long rows, int channels)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x, half = channels / 2;
    const long long row = blockIdx.y;
    if (i == 0 && row < rows && channels % 2 == 1) y[row * channels + channels - 1] = static_cast<T>(0.0f);
    if (i >= half || row >= rows) return;
    // Less the nearest multiple of pi, taken away in two parts: exact to |angle| = 1e6, and without the slow path of sinf.
    const float angle = t[row] * frequencies[i], turns = rintf(angle * 0.318309886f);
    const float rest = fmaf(turns, 8.74227766e-8f, fmaf(turns, -3.14159274f, angle));
    const float sign = static_cast<int>(turns) & 1 ? -1.0f : 1.0f;
    const T sine = static_cast<T>(sign * sinpif(rest * 0.318309886f)), cosine = static_cast<T>(sign * cospif(rest * 0.318309886f));
    y[row * channels + i] = COS_FIRST ? cosine : sine;
    y[row * channels + half + i] = COS_FIRST ? sine : cosine;
}
