// y[p] = max or mean over i of x[p, i]
//
// Layout: x is planes x positions, row-major; y has one value per plane. MEAN: 0 is the maximum. A block has 32 threads
//         for each of its blockDim.y planes.
// Idea:   a warp per plane: lanes read neighbours, four at a time, and combine by shuffles. On a CPU one thread adds up
//         the plane in 16 partial results.
// Floor:  one read of x. NaN wins the maximum, as in every framework.

#include "numeric.cuh"

#ifndef MEAN
#define MEAN 0
#endif

static_assert(Floating<T>::value, "global_pool takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

__device__ inline Real join(Real before, Real value)
{
    if (MEAN) return before + value;
    return value > before || value != value ? value : before;
}

extern "C" __global__ void global_pool(const T* __restrict__ x, T* __restrict__ y, long long planes, int positions)
{
    const long long plane = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    if (plane >= planes) return;
    const T* source = x + plane * positions;
    const Real nothing = MEAN ? Real(0) : static_cast<Real>(-INFINITY);
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
    Real part[16];
    for (int i = 0; i < 16; ++i) part[i] = nothing;
    int at = 0;
    for (; at + 16 <= positions; at += 16)
        for (int i = 0; i < 16; ++i) part[i] = join(part[i], widen(source[at + i]));
    for (; at < positions; ++at) part[0] = join(part[0], widen(source[at]));
    Real result = nothing;
    for (int i = 0; i < 16; ++i) result = join(result, part[i]);
#else
    Real result = nothing;
    for (int at = threadIdx.x; at < positions; at += 128) {
        Real value[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) value[i] = at + 32 * i < positions ? widen(source[at + 32 * i]) : nothing;
#pragma unroll
        for (int i = 0; i < 4; ++i) result = join(result, value[i]);
    }
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) result = join(result, __shfl_xor_sync(0xffffffffu, result, distance));
    if (threadIdx.x > 0) return;
#endif
    y[plane] = narrow<T>(MEAN ? result / static_cast<Real>(positions) : result);
}
