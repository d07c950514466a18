// col[b, (c, kd, kh, kw), (od, oh, ow)] = x[b, c, od * stride + kd * dilation - padding, ...], zero outside of x
//
// Layout: x is batch x channels x depth x height x width, row-major. The row (c, kd, kh, kw) of the result lies
//         c * TAPS + tap times `pitch` elements from the start, the columns of sample b start at b * sample.
// Idea:   a thread writes the TAPS rows of one output position and channel. Neighbouring threads are neighbours along
//         the width, so that loads (but for the stride) and stores are coalesced. On a CPU one thread writes the
//         stretch of the whole thread block, as copies of contiguous memory.
// Floor:  one read of x (the rest comes from the caches) and TAPS writes per channel and output position.

#include "convolution/window.cuh"

// The KERNEL_W rows of one window row, for the positions from `first` on.
__device__ inline void unfold(const T* __restrict__ source, bool inside, T* __restrict__ target, long long pitch, int width, int first, int last)
{
#pragma unroll
    for (int kw = 0; kw < KERNEL_W; ++kw, target += pitch) {
        const int shift = kw * DILATION_W - PADDING_W;
#ifdef CUDAGRAPH_HOST
        const Range range = valid<STRIDE_W>(shift, inside ? width : 0, first, last);
        for (int ow = first; ow < range.first; ++ow) target[ow] = static_cast<T>(0.0f);
        for (int ow = range.first; ow < range.last; ++ow) target[ow] = source[ow * STRIDE_W + shift];
        for (int ow = range.last; ow < last; ++ow) target[ow] = static_cast<T>(0.0f);
#else
        const int iw = first * STRIDE_W + shift;
        target[first] = inside && within(iw, width) ? source[iw] : static_cast<T>(0.0f);
#endif
    }
}

extern "C" __global__ void im2col(const T* __restrict__ x, T* __restrict__ col, long long rows, int channels, int depth, int height, int width, int out_depth, int out_height, int out_width, int strips, long long sample, long long pitch)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const int ow = (blockIdx.x % strips) * blockDim.x + threadIdx.x;
    const long long row = static_cast<long long>(blockIdx.x / strips) * blockDim.y + threadIdx.y;
    if (ow >= out_width || row >= rows) return;
    const int last = ow + blockDim.x < out_width ? ow + blockDim.x : out_width;
    const int oh = static_cast<int>(row % out_height), od = static_cast<int>(row / out_height % out_depth);
    const long long b = row / out_height / out_depth;
    const int c = blockIdx.y;
    const T* plane = x + (b * channels + c) * depth * height * width;
    T* target = col + b * sample + static_cast<long long>(c) * TAPS * pitch + (static_cast<long long>(od) * out_height + oh) * out_width;
#pragma unroll
    for (int kd = 0; kd < KERNEL_D; ++kd) {
        const int id = od * STRIDE_D + kd * DILATION_D - PADDING_D;
#pragma unroll
        for (int kh = 0; kh < KERNEL_H; ++kh, target += KERNEL_W * pitch) {
            const int ih = oh * STRIDE_H + kh * DILATION_H - PADDING_H;
            const bool inside = within(ih, height) && within(id, depth);
            unfold(plane + (inside ? (static_cast<long long>(id) * height + ih) * width : 0), inside, target, pitch, width, ow, last);
        }
    }
}
