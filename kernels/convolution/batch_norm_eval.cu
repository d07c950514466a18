// y[b, c, p] = activation((x[b, c, p] - mean[c]) * weight[c] / sqrt(variance[c] + eps) + bias[c] + residual[b, c, p])
//
// Layout: x, residual and y are batch x channels x positions, row-major. RESIDUAL says whether there is one; otherwise it
//         may be any array.
// Idea:   a thread block walks along one plane, whose factor and shift are computed once; four neighbouring elements per
//         thread move as vectors where the planes are aligned. On a CPU one thread does the work of its thread block.
// Floor:  2 (with residual 3) elements of traffic per output.

#include "elementwise.cuh"
#include "activation/activation.cuh"

#ifndef RESIDUAL
#define RESIDUAL 0
#endif

static_assert(Floating<T>::value, "batch_norm_eval takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

__device__ inline float root(float x) { return sqrtf(x); }
__device__ inline double root(double x) { return sqrt(x); }

extern "C" __global__ void batch_norm_eval(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, const T* __restrict__ mean, const T* __restrict__ variance, const T* __restrict__ residual, T* __restrict__ y, float eps, int channels, long long planes, long long positions, int strips)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const long long plane = blockIdx.x / strips;
    if (plane >= planes) return;
    const int c = static_cast<int>(plane % channels);
    const Real factor = widen(weight[c]) / root(widen(variance[c]) + eps);
    const Real middle = widen(mean[c]), shift = widen(bias[c]);
    const auto finish = [=](T value, T other) {
        return narrow<T>(activate((widen(value) - middle) * factor + shift + (RESIDUAL ? widen(other) : Real(0))));
    };
    const T* __restrict__ source = x + plane * positions;
    const T* __restrict__ other = RESIDUAL ? residual + plane * positions : source;
    T* __restrict__ target = y + plane * positions;
    const long long first = 4 * (static_cast<long long>(blockIdx.x % strips) * blockDim.x + threadIdx.x);
#ifdef CUDAGRAPH_HOST
    const long long last = first + 4 * blockDim.x;
#else
    const long long last = first + 4;
    if (last <= positions && aligned(source, other, target)) {
        const Four<T> value = *reinterpret_cast<const Four<T>*>(source + first);
        const Four<T> added = *reinterpret_cast<const Four<T>*>(other + first);
        *reinterpret_cast<Four<T>*>(target + first) = each<T>(finish, value, added);
        return;
    }
#endif
    const long long end = last < positions ? last : positions;
    for (long long i = first; i < end; ++i) target[i] = finish(source[i], other[i]);
}
