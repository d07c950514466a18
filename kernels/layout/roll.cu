// y[line, e] = x[line, (e - shift * inner) mod length]
//
// Layout: x and y are `lines` lines of `length` elements of any type; a step of the rolled dimension is `inner` elements. The
//         shift may be any integer. The grid's x is along a line; lines are its y, then its z.
// Idea:   the remainder is taken once: a line is two runs, copied as vectors.
// Floor:  2 elements of traffic each.

#include "layout/run.cuh"

extern "C" __global__ void roll(const T* __restrict__ x, const int* __restrict__ shift, T* __restrict__ y, long long lines, long long length, long long inner)
{
    const long long line = this_row();
    if (line >= lines) return;
    const long long by = *shift * inner % length, from = by > 0 ? length - by : -by;
    const T* source = x + line * length;
    T* target = y + line * length;
    copy_run(target, source + from, length - from);
    copy_run(target + length - from, source, from);
}
