// y[b, t] = weight[text[b, *position + t]] (+ positions[*position + t])
//
// Layout: as embed_ids.cu, but the tokens come from the text so far, batch x capacity, from *position on.
// Idea:   what was sampled in one frame is read in the next without leaving the device.
// Floor:  as embed_ids.cu.

#include "embed.cuh"

extern "C" __global__ void embed_tokens(const int* __restrict__ text, const T* __restrict__ weight,
                                        const T* __restrict__ positions, const int* __restrict__ position, T* __restrict__ y,
                                        unsigned int* outside, int rows, int length, int columns, int capacity)
{
    const int t = blockIdx.y, tokens = gridDim.y;
    const long long row = blockIdx.z * static_cast<long long>(tokens) + t;
    const long long at = checked(*position + t, capacity, outside);
    const long long word = checked(text[blockIdx.z * static_cast<long long>(capacity) + at], rows, outside);
    const long long place = POSITIONS ? checked(*position + t, length, outside) : 0;
    embed_row(weight + word * columns, positions + place * columns, y + row * columns, columns);
}
