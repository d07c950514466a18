// y[row, column] = (x[row, column] - mean[channel]) / std[channel]
//
// Layout: x and y are rows x columns, row-major, of a floating-point type T. The channel is the column (STEP 1), or the
//         rows' index along the stride 1 of c0... (STEP 0).
// Idea:   memory speed is the limit: vectors; mean and std stay in the cache.
// Floor:  2 n elements of traffic, n subtractions and divisions.

#include "activation/math.cuh"
#include "broadcast.cuh"

static_assert(Floating<T>::value, "normalizer takes float16, bfloat16, float32 or float64 tensors");

#ifndef STEP_C
#define STEP_C 1
#endif

extern "C" __global__ void normalizer(const T* __restrict__ x, const T* __restrict__ mean, const T* __restrict__ std,
    T* __restrict__ y, unsigned rows, long long columns, unsigned e0, unsigned e1, unsigned e2, unsigned e3,
    long long c0, long long c1, long long c2, long long c3, long long c4)
{
    const long long row = this_row();
    if (row >= rows) return;
    const long long channel = RowIndex(row, e0, e1, e2, e3).at(c0, c1, c2, c3, c4);
    broadcast_row(columns, [](T v, T m, T s) { return narrow<T>(quotient(widen(v) - widen(m), widen(s))); }, y + row * columns,
        row_of<1>(x, row * columns), row_of<STEP_C>(mean, channel), row_of<STEP_C>(std, channel));
}
