// y[b, o] = bias[o] + sum over j of weight[o, j] * x[b, index[o, j]]
//
// Layout: x is rows x inputs, y is rows x outputs, row-major; weight and index are outputs x FAN_IN, as they are stored, and
//         index holds int or unsigned short; bias has one value per output. BIAS is 0 where there is none. Blocks: x over
//         groups of ROWS rows, so that blocks that share weights run together; y over tiles of 256 outputs.
// Idea:   a thread keeps the weights and indices of its output in registers for ROWS rows, so they are read once for all of
//         them; neighbouring outputs of a local pattern read neighbouring numbers of x. See geo_gather.cuh for the CPU's way.
// Floor:  rows x (inputs + outputs) + outputs x FAN_IN elements and as many indices of traffic; rows x outputs x FAN_IN
//         gathers, of 32 per cycle and multiprocessor: the limit where FAN_IN is above 14.

#include "sparse/geo_gather.cuh"

struct Store {
    T* y;
    int outputs;

    __device__ void begin(long long, int) {}
    __device__ void prepare(int, int) {}
    __device__ void end(long long, int) {}
#ifdef CUDAGRAPH_HOST
    void store(Lanes sum, long long begin, int r, int o, int count) const { store_lanes(y + (begin + r) * outputs + o, sum, count); }
#else
    __device__ void store(Sum sum, long long begin, int r, int o) const { y[(begin + r) * outputs + o] = narrow<T>(sum); }
#endif
};

extern "C" __global__ void geo_linear(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, const I* __restrict__ index,
                                      T* __restrict__ y, long long rows, int inputs, int outputs)
{
    gather(Gathered{x, weight, bias, index, rows, inputs, outputs, nullptr, nullptr, nullptr, 0, 1, 1}, Store{y, outputs});
}
