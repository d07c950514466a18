// What an element is computed in: float for the half precisions, its own type otherwise.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

template <class X> struct Compute { using type = X; };
template <> struct Compute<__half> { using type = float; };
template <> struct Compute<__nv_bfloat16> { using type = float; };

template <class X> struct Floating { static constexpr bool value = false; };
template <> struct Floating<float> { static constexpr bool value = true; };
template <> struct Floating<double> { static constexpr bool value = true; };
template <> struct Floating<__half> { static constexpr bool value = true; };
template <> struct Floating<__nv_bfloat16> { static constexpr bool value = true; };

// A stored element as the type it is computed in.
template <class X> __device__ inline typename Compute<X>::type widen(X x)
{
    return static_cast<typename Compute<X>::type>(x);
}

// A computed value as the type it is stored in.
template <class X> __device__ inline X narrow(typename Compute<X>::type x) { return static_cast<X>(x); }
