// y[r] = 0 for the samples r that drop (probability p), else y[r] / (1 - p), in place
//
// Layout: y is rows x columns of a floating-point type T, one row per sample; frame is one number. Kept samples are scaled
//         where SCALED is 1. A block has blockDim.x threads for each of its blockDim.y rows.
// Idea:   every thread draws its sample's word itself; four elements per thread, moved as vectors.
// Floor:  2 rows x columns elements of traffic; none in evaluation.

#include "regularization/noise.cuh"

#ifndef SCALED
#define SCALED 1
#endif

static_assert(Floating<T>::value, "drop_path takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void drop_path(T* __restrict__ y, const unsigned int* __restrict__ frame, float p, unsigned int seed, bool training, long long rows, int columns)
{
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    const int begin = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
    if (!training || p <= 0.0f || row >= rows || begin >= columns) return;
    const bool kept = uniform(philox(seed, static_cast<unsigned int>(row), *frame, 0u).x) >= p;
    const float scale = SCALED ? keep_scale(p) : 1.0f;
    const auto result = [=](T value) { return kept ? narrow<T>(widen(value) * scale) : narrow<T>(0); };
    T* target = y + row * columns;
    if (columns % 4 == 0 && aligned(y)) {
        Four<T>* four = reinterpret_cast<Four<T>*>(target + begin);
        *four = each<T>(result, *four);
    } else {
        for (int c = begin; c < columns && c < begin + 4; ++c) target[c] = result(target[c]);
    }
}
