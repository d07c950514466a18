// y[b, t, c] = x[b, t, c] + bias[c] + sum over k of weight[c, k] * x[b, neighbour k of t, c]; the first EXTRA tokens: y = x
//
// Layout: x and y are batch x (EXTRA + height * width) x channels; weight is channels x 9, the 3 x 3 neighbours of a token row by
//         row, zeros outside. Threads: x along the channels; the grid's y is the token, its z the batch.
// Idea:   neighbouring threads own neighbouring channels, so that all nine reads are coalesced, and eight of them come
//         from the caches.
// Floor:  2 elements of traffic per token and channel; 19 operations.

#include "numeric.cuh"

#ifndef EXTRA
#define EXTRA 0
#endif

static_assert(Floating<T>::value, "conditional_position takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void conditional_position(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, T* __restrict__ y, int height, int width, int channels)
{
    using Real = Compute<T>::type;
    const int tokens = EXTRA + height * width, token = blockIdx.y;
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    const long long at = (blockIdx.z * static_cast<long long>(tokens) + token) * channels + c;
    if (token < EXTRA) {
        y[at] = x[at];
        return;
    }
    const int row = (token - EXTRA) / width, column = (token - EXTRA) % width;
    Real sum = widen(x[at]) + widen(bias[c]);
#pragma unroll
    for (int k = 0; k < 9; ++k) {
        const int down = k / 3 - 1, right = k % 3 - 1;
        if (row + down < 0 || row + down >= height || column + right < 0 || column + right >= width) continue;
        sum += widen(weight[c * 9 + k]) * widen(x[at + (static_cast<long long>(down) * width + right) * channels]);
    }
    y[at] = narrow<T>(sum);
}
