// c[row, column] = operation(a[row, column], b[row, column])
//
// Layout: c is rows x columns, row-major, of a number type T. a and b have an element for each column, or one for all of
//         them (STEP_A, STEP_B); their rows have strides a0... and b0... along up to five dimensions.
// Idea:   broadcasting costs no traffic: a stretched operand stays in the cache. Vectors as in `binary`, and one
//         division for each dimension of the rows but the first.
// Floor:  n elements of c written, those of a and b read once, n operations.

#include "broadcast.cuh"
#include "math/operations.cuh"

#ifndef STEP_A
#define STEP_A 1
#define STEP_B 0
#endif

extern "C" __global__ void binary_broadcast(const T* __restrict__ a, const T* __restrict__ b, Result* __restrict__ c,
    unsigned rows, long long columns, unsigned e0, unsigned e1, unsigned e2, unsigned e3,
    long long a0, long long a1, long long a2, long long a3, long long a4,
    long long b0, long long b1, long long b2, long long b3, long long b4)
{
    const long long row = this_row();
    if (row >= rows) return;
    const RowIndex index(row, e0, e1, e2, e3);
    broadcast_row(columns, [](T x, T y) { return static_cast<Result>(operation(widen(x), widen(y))); }, c + row * columns,
        row_of<STEP_A>(a, index.at(a0, a1, a2, a3, a4)), row_of<STEP_B>(b, index.at(b0, b1, b2, b3, b4)));
}
