// The sliding window of a convolution or pooling: sizes known at compile time, three spatial dimensions. Fewer are
// padded with leading ones. KERNEL, STRIDE, DILATION and PADDING (in front) have the suffixes _D, _H and _W.
#pragma once

#include "numeric.cuh"

#ifndef KERNEL_W
#define KERNEL_D 1
#define KERNEL_H 3
#define KERNEL_W 3
#define STRIDE_D 1
#define STRIDE_H 1
#define STRIDE_W 1
#define DILATION_D 1
#define DILATION_H 1
#define DILATION_W 1
#define PADDING_D 0
#define PADDING_H 1
#define PADDING_W 1
#endif

constexpr int TAPS = KERNEL_D * KERNEL_H * KERNEL_W;

// One comparison for both ends: a negative position is a huge unsigned one.
__device__ inline bool within(int position, int length)
{
    return static_cast<unsigned>(position) < static_cast<unsigned>(length);
}

// The outputs of [first, last) whose window position `shift` (tap * dilation - padding) lies inside of the input. A CPU
// runs these as loops without conditions.
struct Range {
    int first, last;
};

template <int STRIDE> __device__ inline Range valid(int shift, int length, int first, int last)
{
    const int low = shift < 0 ? (-shift + STRIDE - 1) / STRIDE : 0;
    const int high = length > shift ? (length - shift + STRIDE - 1) / STRIDE : 0;
    const int begin = low < first ? first : low > last ? last : low;
    return {begin, high < begin ? begin : high > last ? last : high};
}
