// y[b, o] = activation(h) in STAGE 1; y[b, o] = x[b, o] + alpha keep[b] h in STAGE 2; h = sparse layer of norm(from)
//
// Layout: as for geo_linear, of as many inputs as outputs; the arrays of a whole net lie one after the other, and `layer` says
//         whose turn it is. STAGE 1 reads `from` through the norm (parts: its rows' moments, rows x pieces x 2), STAGE 2 adds
//         to x; keep[b] is drawn for each row where `training`. y may be x: every number is read by who writes it.
// Idea:   half of a residual block for grids that do not fit shared memory: norm, activation, residual and drop path are part
//         of the gathers. See geo_gather.cuh.
// Floor:  2 rows x features elements of traffic (3 in STAGE 2), and features x FAN_IN weights and indices.

#include "regularization/noise.cuh"
#include "sparse/geo_activation.cuh"
#include "sparse/geo_drop.cuh"
#include "sparse/geo_gather.cuh"

#ifndef STAGE
#define STAGE 1
#endif

struct Finish {
    Responses responses;
    Drop drop;
    const T* x;
    T* y;
    Sum alpha;
    int layer, features;
#ifdef CUDAGRAPH_HOST
    Ready<PART>* ready;
    int first;
    __device__ void prepare(int o, int count)
    {
        first = o;
        ready->prepare(responses, layer * features + o, count);
    }
    __device__ Response response(int o) const { return ready->of(o - first); }
#else
    Response one;
    __device__ void prepare(int o, int) { one = response_of(responses, layer * features + o); }
    __device__ Response response(int) const { return one; }
#endif

    template <int COUNT> __device__ void store(typename LanesOf<COUNT>::type sum, long long row, int o, int count) const
    {
        const long long at = row * features + o;
#if STAGE == 1
        alignas(64) Sum h[COUNT];
        unpack<COUNT>(sum, h);
        sum = lanes_of<COUNT>([=](int i) { return response(o + i).choose([&](auto activation) { return activation(h[i]); }); });
        for (int i = 0; i < count; ++i) y[at + i] = narrow<T>(sum[i]);
#else
        const Sum factor = alpha * Sum(drop.keep(row, layer));
        for (int i = 0; i < count; ++i) y[at + i] = narrow<T>(widen(x[at + i]) + factor * sum[i]);
#endif
    }
};

extern "C" __global__ void geo_hop(const T* __restrict__ from, const T* x, T* y, const T* __restrict__ weight, const T* __restrict__ bias,
                                   const I* __restrict__ index, const P* __restrict__ scale, const P* __restrict__ shift, const P* __restrict__ alpha,
                                   const P* __restrict__ amplitude, const P* __restrict__ frequency, const P* __restrict__ decay, const P* __restrict__ phase,
                                   const P* __restrict__ slope, const I* __restrict__ kind, float amplitude_low, float amplitude_high, float frequency_low, float frequency_high, float decay_low, float decay_high, float clip_max, const Q* __restrict__ frame, float p, unsigned int seed, bool training,
                                   const S* __restrict__ parts, long long piece, int pieces, long long rows, int features, int layer)
{
    const long long first = static_cast<long long>(layer) * features;
    const Gathered in{from, weight + first * FAN_IN, bias + first, index + first * FAN_IN, rows, features, features, scale + first, shift + first, parts, piece, pieces};
    Finish finish{{amplitude, frequency, decay, phase, slope, kind, amplitude_low, amplitude_high, frequency_low, frequency_high, decay_low, decay_high, clip_max},
                  {reinterpret_cast<const unsigned int*>(frame), p, seed, training}, x, y, Sum(alpha[layer]), layer, features};
#ifdef CUDAGRAPH_HOST
    __shared__ Ready<PART> ready;
    finish.ready = &ready;
#endif
    gather(in, finish);
}
