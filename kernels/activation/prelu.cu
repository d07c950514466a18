// y[o, c, i] = x[o, c, i] where that is above 0, else weight[c] * x[o, c, i]
//
// Layout: x and y are outer x features x inner, row-major, weight has `features` elements, all of a floating-point type T.
//         rows x columns is outer x features where inner is 1, else outer * features x inner.
// Idea:   rows of one feature, or of all of them, so that no element divides an index.
// Floor:  2 elements of traffic and 2 operations per element.

#include "activation/per_feature.cuh"

static_assert(Floating<T>::value, "prelu takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void prelu(const T* __restrict__ x, const T* __restrict__ weight, T* __restrict__ y, long long rows, int columns, int features, int inner)
{
    const auto rectified = [](T v, T w, T& result) {
        const auto value = widen(v);
        const auto below = widen(w) * value;
        result = narrow<T>(value > 0 ? value : below);
    };
    per_feature(rows, columns, features, inner, rectified, x, y, weight);
}
