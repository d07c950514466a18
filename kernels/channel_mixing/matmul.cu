// y[m, n] = sum over k of x[m, k] * weight[n, k]
//
// Layout: x is rows x inner, weight is columns x inner (as torch stores a linear layer), y is rows x columns; row-major.
// Idea:   a block of 16 x 16 threads computes a tile of 64 x 64. Strips of 16 inner elements of both operands are staged
//         in shared memory, transposed; each thread keeps 4 x 4 sums in registers, 16 apart, so that a warp's reads of
//         a strip are broadcasts or neighbours. Sums are float for the half precisions. The strips' pitch is odd
//         because 16 lanes store one column of a strip at a time.
// Floor:  2 rows x columns x inner operations. This is the readable, editable product: no tensor cores, so expect
//         cuBLAS to be several times faster.

#include "numeric.cuh"

static_assert(Floating<T>::value, "matmul takes float16, bfloat16, float32 or float64 tensors");

using Sum = Compute<T>::type;
constexpr int TILE = 64, STRIP = 16, SIDE = 16, EACH = TILE / SIDE;

// One strip of an operand: 64 of its rows, 16 inner elements, zero outside of the matrix.
__device__ inline void stage(Sum (*strip)[TILE + 1], const T* __restrict__ matrix, long long row, long long rows, int at, int inner)
{
    for (int i = threadIdx.y * SIDE + threadIdx.x; i < TILE * STRIP; i += SIDE * SIDE) {
        const int k = i % STRIP, r = i / STRIP;
        const bool inside = row + r < rows && at + k < inner;
        strip[k][r] = inside ? widen(matrix[(row + r) * inner + at + k]) : Sum(0);
    }
}

extern "C" __global__ void __launch_bounds__(256) matmul(const T* __restrict__ x, const T* __restrict__ weight, T* __restrict__ y, long long rows, int columns, int inner)
{
    __shared__ Sum left[STRIP][TILE + 1];
    __shared__ Sum right[STRIP][TILE + 1];
    const long long row = blockIdx.x * static_cast<long long>(TILE);
    const int column = blockIdx.y * TILE;
    Sum sums[EACH][EACH] = {};
    for (int at = 0; at < inner; at += STRIP) {
        stage(left, x, row, rows, at, inner);
        stage(right, weight, column, columns, at, inner);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < STRIP; ++k)
#pragma unroll
            for (int i = 0; i < EACH; ++i)
#pragma unroll
                for (int j = 0; j < EACH; ++j) sums[i][j] += left[k][threadIdx.y + SIDE * i] * right[k][threadIdx.x + SIDE * j];
        __syncthreads();
    }
    for (int i = 0; i < EACH; ++i)
        for (int j = 0; j < EACH; ++j) {
            const long long r = row + threadIdx.y + SIDE * i;
            const int c = column + threadIdx.x + SIDE * j;
            if (r < rows && c < columns) y[r * columns + c] = narrow<T>(sums[i][j]);
        }
}
