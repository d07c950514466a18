// Elementwise kernels: out[i] = f(in[i]...), four neighbouring elements per thread.
//
// The four move as vectors of up to 16 bytes, because one scalar load per thread keeps too few bytes in flight to reach
// the memory's speed. Launch ceil(n / 4) threads. Unaligned arrays and the last elements take the scalar way.
#pragma once

#include "numeric.cuh"

template <class X> struct alignas(4 * sizeof(X) < 16 ? 4 * sizeof(X) : 16) Four {
    X value[4];
};

template <class... X> __device__ inline bool aligned(const X*... array)
{
    return (... && (reinterpret_cast<unsigned long long>(array) % alignof(Four<X>) == 0));
}

template <class Out, class F, class... In> __device__ inline Four<Out> each(F f, Four<In>... in)
{
    Four<Out> out;
#pragma unroll
    for (int i = 0; i < 4; ++i) out.value[i] = f(in.value[i]...);
    return out;
}

template <class Out, class F, class... In> __device__ inline void elementwise(long long n, F f, Out* out, const In*... in)
{
    const long long first = 4 * (blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x);
#ifdef CUDAGRAPH_HOST
    // One plain loop over the block's elements is what a CPU's compiler can make vectors of, whatever f is.
    if (threadIdx.x != 0) return;
    const long long last = n < first + 4 * blockDim.x ? n : first + 4 * blockDim.x;
#pragma GCC ivdep
    for (long long i = first; i < last; ++i) out[i] = f(in[i]...);
#else
    if (first + 4 <= n && aligned(out, in...)) {
        *reinterpret_cast<Four<Out>*>(out + first) = each<Out>(f, *reinterpret_cast<const Four<In>*>(in + first)...);
    } else {
        for (long long i = first; i < n && i < first + 4; ++i) out[i] = f(in[i]...);
    }
#endif
}
