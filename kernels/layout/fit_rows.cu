// y[r] = x[r] for r < min(given, *valid), then zeros; where TILED, y[r] = x[r mod given]
//
// Layout: x has `given` rows of `run` elements of any type, y has `rows`. The grid's x is along a row; rows
//         are its y, then its z.
// Idea:   a row moves as vectors of 16 bytes, or is filled.
// Floor:  one read of the rows that are taken, one write of y.

#include "layout/run.cuh"

#ifndef M  // int, or any type where all rows are valid
#define M int
#endif
#ifndef TILED
#define TILED 0
#endif

extern "C" __global__ void fit_rows(const T* __restrict__ x, const M* __restrict__ valid, T* __restrict__ y, long long given, long long rows, long long run)
{
    const long long row = this_row();
    if (row >= rows) return;
    const long long from = TILED ? row % given : row;
#if TILED
    const bool taken = true;
#else
    const bool taken = row < given && row < *valid;
#endif
    if (taken) {
        copy_run(y + row * run, x + from * run, run);
    } else {
        fill_run(y + row * run, static_cast<T>(0.0f), run);
    }
}
