// What a transposed convolution gathers: out = in * stride + tap * dilation - padding, solved for `in`.
#pragma once

#include "convolution/window.cuh"

// Positions along the width that one thread sums up: its own on a GPU, those of the whole thread block on a CPU.
#ifdef CUDAGRAPH_HOST
constexpr int REACH = 128;
#else
constexpr int REACH = 1;
#endif

// Where the input lies whose tap reaches output `out`, or -1.
template <int STRIDE> __device__ inline int origin(int out, int shift, int length)
{
    const int distance = out - shift;
    if (distance < 0 || distance % STRIDE != 0) return -1;
    return distance / STRIDE < length ? distance / STRIDE : -1;
}

// sums[ow - first] += scale * source[iw] for the outputs [first, last) that this tap reaches.
template <class X, class Real> __device__ inline void add_row(Real (&sums)[REACH], const X* __restrict__ source, Real scale, int kw, int width, int first, int last)
{
    const int shift = kw * DILATION_W - PADDING_W;
#ifdef CUDAGRAPH_HOST
    const Range range = valid<1>(0, width, first - shift > 0 ? (first - shift + STRIDE_W - 1) / STRIDE_W : 0, last - shift > 0 ? (last - shift + STRIDE_W - 1) / STRIDE_W : 0);
    for (int iw = range.first; iw < range.last; ++iw) sums[iw * STRIDE_W + shift - first] += scale * widen(source[iw]);
#else
    const int iw = origin<STRIDE_W>(first, shift, width);
    if (iw >= 0) sums[0] += scale * widen(source[iw]);
#endif
}

// Adds what reaches the row (od, oh), outputs [first, last). `source(tap)` is the plane to read for a tap and its factor.
template <class Real, class Source> __device__ inline void gather(Real (&sums)[REACH], int depth, int height, int width, int od, int oh, int first, int last, Source source)
{
#pragma unroll
    for (int kd = 0; kd < KERNEL_D; ++kd) {
        const int id = origin<STRIDE_D>(od, kd * DILATION_D - PADDING_D, depth);
        if (id < 0) continue;
#pragma unroll
        for (int kh = 0; kh < KERNEL_H; ++kh) {
            const int ih = origin<STRIDE_H>(oh, kh * DILATION_H - PADDING_H, height);
            if (ih < 0) continue;
            const long long row = (static_cast<long long>(id) * height + ih) * width;
#pragma unroll
            for (int kw = 0; kw < KERNEL_W; ++kw) {
                const auto from = source((kd * KERNEL_H + kh) * KERNEL_W + kw);
                add_row(sums, from.plane + row, from.scale, kw, width, first, last);
            }
        }
    }
}

template <class X, class Real> struct Scaled {
    const X* plane;
    Real scale;
};
