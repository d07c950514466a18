// y[o, c, i] = exp(z[o, c, i] - max over j of z[o, j, i]) / sum over j of exp(z[o, j, i] - max), or its logarithm;
// z = x / temperature
//
// Layout: x and y are outer x columns x inner, row-major, of a floating-point type T. LOGARITHM is 1 for the logarithm.
// Idea:   one thread follows one (o, i), so neighbouring threads read neighbouring elements and nobody waits for anybody.
//         The first pass finds maximum and sum together (arXiv 1805.02867), the second reads x from the cache.
//         On the CPU one thread does the lines of a block, in loops that become vector instructions.
// Floor:  2 outer x columns x inner elements of traffic, 2 exponentials per element.

#include "activation/softmax.cuh"

static_assert(Floating<T>::value, "softmax takes float16, bfloat16, float32 or float64 tensors");

#ifdef CUDAGRAPH_HOST
constexpr int LINES = 256;  // threads of a block

// The lines of neighbouring inner elements side by side, so that the inner loops become vector instructions.
__device__ inline void together(const T* __restrict__ x, T* __restrict__ y, Real factor, int lines, int columns, long long inner)
{
    Real best[LINES], sums[LINES];
    for (int i = 0; i < lines; ++i) best[i] = static_cast<Real>(-FLT_MAX), sums[i] = Real(0);
    for (int c = 0; c < columns; ++c) {
        for (int i = 0; i < lines; ++i) best[i] = larger(best[i], widen(x[c * inner + i]) * factor);
    }
    for (int c = 0; c < columns; ++c) {
        for (int i = 0; i < lines; ++i) sums[i] += exponential(widen(x[c * inner + i]) * factor - best[i]);
    }
    for (int i = 0; i < lines; ++i) sums[i] = Outcome(best[i], sums[i]).last;
    for (int c = 0; c < columns; ++c) {
#pragma GCC ivdep
        for (int i = 0; i < lines; ++i) {
            const Real z = widen(x[c * inner + i]) * factor - best[i];
            y[c * inner + i] = narrow<T>(LOGARITHM ? z - sums[i] : exponential(z) * sums[i]);
        }
    }
}

extern "C" __global__ void softmax_strided(const T* __restrict__ x, T* __restrict__ y, float temperature, long long lines, int columns, long long inner)
{
    if (threadIdx.x != 0) return;
    long long line = blockIdx.x * static_cast<long long>(blockDim.x);
    const long long end = min(lines, line + blockDim.x);
    while (line < end) {
        const long long at = line % inner, count = min(end - line, inner - at);
        const long long start = line / inner * inner * columns + at;
        together(x + start, y + start, Real(1) / Real(temperature), static_cast<int>(count), columns, inner);
        line += count;
    }
}

#else
extern "C" __global__ void softmax_strided(const T* __restrict__ x, T* __restrict__ y, float temperature, long long lines, int columns, long long inner)
{
    const long long line = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (line >= lines) return;
    const long long start = line / inner * inner * columns + line % inner;
    const Real factor = Real(1) / Real(temperature);
    Part part = {static_cast<Real>(-FLT_MAX), Real(0)};
    for (int c = 0; c < columns; ++c) {
        const Real value = widen(x[start + c * inner]) * factor;
        const Real maximum = larger(part.maximum, value);
        part = {maximum, part.sum * exponential(part.maximum - maximum) + exponential(value - maximum)};
    }
    const Outcome outcome(part.maximum, part.sum);
    for (int c = 0; c < columns; ++c) y[start + c * inner] = narrow<T>(outcome(widen(x[start + c * inner]) * factor));
}
#endif
