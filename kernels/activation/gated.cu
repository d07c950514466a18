// y[r, c] = activation(a) * b, where a and b are x[r, c] and x[r, C + c]
//
// Layout: x is rows x 2 columns, y is rows x columns, row-major, of a floating-point type T. The first half is activated
//         where GATE is 0, the second where it is 1. Columns are the grid's x, rows its y, then its z.
// Idea:   memory speed is the limit: vectors of both halves, where rows begin at multiples of 16 bytes.
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
    const long long row = this_row();
    if (row >= rows) return;
    const T* first = x + 2 * row * columns;
    for_each_element(columns, [](T a, T b, T& result) { result = gate(a, b); }, first, first + columns, y + row * columns);
}
