// Elementwise kernels whose operands broadcast: out[row, column] = f(in[row, column]...).
//
// The shapes are collapsed into rows and columns when the plan is made. Along the columns an operand either has an element
// for each (step 1) or one for all (step 0), which is known when the kernel is compiled; along the rows it has strides.
// A thread moves vectors of one row: see vectors.cuh. RANK, the number of dimensions that the rows have, is a macro, so
// that rows of one dimension cost no division.
#pragma once

#include "elementwise.cuh"

#ifndef RANK
#define RANK 2
#endif

// The indices of a row, the innermost first.
struct RowIndex {
    unsigned value[RANK];

    __device__ RowIndex(unsigned row, unsigned e0, unsigned e1, unsigned e2, unsigned e3)
    {
        const unsigned extent[] = {e0, e1, e2, e3};
#pragma unroll
        for (int i = 0; i < RANK - 1; ++i) {
            value[i] = row % extent[i];
            row /= extent[i];
        }
        value[RANK - 1] = row;
    }

    // Where an operand of these strides has the row.
    __device__ long long at(long long s0, long long s1, long long s2, long long s3, long long s4) const
    {
        const long long stride[] = {s0, s1, s2, s3, s4};
        long long offset = 0;
#pragma unroll
        for (int i = 0; i < RANK; ++i) offset += value[i] * stride[i];
        return offset;
    }
};

template <class Out, class F, class... Rows> __device__ inline void broadcast_row(long long columns, F f, Out* out, Rows... in)
{
    for_each_element(columns, [=](Out& y, auto... x) { y = f(x...); }, out, in...);
}
