// y[b, o, out] = activation(bias[o] + sum over i, in, tap with out = in * stride + tap * dilation - padding of weight[i, o, tap] * x[b, i, in])
//
// Layout: x is batch x channels x depth x height x width, weight is channels x OUT x taps, y is batch x out_channels x
//         out_depth x out_height x out_width; row-major. IN and OUT are channels per group.
// Idea:   for few channels per group. A gather: a thread per output adds what reaches it, so there are no atomics.
//         Neighbouring threads are neighbours along the width, the weights are the same for a whole thread block.
// Floor:  one read of x, one write of y; 2 * IN * TAPS / stride^rank operations per output.

#include "activation/activation.cuh"
#include "convolution/transposed.cuh"

#ifndef IN
#define IN 1
#define OUT 1
#endif
#ifndef BIAS
#define BIAS 1
#endif

static_assert(Floating<T>::value, "convolve_transposed takes float16, bfloat16, float32 or float64 tensors");

using Sum = Compute<T>::type;

extern "C" __global__ void convolve_transposed(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, T* __restrict__ y, long long rows, int out_channels, int depth, int height, int width, int out_depth, int out_height, int out_width, int strips)
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
    const int from = o / OUT * IN;
    const T* image = x + (b * (out_channels / OUT) * IN + from) * plane;
    const T* filter = weight + (static_cast<long long>(from) * OUT + o % OUT) * TAPS;
    Sum sums[REACH] = {};
    for (int i = 0; i < IN; ++i, image += plane, filter += OUT * TAPS)
        gather(sums, depth, height, width, od, oh, first, last, [=](int tap) { return Scaled<T, Sum>{image, widen(filter[tap])}; });
    const Sum shift = BIAS ? widen(bias[o]) : Sum(0);
    T* __restrict__ target = y + (((b * out_channels + o) * out_depth + od) * out_height + oh) * out_width;
    for (int ow = first; ow < last; ++ow) target[ow] = narrow<T>(activate(sums[ow - first] + shift));
}
