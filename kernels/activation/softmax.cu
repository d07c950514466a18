// y[r, c] = exp(x[r, c] - max(x[r])) / sum over j of exp(x[r, j] - max(x[r]))
//
// Layout: x and y are rows x columns, row-major, of a floating-point type T. A block has blockDim.x threads (a multiple
//         of 32) for each of its blockDim.y rows.
// Idea:   one pass finds the maximum and the sum together: a partial (maximum, sum) is rescaled whenever the maximum
//         grows, and two partials combine the same way (Milakov and Gimelshein, arXiv 1805.02867). Threads of a warp
//         combine by shuffles; only rows that need several warps go through shared memory. The second read of x comes
//         from the cache.
// Floor:  2 rows x columns elements of traffic, 2 exponentials per element.

#include "numeric.cuh"

static_assert(Floating<T>::value, "softmax takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }

// The sum of exp(x - maximum) over some elements. Starting at the lowest finite number keeps an empty part, and one that
// is -inf throughout, free of inf - inf.
struct Part {
    Real maximum, sum;
};

__device__ inline Part combine(Part a, Part b)
{
    const Real maximum = a.maximum > b.maximum ? a.maximum : b.maximum;
    return {maximum, a.sum * exponential(a.maximum - maximum) + b.sum * exponential(b.maximum - maximum)};
}

// What one thread sees of a row: four elements at a time, so that the sum is rescaled once for them.
__device__ inline Part part_of(const T* __restrict__ x, int columns)
{
    Part part = {static_cast<Real>(-FLT_MAX), Real(0)};
    const int stride = blockDim.x;
    for (int at = threadIdx.x; at < columns; at += 4 * stride) {
        Real value[4];
        Real maximum = part.maximum;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int c = at + i * stride;
            value[i] = c < columns ? widen(x[c]) : static_cast<Real>(-INFINITY);
            maximum = value[i] > maximum ? value[i] : maximum;
        }
        Real sum = part.sum * exponential(part.maximum - maximum);
#pragma unroll
        for (int i = 0; i < 4; ++i) sum += exponential(value[i] - maximum);
        part = {maximum, sum};
    }
    return part;
}

__device__ inline Part across_warp(Part part)
{
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        const Part other = {__shfl_xor_sync(0xffffffffu, part.maximum, distance), __shfl_xor_sync(0xffffffffu, part.sum, distance)};
        part = combine(part, other);
    }
    return part;
}

extern "C" __global__ void softmax(const T* __restrict__ x, T* __restrict__ y, long long rows, int columns)
{
    __shared__ Part parts[32];
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    const T* source = x + row * columns;
    Part part = across_warp(row < rows ? part_of(source, columns) : Part{Real(0), Real(1)});
    const int warps = blockDim.x / 32;
    if (warps > 1) {
        Part* mine = parts + threadIdx.y * warps;
        if (threadIdx.x % 32 == 0) mine[threadIdx.x / 32] = part;
        __syncthreads();
        part = mine[0];
        for (int i = 1; i < warps; ++i) part = combine(part, mine[i]);
    }
    if (row >= rows) return;
    const Real scale = Real(1) / part.sum;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) y[row * columns + c] = narrow<T>(exponential(widen(source[c]) - part.maximum) * scale);
}
