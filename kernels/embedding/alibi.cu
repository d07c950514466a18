// y[b, h, i, j] = x[b, h, i, j] + slopes[h] * distance(*position + i, j)
//
// Layout: x and y are batch x heads x queries x keys, row-major, `rows` rows of keys in all. FORM is 0 for the distance
//         -|i - j|, 1 for j - i, 2 for j alone. Threads: x along the keys, y over the rows.
// Idea:   memory speed is the limit: vectors; the head is found once per row. Where attention can take slopes, use that instead: then
//         no scores are in memory.
// Floor:  2 rows x keys elements of traffic.

#include "numeric.cuh"
#include "vectors.cuh"

#ifndef FORM
#define FORM 0
#endif

static_assert(Floating<T>::value, "alibi takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void alibi(const T* __restrict__ x, const float* __restrict__ slopes, const int* __restrict__ position, T* __restrict__ y, long long rows, int heads, int queries, int keys)
{
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    if (row >= rows) return;
    using Real = Compute<T>::type;
    const Real slope = slopes[row / queries % heads];
    const int i = FORM == 2 ? 0 : *position + static_cast<int>(row % queries);
    const auto add = [=](T v, int ahead, T& sum) {
        const int distance = FORM == 0 && ahead > 0 ? -ahead : ahead;
        sum = narrow<T>(widen(v) + slope * static_cast<Real>(distance));
    };
    for_each_element(keys, Lane{threadIdx.x, blockDim.x}, add, x + row * keys, Numbers{-i}, y + row * keys);
}
