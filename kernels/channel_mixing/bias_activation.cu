// y[r, c] = activation(x[r, c] + bias[c])
//
// Layout: x and y are rows x columns, row-major; bias has one value per column; ACTIVATION is none, relu or gelu.
// Idea:   a thread owns one column and walks down the rows, so that the bias is read once and no index is divided.
//         Neighbouring threads own neighbouring columns: every access is coalesced.
// Floor:  2 rows x columns elements of traffic, 2 (relu) to 11 (gelu) operations each.

#include "activation/activation.cuh"

static_assert(Floating<T>::value, "bias_activation takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void bias_activation(const T* __restrict__ x, const T* __restrict__ bias, T* __restrict__ y, long long rows, int columns)
{
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    const auto shift = widen(bias[column]);
    const long long stride = static_cast<long long>(gridDim.y) * blockDim.y;
    for (long long row = blockIdx.y * static_cast<long long>(blockDim.y) + threadIdx.y; row < rows; row += stride) {
        const long long at = row * columns + column;
        y[at] = narrow<T>(activate(widen(x[at]) + shift));
    }
}
