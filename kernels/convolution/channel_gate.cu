// y[b, c, p] = x[b, c, p] * sigmoid(gate[b, c])
//
// Layout: x and y are planes x positions, row-major; gate has one value per plane.
// Idea:   a thread block walks along one plane; four neighbouring elements per thread move as vectors where the planes are
//         aligned. On a CPU one thread does the work of its thread block.
// Floor:  2 elements of traffic per output.

#include "elementwise.cuh"

static_assert(Floating<T>::value, "channel_gate takes float16, bfloat16, float32 or float64 tensors");

using Real = Compute<T>::type;

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }

extern "C" __global__ void channel_gate(const T* __restrict__ x, const T* __restrict__ gate, T* __restrict__ y, long long planes, long long positions, int strips)
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
#endif
    const long long plane = blockIdx.x / strips;
    if (plane >= planes) return;
    const Real factor = Real(1) / (Real(1) + exponential(-widen(gate[plane])));
    const auto scale = [factor](T value) { return narrow<T>(widen(value) * factor); };
    const T* __restrict__ source = x + plane * positions;
    T* __restrict__ target = y + plane * positions;
    const long long first = 4 * (static_cast<long long>(blockIdx.x % strips) * blockDim.x + threadIdx.x);
#ifdef CUDAGRAPH_HOST
    const long long last = first + 4 * blockDim.x;
#else
    const long long last = first + 4;
    if (last <= positions && aligned(source, target)) {
        *reinterpret_cast<Four<T>*>(target + first) = each<T>(scale, *reinterpret_cast<const Four<T>*>(source + first));
        return;
    }
#endif
    const long long end = last < positions ? last : positions;
    for (long long i = first; i < end; ++i) target[i] = scale(source[i]);
}
