// y[b, o] = bias[o] + sum over j of weight[o, j] * x[b, index[o, j]], for tables that reach over the whole grid
//
// Layout: x is packed by geo_pack.cu, groups x inputs x LANES; y is rows x outputs; weight and index are outputs x FAN_IN, as they
//         are stored, and index holds int or unsigned short; bias has one value per output. BIAS is 0 where there is none.
// Idea:   every gather is a whole line of memory, which serves 16 rows: a random pattern wastes none of it, where a row-major x
//         would use 4 bytes of 32. Results are transposed in shared memory, so that rows of y are written by neighbours.
// Floor:  rows x (inputs + outputs) + outputs x FAN_IN elements and as many indices of traffic once x is packed; rows x outputs
//         x FAN_IN gathers, 4 per load.
// Variants: FAN_IN=17; FAN_IN=32 BIAS=0

#include "sparse/geo_packed.cuh"

struct Finish {
    T* y;
    int outputs;

    __device__ void begin(const Share&) {}
    __device__ void end(const Share&) {}
#ifdef CUDAGRAPH_HOST
    void prepare(int, int) {}
    Lanes result(Lanes sum, int, int) const { return sum; }
    void store(Lanes* results, const Share& share, int at, int count) const { store_rows(results, y, outputs, share, at, count); }
#else
    RowsMemory* memory;
    __device__ void result(const Quad& sum, const Share&, int o, int quad) const
    {
#pragma unroll
        for (int i = 0; i < 4; ++i) memory->value[quad * 4 + i][threadIdx.x / QUADS] = sum[i];
    }
    __device__ void store(const Share& share, int at) const { store_rows(*memory, y, outputs, share, at); }
#endif
};

extern "C" __global__ void __launch_bounds__(256)
    geo_linear_packed(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, const I* __restrict__ index, T* __restrict__ y, int span,
                      long long rows, int inputs, int outputs)
{
    Finish finish{y, outputs};
#ifndef CUDAGRAPH_HOST
    __shared__ RowsMemory memory;
    finish.memory = &memory;
#endif
    gather_packed(Packed{x, weight, bias, index, rows, inputs, outputs, nullptr, nullptr, nullptr, 0, 1, span}, finish);
}
