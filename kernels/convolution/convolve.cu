// y[b, o, od, oh, ow] = activation(bias[o] + sum over i, taps of weight[o, i, tap] * x[b, group * IN + i, ...] + shift[b, o] + residual)
//
// Layout: x is batch x channels x depth x height x width, weight is out_channels x IN x taps, y and residual are
//         batch x out_channels x out_depth x out_height x out_width, shift batch x out_channels; row-major. IN and OUT are
//         channels per group. BIAS, SHIFT and RESIDUAL: what is added; the others may be any array.
// Idea:   for few channels per group, where a matrix product has no work for its tiles. A thread computes TILE output
//         channels of ROWS positions below each other, so that an input row that slides through the window is loaded
//         once. Neighbouring threads are neighbours along the width: loads and stores are coalesced, the weights are
//         the same for a whole block. No shared memory, no barrier.
// Floor:  one read of x, one write of y; 2 * IN * TAPS operations per output.

#include "convolution/window.cuh"
#include "activation/activation.cuh"

#ifndef TILE
#define IN 1
#define OUT 1
#define TILE 1
#define ROWS 4
#define BIAS 1
#define SHIFT 0
#define RESIDUAL 0
#endif

static_assert(Floating<T>::value, "convolve takes float16, bfloat16, float32 or float64 tensors");

using Sum = Compute<T>::type;

// What one thread holds of a row: one position on a GPU; a vector of neighbours on a CPU, where one thread does the work
// of all that share its row of the thread block.
#ifdef CUDAGRAPH_HOST
template <int SIZE> struct Bits;
template <> struct Bits<4> { using type = unsigned int; };
template <> struct Bits<8> { using type = unsigned long long; };
typedef Sum Lanes __attribute__((vector_size(64)));
typedef Bits<sizeof(Sum)>::type Mask __attribute__((vector_size(64)));
constexpr int LANES = 64 / sizeof(Sum);
#else
using Lanes = Sum;
constexpr int LANES = 1;
#endif

// A CPU's compiler keeps the sums in registers only where it is told to unroll.
#if defined(CUDAGRAPH_HOST) && !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 1024")
#else
#define UNROLL _Pragma("unroll")
#endif

// Rows of the input that the window passes over (with several output rows the dilation along the height is 1), and the
// elements of a row that it needs.
constexpr int LINES = (ROWS - 1) * STRIDE_H + KERNEL_H;
constexpr int SPAN = (LANES - 1) * STRIDE_W + (KERNEL_W - 1) * DILATION_W + 1;

// Whether a CPU can load neighbours from where they lie. Otherwise, they are widened into an array first.
constexpr bool STRAIGHT = sizeof(T) == sizeof(Sum);

#ifdef CUDAGRAPH_HOST
// Unrolled with everything around it, it would take the compiler minutes.
__attribute__((noinline)) static void gather(const T* __restrict__ source, int start, int width, Sum* __restrict__ value)
{
    for (int i = 0; i < SPAN; ++i) value[i] = within(start + i, width) ? widen(source[start + i]) : Sum(0);
}
#endif

// A row of the input, from the first element that the window touches on. WHOLE: all of these lie inside. `begin` and `end`
// are those of all of x: what lies beside the row but in x can be loaded, and is masked.
template <bool WHOLE> struct Line {
    const T* __restrict__ source;
    int start, width;
    const T *begin, *end;
#ifdef CUDAGRAPH_HOST
    Sum value[SPAN];
    const Sum* from;

    __device__ inline void fetch()
    {
        if (STRAIGHT && (WHOLE || (STRIDE_W == 1 && start >= begin - source && start + SPAN <= end - source))) {
            from = reinterpret_cast<const Sum*>(source + start);
        } else {
            gather(source, start, width, value);
            from = value;
        }
    }
    __device__ inline Lanes tap(int kw) const
    {
        Lanes lanes;
        const Sum* first = from + kw * DILATION_W;
        if (STRIDE_W > 1) {
            for (int i = 0; i < LANES; ++i) lanes[i] = first[i * STRIDE_W];
            return lanes;
        }
        __builtin_memcpy(&lanes, first, sizeof lanes);
        if (WHOLE || !STRAIGHT) return lanes;
        using Bit = typename Bits<sizeof(Sum)>::type;
        Mask places;
        for (int i = 0; i < LANES; ++i) places[i] = i;
        places += static_cast<Bit>(start + kw * DILATION_W);
        return reinterpret_cast<Lanes>(reinterpret_cast<Mask>(lanes) & static_cast<Mask>(places < static_cast<Bit>(width)));
    }
#else
    __device__ inline void fetch() {}
    __device__ inline Lanes tap(int kw) const
    {
        const int at = start + kw * DILATION_W;
        return within(at, width) ? widen(source[at]) : Sum(0);
    }
#endif
};

struct Shape {
    int depth, height, width, out_channels, out_depth, out_height, out_width;
    const T *begin, *end;  // of all of x
};

// The sums of one input channel.
template <bool WHOLE> __device__ inline void add_channel(Lanes (&sums)[TILE][ROWS], const T* __restrict__ image, const T* __restrict__ filter, int od, int oh, int ow, const Shape& shape)
{
#ifndef CUDAGRAPH_HOST
    UNROLL
#endif
    for (int kd = 0; kd < KERNEL_D; ++kd) {
        const int id = od * STRIDE_D + kd * DILATION_D - PADDING_D;
        UNROLL
        for (int line = 0; line < LINES; ++line) {
            const int ih = oh * STRIDE_H + line * DILATION_H - PADDING_H;
            const bool inside = within(id, shape.depth) && within(ih, shape.height);
#ifdef CUDAGRAPH_HOST
            if (!inside) continue;
#endif
            const T* source = image + (inside ? (static_cast<long long>(id) * shape.height + ih) * shape.width : 0);
            Line<WHOLE> row;
            row.source = source;
            row.start = ow * STRIDE_W - PADDING_W;
            row.width = inside ? shape.width : 0;
            row.begin = shape.begin;
            row.end = shape.end;
            row.fetch();
            UNROLL
            for (int kw = 0; kw < KERNEL_W; ++kw) {
                const Lanes value = row.tap(kw);
                UNROLL
                for (int r = 0; r < ROWS; ++r) {
                    const int kh = line - r * STRIDE_H;
                    if (kh < 0 || kh >= KERNEL_H) continue;
                    UNROLL
                    for (int t = 0; t < TILE; ++t)
                        sums[t][r] += widen(filter[t * IN * TAPS + (kd * KERNEL_H + kh) * KERNEL_W + kw]) * value;
                }
            }
        }
    }
}

// Writes `count` neighbouring results.
__device__ inline void store(const Lanes& sums, int count, Sum offset, const T* __restrict__ residual, T* __restrict__ y)
{
    Sum part[LANES];
    memcpy(part, &sums, sizeof part);
    const auto finish = [=](int i) { return narrow<T>(activate(part[i] + offset + (RESIDUAL ? widen(residual[i]) : Sum(0)))); };
    if (count >= LANES) {
        for (int i = 0; i < LANES; ++i) y[i] = finish(i);
    } else {
        for (int i = 0; i < count; ++i) y[i] = finish(i);
    }
}

extern "C" __global__ void convolve(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, const T* __restrict__ residual, const T* __restrict__ shift, T* __restrict__ y, long long rows, int out_channels, int depth, int height, int width, int out_depth, int out_height, int out_width, int strips)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const int first = (blockIdx.x % strips) * blockDim.x + threadIdx.x;
    const long long row = static_cast<long long>(blockIdx.x / strips) * blockDim.y + threadIdx.y;  // (b, od, oh / ROWS)
    if (first >= out_width || row >= rows) return;
    const int bands = (out_height + ROWS - 1) / ROWS;
    const int oh = static_cast<int>(row % bands) * ROWS, od = static_cast<int>(row / bands % out_depth);
    const long long b = row / bands / out_depth;
    const int o = blockIdx.y * TILE;
    const long long plane = static_cast<long long>(depth) * height * width;
    const T* image = x + (b * (out_channels / OUT) + o / OUT) * IN * plane;
    const T* end = x + rows / bands / out_depth * (out_channels / OUT) * IN * plane;
    const Shape shape = {depth, height, width, out_channels, out_depth, out_height, out_width, x, end};
    const T* filter = weight + static_cast<long long>(o) * IN * TAPS;
    const int last = LANES == 1 || first + blockDim.x > out_width ? out_width : first + blockDim.x;
    for (int ow = first; ow < last; ow += LANES) {
        Lanes sums[TILE][ROWS] = {};
        const int start = ow * STRIDE_W - PADDING_W;
        if (LANES > 1 && STRAIGHT && start >= 0 && start + SPAN <= width) {
            for (int i = 0; i < IN; ++i) add_channel<true>(sums, image + i * plane, filter + i * TAPS, od, oh, ow, shape);
        } else {
            for (int i = 0; i < IN; ++i) add_channel<false>(sums, image + i * plane, filter + i * TAPS, od, oh, ow, shape);
        }
        UNROLL
        for (int t = 0; t < TILE; ++t) {
            const long long at = (((b * out_channels + o + t) * out_depth + od) * out_height + oh) * out_width + ow;
            const Sum offset = (BIAS ? widen(bias[o + t]) : Sum(0)) + (SHIFT ? widen(shift[b * out_channels + o + t]) : Sum(0));
            UNROLL
            for (int r = 0; r < ROWS; ++r) {
                const long long here = at + static_cast<long long>(r) * out_width;
                if (oh + r < out_height) store(sums[t][r], last - ow, offset, residual + (RESIDUAL ? here : 0), y + here);
            }
        }
        if (LANES == 1) break;
    }
}
