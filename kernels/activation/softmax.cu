// y[r, c] = exp(z[r, c] - max(z[r])) / sum over j of exp(z[r, j] - max(z[r])), or its logarithm; z = x / temperature
//
// Layout: x and y are rows x columns, row-major, of a floating-point type T. A block has blockDim.x threads (a multiple
//         of 32) for each of its blockDim.y rows. LOGARITHM is 1 for the logarithm, else 0.
// Idea:   one pass finds the maximum and the sum together: a partial (maximum, sum) is rescaled whenever the maximum
//         grows, and two partials combine the same way (Milakov and Gimelshein, arXiv 1805.02867). Threads of a warp
//         combine by shuffles; only rows that need several warps go through shared memory. Elements move as vectors;
//         the second read of x comes from the cache. On the CPU one thread does a row, in loops that become vector instructions.
// Floor:  2 rows x columns elements of traffic, 2 exponentials per element.

#include "activation/softmax.cuh"
#include "vectors.cuh"

static_assert(Floating<T>::value, "softmax takes float16, bfloat16, float32 or float64 tensors");

#ifdef CUDAGRAPH_HOST
constexpr int LANES = 16;

extern "C" __global__ void softmax(const T* __restrict__ x, T* __restrict__ y, float temperature, long long rows, int columns)
{
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    if (threadIdx.x != 0 || row >= rows) return;
    const T* source = x + row * columns;
    T* target = y + row * columns;
    const Real factor = Real(1) / Real(temperature);
    const int whole = columns / LANES * LANES;
    Real best[LANES], sums[LANES] = {};
    for (int i = 0; i < LANES; ++i) best[i] = static_cast<Real>(-FLT_MAX);
    for (int at = 0; at < whole; at += LANES) {
        for (int i = 0; i < LANES; ++i) best[i] = larger(best[i], widen(source[at + i]) * factor);
    }
    for (int c = whole; c < columns; ++c) best[0] = larger(best[0], widen(source[c]) * factor);
    Real maximum = best[0];
    for (int i = 1; i < LANES; ++i) maximum = larger(maximum, best[i]);
    for (int at = 0; at < whole; at += LANES) {
        for (int i = 0; i < LANES; ++i) sums[i] += exponential(widen(source[at + i]) * factor - maximum);
    }
    for (int c = whole; c < columns; ++c) sums[0] += exponential(widen(source[c]) * factor - maximum);
    Real sum = sums[0];
    for (int i = 1; i < LANES; ++i) sum += sums[i];
    const Outcome outcome(maximum, sum);
#pragma GCC ivdep
    for (int c = 0; c < columns; ++c) target[c] = narrow<T>(outcome(widen(source[c]) * factor));
}

#else

// What one thread sees of a row: a vector at a time, so that the sum is rescaled once for its elements.
__device__ inline Part part_of(const T* __restrict__ x, Real factor, int columns)
{
    Part part = {static_cast<Real>(-FLT_MAX), Real(0)};
    for_each_pack(columns, Lane{threadIdx.x, blockDim.x}, [&](long long, const auto& pack) {
        constexpr int count = sizeof(pack.value) / sizeof(T);
        Real value[count], maximum = part.maximum;
#pragma unroll
        for (int i = 0; i < count; ++i) {
            value[i] = widen(pack.value[i]) * factor;
            maximum = larger(maximum, value[i]);
        }
        Real sum = part.sum * exponential(part.maximum - maximum);
#pragma unroll
        for (int i = 0; i < count; ++i) sum += exponential(value[i] - maximum);
        part = {maximum, sum};
    }, x);
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

extern "C" __global__ void softmax(const T* __restrict__ x, T* __restrict__ y, float temperature, long long rows, int columns)
{
    __shared__ Part parts[32];
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    const T* source = x + row * columns;
    const Real factor = Real(1) / Real(temperature);
    Part part = across_warp(row < rows ? part_of(source, factor, columns) : Part{Real(0), Real(1)});
    const int warps = blockDim.x / 32;
    if (warps > 1) {
        Part* mine = parts + threadIdx.y * warps;
        if (threadIdx.x % 32 == 0) mine[threadIdx.x / 32] = part;
        __syncthreads();
        part = mine[0];
        for (int i = 1; i < warps; ++i) part = combine(part, mine[i]);
    }
    if (row >= rows) return;
    const Outcome outcome(part.maximum, part.sum);
    const auto shown = [=](T v, T& result) { result = narrow<T>(outcome(widen(v) * factor)); };
    for_each_element(columns, Lane{threadIdx.x, blockDim.x}, shown, source, y + row * columns);
}
#endif
