// y[r, c] = activation(a) * b, where a and b are x[r, c] and x[r, C + c]
//
// Layout: x is rows x 2 columns, y is rows x columns, row-major, of a floating-point type T. The first half is activated
//         where GATE is 0, the second where it is 1. A block has blockDim.x threads for each of its blockDim.y rows.
// Idea:   four elements of each half per thread, moved as vectors where rows begin at multiples of four.
// Floor:  3 rows x columns elements of traffic; 2 (relu) to 30 (mish) operations per element.
// Variants: ACTIVATION=silu; ACTIVATION=gelu GATE=1

#include "elementwise.cuh"
#include "activation/activation.cuh"

#ifndef GATE
#define GATE 0
#endif

static_assert(Floating<T>::value, "gated takes float16, bfloat16, float32 or float64 tensors");

__device__ inline T gate(T first, T second)
{
    return narrow<T>(GATE == 0 ? activate(widen(first)) * widen(second) : widen(first) * activate(widen(second)));
}

extern "C" __global__ void gated(const T* __restrict__ x, T* __restrict__ y, long long rows, int columns)
{
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    const T* first = x + 2 * row * columns;
    const T* second = first + columns;
    T* target = y + row * columns;
    const int begin = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
    if (row >= rows || begin >= columns) return;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0) return;
    const int end = min(columns, begin + 4 * static_cast<int>(blockDim.x));
#pragma GCC ivdep
    for (int c = begin; c < end; ++c) target[c] = gate(first[c], second[c]);
#else
    if (columns % 4 == 0 && aligned(x, y)) {
        const auto f = [](T a, T b) { return gate(a, b); };
        const Four<T> a = *reinterpret_cast<const Four<T>*>(first + begin), b = *reinterpret_cast<const Four<T>*>(second + begin);
        *reinterpret_cast<Four<T>*>(target + begin) = each<T>(f, a, b);
    } else {
        for (int c = begin; c < columns && c < begin + 4; ++c) target[c] = gate(first[c], second[c]);
    }
#endif
}
