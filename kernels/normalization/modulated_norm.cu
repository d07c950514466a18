// y[s, t, c] = (x[s, t, c] - mean) / sqrt(var + eps) * (1 + modulation[s, scale_at + c]) + modulation[s, shift_at + c]
//
// Layout: x, y: samples x `each` x COLUMNS, modulation: samples x width, row-major. Launched as row_norm.cu; macros: see
//         row_norm.cuh. Where GATED, gate[s, c] = modulation[s, gate_at + c] is given out as an array of its own.
// Idea:   that of row_norm.cu, with factors and shifts of the sample that a row belongs to.
// Floor:  2 elements of traffic per output, and the modulation once per sample out of the cache.

#define OFFSET 1
#include "normalization/row_norm.cuh"

#ifndef GATED
#define GATED 0
#endif

extern "C" __global__ void __launch_bounds__(THREADS, 1) modulated_norm(const T* __restrict__ x, const T* __restrict__ modulation, T* __restrict__ y, T* __restrict__ gate, Real eps, long long rows, int each, int width, int scale_at, int shift_at, int gate_at)
{
    const auto row_of = [=](long long row) {
        const T* __restrict__ sample = modulation + static_cast<long long>(static_cast<unsigned int>(row) / each) * width;
        const long long at = row * COLUMNS;
        return Row{x + at, x + at, sample + scale_at, sample + shift_at, y + at, y + at};
    };
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    const long long sample = static_cast<unsigned int>(row) / each;
    if (GATED && row < rows && row == sample * each) {
        for (int c = threadIdx.x; c < COLUMNS; c += blockDim.x) gate[sample * COLUMNS + c] = modulation[sample * width + gate_at + c];
    }
    normalize_rows(row_of, rows, eps);
}
