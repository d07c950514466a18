// sums[b, target] += weight[e] * x[b, source], for every edge e = (source, target)
//
// Layout: x is rows x inputs, sums is rows x outputs of float (double where T is), zeros at first; the edges lie by target:
//         weight and index (the sources) are outputs x FAN_IN, and edge e ends in output e / FAN_IN.
// Idea:   one thread per edge, which keeps its weight for ROWS rows of x; additions are atomic, in no particular order.
// Floor:  rows x edges atomic additions.

#include "sparse/geo.cuh"

#ifndef ROWS
#define ROWS 8
#endif

extern "C" __global__ void geo_scatter(const T* __restrict__ x, const T* __restrict__ weight, const I* __restrict__ index, S* __restrict__ sums, long long rows,
                                       int inputs, int outputs)
{
    const long long edge = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (edge >= static_cast<long long>(outputs) * FAN_IN) return;
    const Sum w = widen(weight[edge]);
    const int source = index[edge], target = static_cast<int>(edge / FAN_IN);
    const long long first = static_cast<long long>(blockIdx.y) * ROWS;
    for (long long r = first; r < rows && r < first + ROWS; ++r) atomicAdd(sums + r * outputs + target, w * Sum(widen(x[r * inputs + source])));
}
