// What the geo-sparse kernels share: their macros, and several numbers that are computed side by side.
#pragma once

#include "numeric.cuh"

#ifndef FAN_IN
#define FAN_IN 8
#endif
#ifndef BIAS
#define BIAS 1
#endif
// The type of the index tables: int, or unsigned short where the layer has at most 65536 inputs.
#ifndef I
#define I int
#endif
// The type of norms, alpha and the numbers of activations.
#ifndef P
#define P float
#endif

// What sums are kept in, as a name that a kernel's argument may have.
#ifndef S
#define S Compute<T>::type
#endif

static_assert(Floating<T>::value, "geo-sparse kernels take float16, bfloat16, float32 or float64 tensors");

using Sum = Compute<T>::type;

// COUNT sums. A CPU's compiler knows vectors as a type of their own; on a GPU they are registers, moved 16 bytes at a time.
#ifdef CUDAGRAPH_HOST
template <int COUNT> struct LanesOf { typedef Sum type __attribute__((vector_size(COUNT * sizeof(Sum)))); };
#else
template <int COUNT> struct alignas(COUNT * sizeof(Sum) < 16 ? COUNT * sizeof(Sum) : 16) Side {
    Sum value[COUNT];

    __device__ Sum& operator[](int i) { return value[i]; }
    __device__ Sum operator[](int i) const { return value[i]; }
    template <class Each> static __device__ Side of(Each f)
    {
        Side side;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) side.value[i] = f(i);
        return side;
    }
    __device__ Side operator+(const Side& b) const { return of([&](int i) { return value[i] + b[i]; }); }
    __device__ Side operator-(const Side& b) const { return of([&](int i) { return value[i] - b[i]; }); }
    __device__ Side operator*(const Side& b) const { return of([&](int i) { return value[i] * b[i]; }); }
    __device__ Side operator*(Sum b) const { return of([&](int i) { return value[i] * b; }); }
    __device__ Side operator+(Sum b) const { return of([&](int i) { return value[i] + b; }); }
};
template <int COUNT> struct LanesOf { using type = Side<COUNT>; };
#endif

// Taps that a GPU loads as one vector of up to 16 bytes: the rows of weights and indices are as they are stored, so neighbouring
// threads read neighbouring vectors, and all of a cache line is used at once or by the thread's next load.
constexpr int CHUNK = FAN_IN % 4 == 0 ? 4 : 1;

template <class X> struct alignas(CHUNK * sizeof(X) < 16 ? CHUNK * sizeof(X) : 16) Chunk {
    X value[CHUNK];
};

// f(0), f(1), ... side by side: on a CPU by way of a plain loop, which its compiler makes vectors of. And back into an array.
#ifdef CUDAGRAPH_HOST
template <int COUNT, class Each> inline typename LanesOf<COUNT>::type lanes_of(Each f)
{
    alignas(64) Sum value[COUNT];
#pragma GCC ivdep
#pragma GCC unroll 1
    for (int i = 0; i < COUNT; ++i) value[i] = f(i);
    typename LanesOf<COUNT>::type lanes;
    __builtin_memcpy(&lanes, value, sizeof lanes);
    return lanes;
}
template <int COUNT> inline void unpack(typename LanesOf<COUNT>::type lanes, Sum* value) { __builtin_memcpy(value, &lanes, sizeof lanes); }
#else
template <int COUNT, class Each> __device__ inline Side<COUNT> lanes_of(Each f) { return Side<COUNT>::of(f); }
template <int COUNT> __device__ inline void unpack(const Side<COUNT>& lanes, Sum* value)
{
#pragma unroll
    for (int i = 0; i < COUNT; ++i) value[i] = lanes[i];
}
#endif
