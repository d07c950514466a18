// Elementwise kernels: out[i] = f(in[i]...), moved as vectors: see vectors.cuh. Launch `vector_threads(n)` threads.
#pragma once

#include "numeric.cuh"
#include "vectors.cuh"

// Four neighbouring elements, for kernels that own so many of a row.
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
    for_each_element(n, [=](Out& y, In... x) { y = f(x...); }, out, in...);
}
