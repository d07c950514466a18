// y[r] = x[r] + table[*offset + r % tokens]
//
// Layout: x and y have `rows` rows of `columns` elements of type T, `tokens` rows before the next batch; table is length x columns
//         of type P. Threads: x along the columns, y over the rows. A position outside of the table adds nothing and is
//         counted.
// Idea:   a thread adds four neighbouring elements, moved as vectors; the table is read again from the caches.
// Floor:  2 rows x columns elements of traffic, and tokens x columns of the table.

#include "embedding/rows.cuh"

static_assert(Floating<T>::value, "add_positions takes float16, bfloat16, float32 or float64 tensors");

extern "C" __global__ void add_positions(const T* __restrict__ x, const P* __restrict__ table, const int* __restrict__ offset, T* __restrict__ y, unsigned int* outside, long long rows, int tokens, int length, int columns)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    if (row >= rows) return;
    const long long at = *offset + row % tokens;
    const bool inside = at >= 0 && at < length;
    if (!inside && threadIdx.x == 0) atomicAdd(outside, 1u);
    add_rows(x + row * columns, inside ? table + at * columns : nullptr, y + row * columns, columns);
}
