// y[sum of i_k * y_k + y_start + e] = x[sum of i_k * x_k + x_start + e] for all i_k < n_k, e < run
//
// Layout: runs of `run` neighbouring elements of any type. Dimension 0 and DIMS more have strides of their own on each side;
//         those not in use have the length 1. *moved * step is added to x_start, clamped to 0..most times step, where MOVED is 1.
//         The grid's x is along a run; its y, then its z are the runs of the dimensions 1 to 5. Dimension 0 is a loop.
// Idea:   every slice, join, repetition, and every permutation that keeps the last dimension, is such a copy. A run moves as
//         vectors of 16 bytes. Its place is found by 32-bit divisions once per run, as few as there are dimensions.
// Floor:  two elements of traffic for each that is copied.

#include "layout/run.cuh"

#ifndef DIMS
#define DIMS 5
#endif
#ifndef M  // int, or any type where nothing moves
#define M int
#endif
#ifndef MOVED
#define MOVED 0
#endif

struct Place {
    long long x, y;
    unsigned int rest;
};

// Takes one dimension off the number of a run.
__device__ inline void walk(Place& place, unsigned int length, long long x, long long y)
{
    const unsigned int index = place.rest % length;
    place.rest /= length;
    place.x += index * x;
    place.y += index * y;
}

extern "C" __global__ void copy_box(const T* __restrict__ x, const M* __restrict__ moved, T* __restrict__ y, long long run, long long x_start, long long y_start, long long most, long long step, unsigned int rows, int n0, unsigned int n1, unsigned int n2, unsigned int n3, unsigned int n4, unsigned int n5, long long x0, long long x1, long long x2, long long x3, long long x4, long long x5, long long y0, long long y1, long long y2, long long y3, long long y4, long long y5)
{
    const long long row = this_row();
    if (row >= rows) return;
    Place place = {x_start, y_start, static_cast<unsigned int>(row)};
#if MOVED
    const long long by = *moved;
    place.x += (by < 0 ? 0 : by < most ? by : most) * step;
#endif
#if DIMS >= 5
    walk(place, n5, x5, y5);
#endif
#if DIMS >= 4
    walk(place, n4, x4, y4);
#endif
#if DIMS >= 3
    walk(place, n3, x3, y3);
#endif
#if DIMS >= 2
    walk(place, n2, x2, y2);
#endif
    const long long x_row = place.x + place.rest * x1, y_row = place.y + place.rest * y1;
    for (int i = 0; i < n0; ++i) copy_run(y + y_row + i * y0, x + x_row + i * x0, run);
}
