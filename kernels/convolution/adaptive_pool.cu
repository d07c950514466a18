// y[b, c, out] = max or mean of x[b, c, in] over floor(out * in_length / out_length) <= in < ceil((out + 1) * in_length / out_length)
//
// Layout: x is planes x depth x height x width, y is planes x out_depth x out_height x out_width, row-major. MEAN: 0 is
//         the maximum.
// Idea:   a thread per output; neighbouring threads read neighbouring bins, so that every line of x is used whole.
// Floor:  one read of x (bins overlap by at most one element per axis), one write of y.

#include "numeric.cuh"

#ifndef MEAN
#define MEAN 0
#endif

static_assert(Floating<T>::value, "adaptive_pool takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

struct Bin {
    int first, last;
};

__device__ inline Bin bin(int out, int length, int outputs)
{
    const long long low = static_cast<long long>(out) * length / outputs;
    const long long high = (static_cast<long long>(out + 1) * length + outputs - 1) / outputs;
    return {static_cast<int>(low), static_cast<int>(high)};
}

extern "C" __global__ void adaptive_pool(const T* __restrict__ x, T* __restrict__ y, long long rows, int depth, int height, int width, int out_depth, int out_height, int out_width, int strips)
{
    const int ow = (blockIdx.x % strips) * blockDim.x + threadIdx.x;
    const long long row = static_cast<long long>(blockIdx.x / strips) * blockDim.y + threadIdx.y;  // (plane, od, oh)
    if (ow >= out_width || row >= rows) return;
    const Bin d = bin(static_cast<int>(row / out_height % out_depth), depth, out_depth);
    const Bin h = bin(static_cast<int>(row % out_height), height, out_height);
    const Bin w = bin(ow, width, out_width);
    const T* plane = x + row / out_height / out_depth * depth * height * width;
    Real result = MEAN ? Real(0) : static_cast<Real>(-INFINITY);
    for (int id = d.first; id < d.last; ++id)
        for (int ih = h.first; ih < h.last; ++ih) {
            const T* source = plane + (static_cast<long long>(id) * height + ih) * width;
            for (int iw = w.first; iw < w.last; ++iw) {
                const Real value = widen(source[iw]);
                result = MEAN ? result + value : value > result || value != value ? value : result;
            }
        }
    const int count = (d.last - d.first) * (h.last - h.first) * (w.last - w.first);
    y[row * out_width + ow] = narrow<T>(MEAN ? result / static_cast<Real>(count) : result);
}
