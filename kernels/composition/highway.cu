// y[r, c] = x[r, c] + sigmoid(z[r, columns + c]) * (activation(z[r, c]) - x[r, c])
//
// Layout: x, y: rows x columns, z: rows x 2 columns, row-major, of a floating-point type T: what the product of both layers
//         gives. A block has blockDim.x threads of four columns each for each of its blockDim.y rows.
// Idea:   both layers are one product, and everything after it is one pass, four neighbouring elements per thread.
// Floor:  4 elements of traffic per output.

#include "elementwise.cuh"
#include "activation/activation.cuh"

static_assert(Floating<T>::value, "highway takes float16, bfloat16, float32 or float64 tensors");

__device__ inline T mix(T value, T gate, T carried)
{
    const auto share = activate_sigmoid(widen(gate));
    return narrow<T>(widen(carried) + share * (activate(widen(value)) - widen(carried)));
}

extern "C" __global__ void highway(const T* __restrict__ z, const T* __restrict__ x, T* __restrict__ y, long long rows, int columns)
{
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    const int begin = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
    if (row >= rows || begin >= columns) return;
    const T *value = z + 2 * row * columns, *gate = value + columns, *carried = x + row * columns;
    T* target = y + row * columns;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0) return;
    const int end = min(columns, begin + 4 * static_cast<int>(blockDim.x));
#pragma GCC ivdep
    for (int c = begin; c < end; ++c) target[c] = mix(value[c], gate[c], carried[c]);
#else
    if (columns % 4 == 0 && aligned(z, x, y)) {
        const auto f = [](T a, T b, T c) { return mix(a, b, c); };
        const auto four = [=](const T* array) { return *reinterpret_cast<const Four<T>*>(array + begin); };
        *reinterpret_cast<Four<T>*>(target + begin) = each<T>(f, four(value), four(gate), four(carried));
    } else {
        for (int c = begin; c < columns && c < begin + 4; ++c) target[c] = mix(value[c], gate[c], carried[c]);
    }
#endif
}
