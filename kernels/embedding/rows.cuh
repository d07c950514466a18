// Sums of rows of tables: four neighbouring elements per thread, as vectors where the rows are aligned. A row that does not
// exist (null) adds nothing.
#pragma once

#include "elementwise.cuh"

// The type of a second table; its elements are added in the type that T is computed in.
#ifndef P
#define P float
#endif

using Real = Compute<T>::type;

template <class X> __device__ inline Real element(const X* row, int column)
{
    return row == nullptr ? Real(0) : static_cast<Real>(widen(row[column]));
}

template <class A, class B> __device__ inline Real total(A a, B b)
{
    return static_cast<Real>(widen(a)) + static_cast<Real>(widen(b));
}

template <class A, class B> __device__ inline Four<T> total(const Four<A>& a, const Four<B>& b)
{
    Four<T> sum;
#pragma unroll
    for (int i = 0; i < 4; ++i) sum.value[i] = narrow<T>(total(a.value[i], b.value[i]));
    return sum;
}

// y = a + b
template <class A, class B> __device__ inline void add_rows(const A* __restrict__ a, const B* __restrict__ b, T* __restrict__ y, int columns)
{
    const bool both = a != nullptr && b != nullptr;
#ifdef CUDAGRAPH_HOST
    if (both) {
#pragma GCC ivdep
        for (int c = 0; c < columns; ++c) y[c] = narrow<T>(total(a[c], b[c]));
    } else {
        for (int c = 0; c < columns; ++c) y[c] = narrow<T>(element(a, c) + element(b, c));
    }
#else
    const bool whole = both && columns % 4 == 0 && aligned(a, y) && aligned(b);
    for (int c = 4 * threadIdx.x; c < columns; c += 4 * blockDim.x) {
        if (whole) {
            *reinterpret_cast<Four<T>*>(y + c) = total(*reinterpret_cast<const Four<A>*>(a + c), *reinterpret_cast<const Four<B>*>(b + c));
        } else {
            for (int i = c; i < columns && i < c + 4; ++i) y[i] = narrow<T>(element(a, i) + element(b, i));
        }
    }
#endif
}

// y = a + b + d
__device__ inline void add_rows(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ d, T* __restrict__ y, int columns)
{
    const bool all = a != nullptr && b != nullptr && d != nullptr;
#ifdef CUDAGRAPH_HOST
    if (all) {
#pragma GCC ivdep
        for (int c = 0; c < columns; ++c) y[c] = narrow<T>(total(a[c], b[c]) + widen(d[c]));
    } else {
        for (int c = 0; c < columns; ++c) y[c] = narrow<T>(element(a, c) + element(b, c) + element(d, c));
    }
#else
    const bool whole = all && columns % 4 == 0 && aligned(a, b, d, y);
    for (int c = 4 * threadIdx.x; c < columns; c += 4 * blockDim.x) {
        if (whole) {
            const Four<T> u = *reinterpret_cast<const Four<T>*>(a + c), v = *reinterpret_cast<const Four<T>*>(b + c);
            const Four<T> w = *reinterpret_cast<const Four<T>*>(d + c);
            Four<T> sum;
#pragma unroll
            for (int i = 0; i < 4; ++i) sum.value[i] = narrow<T>(total(u.value[i], v.value[i]) + widen(w.value[i]));
            *reinterpret_cast<Four<T>*>(y + c) = sum;
        } else {
            for (int i = c; i < columns && i < c + 4; ++i) y[i] = narrow<T>(element(a, i) + element(b, i) + element(d, i));
        }
    }
#endif
}
