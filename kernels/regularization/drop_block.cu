// y = y * mask * n / kept, in place, where n is the number of elements of mask and kept their sum
//
// Layout: y is rows x columns of a floating-point type T, a row for each plane of a picture; mask has one plane of bytes for
//         `share` neighbouring rows. Columns are the grid's x, rows its y, then its z.
// Idea:   memory speed is the limit: vectors. Nothing is touched in evaluation.
// Floor:  2 rows x columns elements and as many bytes of traffic.

#include "regularization/noise.cuh"

static_assert(Floating<T>::value, "drop_block takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void drop_block(T* __restrict__ y, const unsigned char* __restrict__ mask, const unsigned int* __restrict__ kept, bool training, long long rows, int columns,
                                      int share)
{
    const long long row = this_row();
    if (!training || row >= rows) return;
    const float scale = static_cast<float>(rows / share * columns) / (1e-6f + static_cast<float>(*kept));
    T* plane = y + row * columns;
    const auto drop = [=](T value, unsigned char keep, T& result) { result = keep ? narrow<T>(widen(value) * scale) : narrow<T>(0); };
    for_each_element(columns, drop, static_cast<const T*>(plane), mask + row / share * columns, plane);
}
