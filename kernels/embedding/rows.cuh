// Sums of rows of tables, moved as vectors: see vectors.cuh. A row that does not exist (null) adds nothing.
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

// The columns of a row that this thread sees to, one after the other; on a CPU one thread sees to all.
template <class F> __device__ inline void each_column(int columns, F f)
{
#ifdef CUDAGRAPH_HOST
    for (int c = 0; c < columns; ++c) f(c);
#else
    for (int c = threadIdx.x; c < columns; c += blockDim.x) f(c);
#endif
}

// y = a + b
template <class A, class B> __device__ inline void add_rows(const A* __restrict__ a, const B* __restrict__ b, T* __restrict__ y, int columns)
{
    if (a != nullptr && b != nullptr) {
        for_each_element(columns, Lane{threadIdx.x, blockDim.x}, [](A u, B v, T& sum) { sum = narrow<T>(total(u, v)); }, a, b, y);
    } else {
        each_column(columns, [=](int c) { y[c] = narrow<T>(element(a, c) + element(b, c)); });
    }
}

// y = a + b + d
__device__ inline void add_rows(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ d, T* __restrict__ y, int columns)
{
    if (a != nullptr && b != nullptr && d != nullptr) {
        const auto add = [](T u, T v, T w, T& sum) { sum = narrow<T>(total(u, v) + widen(w)); };
        for_each_element(columns, Lane{threadIdx.x, blockDim.x}, add, a, b, d, y);
    } else {
        each_column(columns, [=](int c) { y[c] = narrow<T>(element(a, c) + element(b, c) + element(d, c)); });
    }
}
