// y[b, o] = sums[b, o] + bias[o]
//
// Layout: sums and y are rows x outputs, sums of float (double where T is); bias has one value per output. BIAS is 0 where
//         there is none. Blocks: x over the rows, y over the outputs.
// Idea:   what geo_scatter leaves over: sums become numbers of type T.
// Floor:  2 rows x outputs elements of traffic.

#include "sparse/geo.cuh"

extern "C" __global__ void geo_bias(const S* __restrict__ sums, const T* __restrict__ bias, T* __restrict__ y, long long rows, int outputs)
{
    const int o = blockIdx.y * blockDim.x + threadIdx.x;
    const long long row = blockIdx.x;
    if (o < outputs) y[row * outputs + o] = narrow<T>(sums[row * outputs + o] + (BIAS ? Sum(widen(bias[o])) : Sum(0)));
}
