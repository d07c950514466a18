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
    const long long row = this_row();
    if (row >= rows) return;
    const T *value = z + 2 * row * columns, *carried = x + row * columns;
    for_each_element(columns, [](T a, T b, T c, T& result) { result = mix(a, b, c); }, value, value + columns, carried, y + row * columns);
}
