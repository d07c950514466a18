// y[r, c] = x[r, positions - 1, c]
//
// Layout: x is rows x positions x columns, y is rows x columns with n elements in all, row-major.
// Idea:   a thread per element; both sides are coalesced.
// Floor:  2 rows x columns elements of traffic.

#include "numeric.cuh"

extern "C" __global__ void last_position(const T* __restrict__ x, T* __restrict__ y, long long n, int positions, int columns)
{
    const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (i >= n) return;
    const long long row = i / columns;
    y[i] = x[(row * positions + positions - 1) * columns + (i - row * columns)];
}
