// Copies of contiguous runs: n elements from x to y by the grid's x, or by `lanes` threads, of which this is number `lane`.
//
// Runs that are aligned alike move as vectors: see vectors.cuh.
#pragma once

#include "vectors.cuh"

struct Copy {
    template <class X> __device__ void operator()(X from, X& to) const { to = from; }
};

template <class X> __device__ inline void copy_run(X* __restrict__ y, const X* __restrict__ x, long long n)
{
    for_each_element(n, Copy(), x, y);
}

template <class X> __device__ inline void copy_run(X* __restrict__ y, const X* __restrict__ x, long long n, int lane, int lanes)
{
    for_each_element(n, Lane{lane, lanes}, Copy(), x, y);
}

// The same value in a run.
template <class X> __device__ inline void fill_run(X* __restrict__ y, X value, long long n)
{
    for_each_element(n, [=](X& to) { to = value; }, y);
}

template <class X> __device__ inline void fill_run(X* __restrict__ y, X value, long long n, int lane, int lanes)
{
    for_each_element(n, Lane{lane, lanes}, [=](X& to) { to = value; }, y);
}
