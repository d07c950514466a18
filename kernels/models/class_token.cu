// y[b, 0] = first + positions[0], y[b, 1 + n] = x[b, n] + positions[1 + n]
//
// Layout: x batch x (tokens - 1) x columns, first columns, positions tokens x columns, y batch x tokens x columns. The grid
//         is (columns / 4 / threads, tokens, batch).
// Idea:   joining and adding in one pass; a thread takes four neighbouring elements, and nothing is divided.
// Floor:  2 batch x tokens x columns elements of traffic, and positions once.

#include "elementwise.cuh"

extern "C" __global__ void class_token(const T* __restrict__ x, const T* __restrict__ first, const T* __restrict__ positions,
                                       T* __restrict__ y, int columns)
{
    const int t = blockIdx.y, tokens = gridDim.y;
    const long long batch = blockIdx.z;
    const T* row = t == 0 ? first : x + (batch * (tokens - 1) + t - 1) * columns;
    const T* place = positions + t * static_cast<long long>(columns);
    T* out = y + (batch * tokens + t) * columns;
    const int begin = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    const auto sum = [](T a, T b) { return narrow<T>(widen(a) + widen(b)); };
    if (begin + 4 <= columns && aligned(row + begin, place + begin, out + begin)) {
        *reinterpret_cast<Four<T>*>(out + begin) =
            each<T>(sum, *reinterpret_cast<const Four<T>*>(row + begin), *reinterpret_cast<const Four<T>*>(place + begin));
    } else {
        for (int c = begin; c < columns && c < begin + 4; ++c) out[c] = sum(row[c], place[c]);
    }
}
