// y[s, t, c] = (x[s, t, c] - mean) / sqrt(var + eps) * weight[ids[s], c] + bias[ids[s], c]
//
// Layout: x, y: samples x `each` x COLUMNS, weight, bias: classes x COLUMNS, row-major; ids: samples of I. Launched as
//         row_norm.cu; macros: see row_norm.cuh. An id outside of the classes is counted, and class 0 taken for it.
// Idea:   that of row_norm.cu, with the weights of the class of the sample that a row belongs to.
// Floor:  2 elements of traffic per output, and the tables' rows out of the cache.

#include "normalization/row_norm.cuh"

#ifndef I
#define I int
#endif

static_assert(static_cast<I>(0.5f) == static_cast<I>(0) && static_cast<I>(-1) < static_cast<I>(0), "classes are int32 or int64");

extern "C" __global__ void __launch_bounds__(THREADS, 1) conditional_norm(const T* __restrict__ x, const I* __restrict__ ids, const T* __restrict__ weight, const T* __restrict__ bias, T* __restrict__ y, unsigned int* __restrict__ outside, Real eps, long long rows, int each, int classes)
{
    const auto row_of = [=](long long row) {
        const I id = ids[static_cast<unsigned int>(row) / each];
        const bool known = id >= 0 && id < classes;
        const long long at = row * COLUMNS, from = known ? static_cast<long long>(id) * COLUMNS : 0;
        return Row{x + at, x + at, weight + from, bias + from, y + at, y + at};
    };
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    const long long sample = static_cast<unsigned int>(row) / each;
    if (threadIdx.x == 0 && row < rows && row == sample * each) {
        const I id = ids[sample];
        if (id < 0 || id >= classes) atomicAdd(outside, 1u);
    }
    normalize_rows(row_of, rows, eps);
}
