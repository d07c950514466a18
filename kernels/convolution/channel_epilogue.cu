// y[b, c, p] = activation(x[b, c, p] + bias[c] + shift[b, c] + residual[b, c, p])
//
// Layout: y and residual are batch x channels x positions, row-major. In x the channel lies c * pitch elements from the
//         start and the sample b * sample: what a convolution's matrix product leaves, whichever order it has. BIAS,
//         SHIFT and RESIDUAL say whether these are there; otherwise they may be any array.
// Idea:   a thread block walks along one plane, of which bias and offsets are computed once; four neighbouring elements
//         per thread move as vectors where the planes are aligned. On a CPU one thread does the work of its thread block.
// Floor:  2 (with residual 3) elements of traffic per output.

#include "elementwise.cuh"
#include "activation/activation.cuh"

#ifndef BIAS
#define BIAS 1
#define SHIFT 0
#define RESIDUAL 0
#endif

static_assert(Floating<T>::value, "channel_epilogue takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void channel_epilogue(const T* __restrict__ x, const T* __restrict__ bias, const T* __restrict__ residual, const T* __restrict__ shift, T* __restrict__ y, int channels, long long planes, long long positions, int strips, long long sample, long long pitch)
{
    const long long plane = blockIdx.x / strips;
    if (plane >= planes) return;
    const long long b = plane / channels;
    const int c = static_cast<int>(plane % channels);
    const auto offset = (BIAS ? widen(bias[c]) : Compute<T>::type(0)) + (SHIFT ? widen(shift[plane]) : Compute<T>::type(0));
    const auto finish = [offset](T product, T other) {
        return narrow<T>(activate(widen(product) + offset + (RESIDUAL ? widen(other) : Compute<T>::type(0))));
    };
    const T* __restrict__ source = x + b * sample + c * pitch;
    const T* __restrict__ other = RESIDUAL ? residual + plane * positions : source;
    T* __restrict__ target = y + plane * positions;
    const long long first = 4 * (static_cast<long long>(blockIdx.x % strips) * blockDim.x + threadIdx.x);
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
    const long long last = first + 4 * blockDim.x;
#else
    const long long last = first + 4;
    if (last <= positions && aligned(source, other, target)) {
        const Four<T> product = *reinterpret_cast<const Four<T>*>(source + first);
        const Four<T> added = *reinterpret_cast<const Four<T>*>(other + first);
        *reinterpret_cast<Four<T>*>(target + first) = each<T>(finish, product, added);
        return;
    }
#endif
    const long long end = last < positions ? last : positions;
    for (long long i = first; i < end; ++i) target[i] = finish(source[i], other[i]);
}
