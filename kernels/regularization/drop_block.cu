// y = y * mask * n / kept, in place, where n is the number of elements of mask and kept their sum
//
// Layout: y is rows x columns of a floating-point type T, a row for each plane of a picture; mask has one plane of bytes for
//         `share` neighbouring rows. A block has blockDim.x threads for each of its blockDim.y rows.
// Idea:   memory speed is the limit. Nothing is touched in evaluation.
// Floor:  2 rows x columns elements and as many bytes of traffic.

#include "regularization/noise.cuh"

static_assert(Floating<T>::value, "drop_block takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void drop_block(T* __restrict__ y, const unsigned char* __restrict__ mask, const unsigned int* __restrict__ kept, bool training, long long rows, int columns,
                                      int share)
{
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    const int begin = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
    if (!training || row >= rows || begin >= columns) return;
    const float scale = static_cast<float>(rows / share * columns) / (1e-6f + static_cast<float>(*kept));
    const unsigned char* plane = mask + row / share * columns;
    T* target = y + row * columns;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int c = begin + i;
        if (c < columns) target[c] = plane[c] ? narrow<T>(widen(target[c]) * scale) : narrow<T>(0);
    }
}
