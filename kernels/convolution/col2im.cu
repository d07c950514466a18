// y[b, o, out] = activation(bias[o] + sum over in, tap with out = in * stride + tap * dilation - padding of col[b, (o, tap), in])
//
// Layout: col is batch x (out_channels x TAPS) x (depth x height x width), row-major, as a product of weights and input
//         leaves it; y is batch x out_channels x out_depth x out_height x out_width.
// Idea:   the last step of a transposed convolution as a gather: a thread per output adds the few columns that reach it, so
//         there are no atomics and every run gives the same bits. Neighbouring threads are neighbours along the width.
// Floor:  one read of col, one write of y; TAPS / stride^rank additions per output.

#include "activation/activation.cuh"
#include "convolution/transposed.cuh"

#ifndef BIAS
#define BIAS 1
#endif

static_assert(Floating<T>::value, "col2im takes float16, bfloat16, float32 or float64 tensors");

using Sum = Compute<T>::type;

extern "C" __global__ void col2im(const T* __restrict__ col, const T* __restrict__ bias, T* __restrict__ y, long long rows, int out_channels, int depth, int height, int width, int out_depth, int out_height, int out_width, int strips)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const int first = (blockIdx.x % strips) * blockDim.x + threadIdx.x;
    const long long row = static_cast<long long>(blockIdx.x / strips) * blockDim.y + threadIdx.y;
    if (first >= out_width || row >= rows) return;
    const int last = REACH == 1 ? first + 1 : first + blockDim.x < out_width ? first + blockDim.x : out_width;
    const int oh = static_cast<int>(row % out_height), od = static_cast<int>(row / out_height % out_depth);
    const long long b = row / out_height / out_depth;
    const int o = blockIdx.y;
    const long long plane = static_cast<long long>(depth) * height * width;
    const T* planes = col + (b * out_channels + o) * TAPS * plane;
    Sum sums[REACH] = {};
    gather(sums, depth, height, width, od, oh, first, last, [=](int tap) { return Scaled<T, Sum>{planes + tap * plane, Sum(1)}; });
    const Sum shift = BIAS ? widen(bias[o]) : Sum(0);
    T* __restrict__ target = y + (((b * out_channels + o) * out_depth + od) * out_height + oh) * out_width;
    for (int ow = first; ow < last; ++ow) target[ow] = narrow<T>(activate(sums[ow - first] + shift));
}
