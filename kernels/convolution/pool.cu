// y[b, c, out] = max or mean over the window of x[b, c, out * stride + tap * dilation - padding]
//
// Layout: x is planes x depth x height x width, y is planes x out_depth x out_height x out_width, row-major. MEAN: 0 is
//         the maximum. COUNT_PADDING: whether the mean counts the padding (up to `pad_after` behind the input).
//         DIVISOR: what the sum is divided by instead, where it is not 0.
// Idea:   a thread per output; neighbouring threads are neighbours along the width, so that what windows share comes
//         from the cache. On a CPU one thread does its row of the thread block, tap by tap, in loops without conditions.
// Floor:  one read of x, one write of y. NaN wins the maximum, as in every framework.

#include "convolution/window.cuh"

#ifndef MEAN
#define MEAN 0
#define COUNT_PADDING 1
#define DIVISOR 0
#define AFTER_D 0
#define AFTER_H 1
#define AFTER_W 1
#endif

static_assert(Floating<T>::value, "pool takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

#ifdef CUDAGRAPH_HOST
constexpr int REACH = 128;
#else
constexpr int REACH = 1;
#endif

__device__ inline Real join(Real before, Real value)
{
    if (MEAN) return before + value;
    return value > before || value != value ? value : before;
}

// Elements of one axis that the mean counts: in the window and in the (padded) input.
template <int KERNEL, int STRIDE, int PADDING, int AFTER> __device__ inline int counted(int out, int length)
{
    const int start = out * STRIDE - PADDING;
    const int low = COUNT_PADDING || start > 0 ? start : 0;
    const int limit = COUNT_PADDING ? length + AFTER : length;
    const int high = start + KERNEL < limit ? start + KERNEL : limit;
    return high - low;
}

__device__ inline void add_row(Real (&result)[REACH], const T* __restrict__ source, int width, int first, int last)
{
#pragma unroll
    for (int kw = 0; kw < KERNEL_W; ++kw) {
        const int shift = kw * DILATION_W - PADDING_W;
#ifdef CUDAGRAPH_HOST
        const Range range = valid<STRIDE_W>(shift, width, first, last);
        for (int ow = range.first; ow < range.last; ++ow)
            result[ow - first] = join(result[ow - first], widen(source[ow * STRIDE_W + shift]));
#else
        const int iw = first * STRIDE_W + shift;
        if (within(iw, width)) result[0] = join(result[0], widen(source[iw]));
#endif
    }
}

extern "C" __global__ void pool(const T* __restrict__ x, T* __restrict__ y, long long rows, int depth, int height, int width, int out_depth, int out_height, int out_width, int strips)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const int first = (blockIdx.x % strips) * blockDim.x + threadIdx.x;
    const long long row = static_cast<long long>(blockIdx.x / strips) * blockDim.y + threadIdx.y;  // (plane, od, oh)
    if (first >= out_width || row >= rows) return;
    const int last = REACH == 1 ? first + 1 : first + blockDim.x < out_width ? first + blockDim.x : out_width;
    const int oh = static_cast<int>(row % out_height), od = static_cast<int>(row / out_height % out_depth);
    const T* plane = x + row / out_height / out_depth * depth * height * width;
    Real result[REACH];
    for (int ow = first; ow < last; ++ow) result[ow - first] = MEAN ? Real(0) : static_cast<Real>(-INFINITY);
#pragma unroll
    for (int kd = 0; kd < KERNEL_D; ++kd) {
        const int id = od * STRIDE_D + kd * DILATION_D - PADDING_D;
        if (!within(id, depth)) continue;
#pragma unroll
        for (int kh = 0; kh < KERNEL_H; ++kh) {
            const int ih = oh * STRIDE_H + kh * DILATION_H - PADDING_H;
            if (within(ih, height)) add_row(result, plane + (static_cast<long long>(id) * height + ih) * width, width, first, last);
        }
    }
    T* __restrict__ target = y + row * out_width;
    const int lines = counted<KERNEL_D, STRIDE_D, PADDING_D, AFTER_D>(od, depth) * counted<KERNEL_H, STRIDE_H, PADDING_H, AFTER_H>(oh, height);
    for (int ow = first; ow < last; ++ow) {
        const int count = DIVISOR ? DIVISOR : lines * counted<KERNEL_W, STRIDE_W, PADDING_W, AFTER_W>(ow, width);
        target[ow] = narrow<T>(MEAN ? result[ow - first] / static_cast<Real>(count) : result[ow - first]);
    }
}
