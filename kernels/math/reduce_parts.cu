// y[o] = result of the parts[o, s] joined over s
//
// Layout: parts are the partial results [outputs, splits] of `reduce_rows` or `reduce_columns` for a number type T, and y is
//         [outputs]; x only says which type that is. A block has 32 threads for each of its blockDim.y outputs.
// Idea:   a warp joins the parts of one output: neighbouring lanes read neighbouring parts, then shuffles.
// Floor:  parts read once; one join each.
// Variants: REDUCTION=Maximum; REDUCTION=Variance; REDUCTION=Product

#include "math/reductions.cuh"

extern "C" __global__ void reduce_parts(const T* __restrict__ x, const unsigned char* __restrict__ parts, Result* __restrict__ y,
    long long outputs, long long count, int splits, float correction)
{
    const long long output = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    const Part* mine = reinterpret_cast<const Part*>(parts) + output * splits;
    Part part;
#ifdef __CUDA_ARCH__
    if (output < outputs) {
        for (int s = threadIdx.x; s < splits; s += 32) part = part.join(mine[s]);
    }
    part = across_warp(part);
#else
    if (output < outputs && threadIdx.x == 0) {
        for (int s = 0; s < splits; ++s) part = part.join(mine[s]);
    }
#endif
    if (threadIdx.x == 0 && output < outputs) put(y, output, part, count, correction);
}
