// y[r, c] = activation(alpha * x[r, c] + bias[c] + residual[r, c])
//
// Layout: x, y and residual are rows x columns, row-major; bias has one value per column; ACTIVATION is a name of
//         activation.cuh. BIAS and RESIDUAL are 0 where there is none.
// Idea:   memory speed is the limit: a thread owns four neighbouring columns of one row, moved as vectors. One division per
//         block finds the row. On a CPU a block is one plain loop, which its compiler makes vectors of.
// Floor:  2 (with residual 3) rows x columns elements of traffic, 2 (relu) to 30 (mish) operations each.

#include "elementwise.cuh"
#include "activation/activation.cuh"

#ifndef BIAS
#define BIAS 1
#endif
#ifndef RESIDUAL
#define RESIDUAL 0
#endif
#ifndef SCALAR
#define SCALAR float
#endif

static_assert(Floating<T>::value, "bias_activation takes float16, bfloat16, float32 or float64 tensors");

using Sum = Compute<T>::type;

__device__ inline T finish(Sum alpha, T x, T bias, T residual)
{
    Sum sum = alpha * widen(x);
    if (BIAS) sum += widen(bias);
    if (RESIDUAL) sum += widen(residual);
    return narrow<T>(activate(sum));
}

extern "C" __global__ void bias_activation(const T* __restrict__ x, const T* __restrict__ bias, const T* __restrict__ residual, T* __restrict__ y, SCALAR alpha, long long rows, int columns)
{
    if (rows == 0) return;
    const int span = 4 * blockDim.x, per_row = (columns + span - 1) / span;
    const long long row = blockIdx.x / per_row * static_cast<long long>(columns);
    const int first = blockIdx.x % per_row * span + 4 * threadIdx.x;
    const Sum scale = alpha;
    x += row, y += row;
    if (RESIDUAL) residual += row;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
    const int last = columns < first + span ? columns : first + span;
#pragma GCC ivdep
    for (int c = first; c < last; ++c) y[c] = finish(scale, x[c], BIAS ? bias[c] : T(), RESIDUAL ? residual[c] : T());
#else
    if (first + 4 <= columns && aligned(x + first, y + first) && (!BIAS || aligned(bias)) && (!RESIDUAL || aligned(residual + first))) {
        const Four<T> none = {};
        const Four<T> values = *reinterpret_cast<const Four<T>*>(x + first);
        const Four<T> shifts = BIAS ? *reinterpret_cast<const Four<T>*>(bias + first) : none;
        const Four<T> addends = RESIDUAL ? *reinterpret_cast<const Four<T>*>(residual + first) : none;
        *reinterpret_cast<Four<T>*>(y + first) = each<T>([scale](T v, T b, T r) { return finish(scale, v, b, r); }, values, shifts, addends);
    } else {
        for (int c = first; c < columns && c < first + 4; ++c) y[c] = finish(scale, x[c], BIAS ? bias[c] : T(), RESIDUAL ? residual[c] : T());
    }
#endif
}
