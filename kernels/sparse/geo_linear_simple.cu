// y[b, o] = bias[o] + sum over j < fan_in of weight[o, j] * x[b, index[o, j]]
//
// Layout: x is rows x inputs, y is rows x outputs; weight and index are outputs x fan_in, bias has one value per output. BIAS
//         is 0 where there is none.
// Idea:   one thread per number of y, nothing else: the kernel to read first, and the one for a fan-in too large for
//         registers.
// Floor:  rows x (inputs + outputs) + outputs x fan_in elements and as many indices of traffic; rows x outputs x fan_in
//         gathers, of 32 per cycle and multiprocessor.

#include "sparse/geo.cuh"

extern "C" __global__ void geo_linear_simple(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, const I* __restrict__ index,
                                             T* __restrict__ y, long long rows, int inputs, int outputs, int fan_in)
{
    const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (i >= rows * outputs) return;
    const int o = static_cast<int>(i % outputs);
    const T* row = x + i / outputs * inputs;
    const long long first = static_cast<long long>(o) * fan_in;
    Sum sum = BIAS ? Sum(widen(bias[o])) : Sum(0);
    for (int j = 0; j < fan_in; ++j) sum += widen(weight[first + j]) * widen(row[index[first + j]]);
    y[i] = narrow<T>(sum);
}
