// A row of a table by its index, which may be anything: an index outside of the table is counted and gives no row.
#pragma once

#include "layout/run.cuh"
#include "numeric.cuh"

#ifndef I
#define I int
#endif

static_assert(Floating<T>::value, "a table of vectors holds float16, bfloat16, float32 or float64");
static_assert(static_cast<I>(0.5f) == static_cast<I>(0) && static_cast<I>(-1) < static_cast<I>(0), "indices are int32 or int64");

template <class Index> __device__ inline const T* row_of(const T* table, Index index, long long rows, int columns, unsigned int* outside, bool counts)
{
    if (index >= 0 && index < rows) return table + static_cast<long long>(index) * columns;
    if (counts) atomicAdd(outside, 1u);
    return nullptr;
}
