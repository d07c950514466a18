// y[b, t] = weight[ids[b, t]] (+ positions[*position + t])
//
// Layout: weight rows x columns, positions length x columns, ids batch x tokens, y batch x tokens x columns. The grid is
//         (columns / 4 / threads, tokens, batch). Indices outside are brought inside and counted.
// Idea:   a thread copies four neighbouring elements; rows and batches are dimensions of the grid, so nothing is divided.
// Floor:  2 rows x columns elements of traffic for the rows of y, 3 with positions.

#include "embed.cuh"

#ifndef I
#define I int
#endif

extern "C" __global__ void embed_ids(const I* __restrict__ ids, const T* __restrict__ weight, const T* __restrict__ positions,
                                     const int* __restrict__ position, T* __restrict__ y, unsigned int* outside, int rows,
                                     int length, int columns)
{
    const int t = blockIdx.y, tokens = gridDim.y;
    const long long row = blockIdx.z * static_cast<long long>(tokens) + t;
    const long long word = checked(ids[row], rows, outside);
    const long long place = POSITIONS ? checked(*position + t, length, outside) : 0;
    embed_row(weight + word * columns, positions + place * columns, y + row * columns, columns);
}
