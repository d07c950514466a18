// y[r, c] = (v[r, c] - mean v[r]) / sqrt(var v[r] + eps) * (weight[c] + OFFSET) + bias[c], v = x or sum = x + residual
//
// Layout: x, residual, y and sum are rows x COLUMNS, row-major. A block has LANES threads for each of its blockDim.y rows.
//         Macros: see row_norm.cuh; arrays that they say are not there may be any.
// Idea:   a row is held in registers between two passes, so that the variance is exact and memory is read once.
// Floor:  2 (with residual 4) rows x COLUMNS elements of traffic.
// Variants: COLUMNS=64 LANES=8 THREADS=128; COLUMNS=768 LANES=32 THREADS=128 RESIDUAL=1
// Variants: COLUMNS=4096 LANES=256 THREADS=256 CENTERED=0 BIAS=0 RESIDUAL=1; COLUMNS=16384 LANES=1024 THREADS=1024 RESIDUAL=1

#include "normalization/row_norm.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, 1) row_norm(const T* __restrict__ x, const T* __restrict__ residual, const T* __restrict__ weight, const T* __restrict__ bias, T* __restrict__ y, T* __restrict__ sum, Real eps, long long rows)
{
    normalize_rows(
        [=](long long row) {
            const long long at = row * COLUMNS;
            return Row{x + at, residual + at, weight, bias, y + at, sum + at};
        },
        rows, eps);
}
