// y = x rotated by its position: (a, b) -> (a cos - b sin, b cos + a sin) for each pair of the first 2 * pairs elements
//
// Layout: x and y have rows of `width` elements, one for each batch, token and head; `group` neighbouring rows belong to
//         one token, and there are `tokens` of them before the next batch. table is length x pairs x (cos, sin). The pair
//         i is (i, i + pairs), or (2 i, 2 i + 1) where INTERLEAVED. Elements from 2 * pairs on are copied. Threads: x along the
//         pairs, y over the rows. Rows whose position is outside of the table become zeros and are counted.
// Idea:   a thread rotates four neighbouring pairs, moved as vectors; no sine is computed. The rows of a token read the
//         same line of the table, which the caches hold.
// Floor:  2 rows x width elements of traffic and length x pairs x 8 bytes of the table; 6 operations per pair.

#include "elementwise.cuh"
#include "layout/run.cuh"

#ifndef INTERLEAVED
#define INTERLEAVED 0
#endif

static_assert(Floating<T>::value, "rotary takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;
constexpr int STEP = INTERLEAVED ? 2 : 1;  // from pair to pair

__device__ inline void rotate(T first, T second, float cosine, float sine, T& a, T& b)
{
    const Real u = widen(first), v = widen(second);
    a = narrow<T>(u * cosine - v * sine);
    b = narrow<T>(v * cosine + u * sine);
}

__device__ inline void rotate_pairs(const T* __restrict__ x, const float* __restrict__ table, T* __restrict__ y, int first, int last, int apart)
{
#pragma GCC ivdep
    for (int i = first; i < last; ++i) {
        rotate(x[i * STEP], x[i * STEP + apart], table[2 * i], table[2 * i + 1], y[i * STEP], y[i * STEP + apart]);
    }
}

// Four pairs as vectors: two of x, two of the table.
__device__ inline void rotate_four(const T* __restrict__ x, const float* __restrict__ table, T* __restrict__ y, int apart)
{
    const Four<T> low = *reinterpret_cast<const Four<T>*>(x), high = *reinterpret_cast<const Four<T>*>(x + apart);
    const Four<float> near = *reinterpret_cast<const Four<float>*>(table), far = *reinterpret_cast<const Four<float>*>(table + 4);
    Four<T> a, b;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float cosine = i < 2 ? near.value[2 * i] : far.value[2 * i - 4];
        const float sine = i < 2 ? near.value[2 * i + 1] : far.value[2 * i - 3];
#if INTERLEAVED
        const Four<T>& from = i < 2 ? low : high;
        Four<T>& to = i < 2 ? a : b;
        const int at = i < 2 ? 2 * i : 2 * i - 4;
        rotate(from.value[at], from.value[at + 1], cosine, sine, to.value[at], to.value[at + 1]);
#else
        rotate(low.value[i], high.value[i], cosine, sine, a.value[i], b.value[i]);
#endif
    }
    *reinterpret_cast<Four<T>*>(y) = a;
    *reinterpret_cast<Four<T>*>(y + apart) = b;
}

__device__ inline void rotate_row(const T* __restrict__ x, const float* __restrict__ table, T* __restrict__ y, int pairs)
{
    const int apart = INTERLEAVED ? 1 : pairs;
#ifdef CUDAGRAPH_HOST
    rotate_pairs(x, table, y, 0, pairs, apart);
#else
    const bool whole = pairs % 4 == 0 && aligned(x, y, x + pairs, y + pairs) && aligned(table);
    for (int i = 4 * threadIdx.x; i < pairs; i += 4 * blockDim.x) {
        if (whole) {
            rotate_four(x + i * STEP, table + 2 * i, y + i * STEP, INTERLEAVED ? 4 : pairs);
        } else {
            rotate_pairs(x, table, y, i, i + 4 < pairs ? i + 4 : pairs, apart);
        }
    }
#endif
}

extern "C" __global__ void rotary(const T* __restrict__ x, const float* __restrict__ table, const int* __restrict__ position, T* __restrict__ y, unsigned int* outside, long long rows, int length, int width, int pairs, int tokens, int group)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    if (row >= rows) return;
    const long long at = *position + (row / group) % tokens;
    const T* source = x + row * width;
    T* target = y + row * width;
    if (at < 0 || at >= length) {
        if (threadIdx.x == 0) atomicAdd(outside, 1u);
        fill_run(target, static_cast<T>(0.0f), width, threadIdx.x, blockDim.x);
        return;
    }
    rotate_row(source, table + at * 2 * pairs, target, pairs);
    copy_run(target + 2 * pairs, source + 2 * pairs, width - 2 * pairs, threadIdx.x, blockDim.x);
}
