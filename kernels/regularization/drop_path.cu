// y[r] = 0 for the samples r that drop (probability p), else y[r] / (1 - p), in place
//
// Layout: y is rows x columns of a floating-point type T, one row per sample; frame is one number. Kept samples are scaled
//         where SCALED is 1. Columns are the grid's x, rows its y, then its z.
// Idea:   every thread draws its sample's word itself; memory speed is the limit, so elements move as vectors.
// Floor:  2 rows x columns elements of traffic; none in evaluation.

#include "regularization/noise.cuh"

#ifndef SCALED
#define SCALED 1
#endif

static_assert(Floating<T>::value, "drop_path takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void drop_path(T* __restrict__ y, const unsigned int* __restrict__ frame, float p, unsigned int seed, bool training, long long rows, int columns)
{
    const long long row = this_row();
    if (!training || p <= 0.0f || row >= rows) return;
    const bool kept = uniform(philox(seed, static_cast<unsigned int>(row), *frame, 0u).x) >= p;
    const float scale = SCALED ? keep_scale(p) : 1.0f;
    T* sample = y + row * columns;
    const auto drop = [=](T value, T& result) { result = kept ? narrow<T>(widen(value) * scale) : narrow<T>(0); };
    for_each_element(columns, drop, static_cast<const T*>(sample), sample);
}
