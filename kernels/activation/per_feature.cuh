// Elementwise kernels with numbers of a feature: x is [..., features, inner].
//
// Rows are [features] where inner is 1, else [inner], of one feature each. Columns are the grid's x, rows its y, then its z.
#pragma once

#include "activation/math.cuh"
#include "vectors.cuh"

// f(element of x, number of its feature in each of the arrays, element of y) for every element.
template <class F, class... N>
__device__ inline void per_feature(long long rows, int columns, int features, int inner, F f, const T* x, T* y, const N*... numbers)
{
    const long long row = this_row();
    if (row >= rows) return;
    x += row * columns, y += row * columns;
    if (inner == 1) {
        for_each_element(columns, f, x, numbers..., y);
    } else {
        const int feature = static_cast<int>(row % features);
        for_each_element(columns, f, x, same(numbers[feature])..., y);
    }
}
