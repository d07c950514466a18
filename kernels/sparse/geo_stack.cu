// x += alpha[l] keep[b, l] sparse2_l(activation_l(sparse1_l(norm_l(x)))) for l < DEPTH; y = x, or its product with a dense head
//
// Layout: x is rows x FEATURES; weights and indices are DEPTH x FEATURES x FAN_IN, biases, norms and activations DEPTH x
//         FEATURES, as they are stored; head is HEAD x FEATURES. y is rows x FEATURES, or rows x HEAD where HEAD is not 0.
// Idea:   a thread block takes ROWS rows through the whole net. They lie interleaved in shared memory, so that a gather is
//         one load for all of them, and each thread keeps a feature's weights and indices in registers, requested before
//         the norm is summed up. On a CPU the first thread of a block takes 64 bytes' worth of rows, a vector per feature,
//         through all layers in its own cache: no thread waits for another one.
// Floor:  rows x (FEATURES + HEAD) elements and the weights once from memory; per block of the net 2 FAN_IN gathers per
//         feature and 3 barriers, about 0.4 us.

#include "sparse/geo_activation.cuh"
#include "sparse/geo_drop.cuh"
#include "sparse/geo_lanes.cuh"
#include "sparse/geo_norm.cuh"

#ifndef FEATURES
#define FEATURES 144
#endif
#ifndef ROWS
#define ROWS 4
#endif
#ifndef THREADS
#define THREADS 160
#endif
#ifndef HEAD
#define HEAD 0
#endif

#ifdef CUDAGRAPH_HOST
constexpr int BLOCKS = LANES / ROWS;  // thread blocks whose rows one of them takes
constexpr bool AHEAD = false;
#else
constexpr int LANES = ROWS;
constexpr bool AHEAD = FEATURES <= THREADS && FAN_IN <= 16;  // a thread has one feature, and registers for its taps
using Lanes = LanesOf<LANES>::type;
#endif

struct Arrays {
    const T *weight1, *bias1, *weight2, *bias2;
    const I* index;
    const P *scale, *shift, *alpha;
    const T *head, *head_bias;
};

__device__ inline Lanes every(Sum value)
{
    return lanes_of<LANES>([=](int) { return value; });
}

template <class X> __device__ inline void load_taps(X* to, const X* from)
{
#pragma unroll
    for (int j = 0; j < FAN_IN; j += CHUNK) {
        const Chunk<X> chunk = *reinterpret_cast<const Chunk<X>*>(from + j);
#pragma unroll
        for (int i = 0; i < CHUNK; ++i) to[j + i] = chunk.value[i];
    }
}

// Weights and indices of one feature in a layer, in registers.
struct Taps {
    T weight1[FAN_IN], weight2[FAN_IN];
    I index[FAN_IN];

    __device__ void load(const Arrays& net, int feature)
    {
        const long long tap = static_cast<long long>(feature) * FAN_IN;
        load_taps(index, net.index + tap);
        load_taps(weight1, net.weight1 + tap);
        load_taps(weight2, net.weight2 + tap);
    }
};

__device__ inline Lanes hop(const Lanes* from, const T* weight, const I* at, Sum constant)
{
    Lanes sum = every(constant);
#pragma unroll 16
    for (int j = 0; j < FAN_IN; ++j) sum = sum + from[at[j]] * Sum(widen(weight[j]));
    return sum;
}

#ifdef CUDAGRAPH_HOST

template <class Each> inline void features(Each f)
{
    for (int o = 0; o < FEATURES; ++o) f(o);
}
inline void barrier() {}
inline Lanes over_block(Lanes sum) { return sum; }

#else

template <class Each> __device__ inline void features(Each f)
{
    if (FEATURES <= THREADS) {
        if (threadIdx.x < FEATURES) f(static_cast<int>(threadIdx.x));
    } else {
        for (int o = threadIdx.x; o < FEATURES; o += THREADS) f(o);
    }
}
__device__ inline void barrier() { __syncthreads(); }

__device__ inline Lanes over_warp(Lanes sum)
{
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        sum = sum + Lanes::of([&](int i) { return __shfl_xor_sync(0xffffffffu, sum[i], distance); });
    }
    return sum;
}

// The sum over a block; it ends with a barrier, and the next call begins after one.
__device__ inline Lanes over_block(Lanes sum)
{
    __shared__ Lanes warps[THREADS / 32];
    sum = over_warp(sum);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sum;
    __syncthreads();
    Lanes total = warps[0];
#pragma unroll 4
    for (int i = 1; i < THREADS / 32; ++i) total = total + warps[i];
    return total;
}

#endif

// norm(state), into `normal`.
__device__ inline void normalise(const Lanes* state, Lanes* normal, const P* scale, const P* shift)
{
#if NORM > 0
    constexpr Sum share = Sum(1) / FEATURES;
    Lanes mean = every(0), squares = every(0);
#if NORM == 2
    features([&](int o) { mean = mean + state[o]; });
    mean = over_block(mean) * share;
    barrier();
#endif
    features([&](int o) {
        const Lanes d = state[o] - mean;
        squares = squares + d * d;
    });
    squares = over_block(squares) * share;
    const Lanes inverse = lanes_of<LANES>([&](int i) { return inverse_deviation(squares[i]); });
    features([&](int o) {
        Lanes value = (state[o] - mean) * inverse * Sum(scale[o]);
        if (NORM == 2) value = value + Sum(shift[o]);
        normal[o] = value;
    });
#endif
}

// The dense product behind the last layer.
__device__ inline void multiply_head(const Lanes* state, const Arrays& net, T* y, int rows)
{
#ifdef CUDAGRAPH_HOST
    for (int c = 0; c < HEAD; ++c) {
        Lanes sum[4] = {};
        const T* weight = net.head + static_cast<long long>(c) * FEATURES;
        for (int o = 0; o < FEATURES - FEATURES % 4; o += 4) {
            for (int i = 0; i < 4; ++i) sum[i] += state[o + i] * Sum(widen(weight[o + i]));
        }
        for (int o = FEATURES - FEATURES % 4; o < FEATURES; ++o) sum[0] += state[o] * Sum(widen(weight[o]));
        const Lanes total = sum[0] + sum[1] + (sum[2] + sum[3]) + Sum(widen(net.head_bias[c]));
        for (int r = 0; r < rows; ++r) y[r * static_cast<long long>(HEAD) + c] = narrow<T>(total[r]);
    }
#else
    for (int c = threadIdx.x / 32; c < HEAD; c += THREADS / 32) {
        Lanes sum = every(0);
        const T* weight = net.head + static_cast<long long>(c) * FEATURES;
        for (int o = threadIdx.x % 32; o < FEATURES; o += 32) sum = sum + state[o] * Sum(widen(weight[o]));
        sum = over_warp(sum) + Sum(widen(net.head_bias[c]));
        if (threadIdx.x % 32 == 0) {
#pragma unroll
            for (int r = 0; r < LANES; ++r) {
                if (r < rows) y[r * static_cast<long long>(HEAD) + c] = narrow<T>(sum[r]);
            }
        }
    }
#endif
}

// What a thread block keeps between layers.
struct Memory {
    Lanes *state, *normal, *hidden;
#ifdef CUDAGRAPH_HOST
    Ready<FEATURES>* ready;
#endif
};

// `count` rows from `first` on, through all layers.
OUTLINE void run(const Memory memory, const Arrays& net, const Responses& responses, const DropPath& drop, const T* __restrict__ x, T* __restrict__ y,
                 long long first, int count)
{
    Lanes* __restrict__ state = memory.state;
    Lanes* __restrict__ hidden = memory.hidden;
    Lanes* normal = NORM ? memory.normal : state;
    const T* in = x + first * FEATURES;
    features([&](int o) {
        state[o] = lanes_of<LANES>([&](int r) { return r < count ? Sum(widen(in[r * static_cast<long long>(FEATURES) + o])) : Sum(0); });
    });
    Taps taps;
    for (int l = 0; l < DEPTH; ++l) {
        const int offset = l * FEATURES;
        if (AHEAD && threadIdx.x < FEATURES) taps.load(net, offset + threadIdx.x);
        normalise(state, normal, net.scale + offset, net.shift + offset);
        barrier();
#ifdef CUDAGRAPH_HOST
        memory.ready->prepare(responses, offset, FEATURES);
#endif
        features([&](int o) {
            const long long tap = static_cast<long long>(offset + o) * FAN_IN;
            const Sum constant = BIAS ? Sum(widen(net.bias1[offset + o])) : Sum(0);
#ifdef CUDAGRAPH_HOST
            const Response response = memory.ready->of(o);
#else
            const Response response = response_of(responses, offset + o);
#endif
            const Lanes h = AHEAD ? hop(normal, taps.weight1, taps.index, constant) : hop(normal, net.weight1 + tap, net.index + tap, constant);
            hidden[o] = response.operator()<LANES>(h);
        });
        barrier();
        const Lanes factor = lanes_of<LANES>([&](int r) { return Sum(net.alpha[l]) * Sum(drop.keep(first + r, l)); });
        features([&](int o) {
            const long long tap = static_cast<long long>(offset + o) * FAN_IN;
            const Sum constant = BIAS ? Sum(widen(net.bias2[offset + o])) : Sum(0);
            const Lanes h = AHEAD ? hop(hidden, taps.weight2, taps.index, constant) : hop(hidden, net.weight2 + tap, net.index + tap, constant);
            state[o] = state[o] + factor * h;
        });
    }
    T* out = y + first * (HEAD ? HEAD : FEATURES);
    if (HEAD) {
        barrier();
        multiply_head(state, net, out, count);
        return;
    }
    features([&](int o) {
#pragma unroll
        for (int r = 0; r < LANES; ++r) {
            if (r < count) out[r * static_cast<long long>(FEATURES) + o] = narrow<T>(state[o][r]);
        }
    });
}

extern "C" __global__ void __launch_bounds__(THREADS)
    geo_stack(const T* __restrict__ x, T* __restrict__ y, const T* __restrict__ weight1, const T* __restrict__ bias1, const T* __restrict__ weight2,
              const T* __restrict__ bias2, const I* __restrict__ index, const P* __restrict__ scale, const P* __restrict__ shift,
              const P* __restrict__ alpha, const P* __restrict__ amplitude, const P* __restrict__ frequency, const P* __restrict__ decay,
              const P* __restrict__ phase, const P* __restrict__ slope, const I* __restrict__ kind, float amplitude_low, float amplitude_high, float frequency_low, float frequency_high, float decay_low, float decay_high, float clip_max, const Q* __restrict__ frame, float p, unsigned int seed, bool training,
              const T* __restrict__ head, const T* __restrict__ head_bias, long long rows)
{
    const Arrays net{weight1, bias1, weight2, bias2, index, scale, shift, alpha, head, head_bias};
    const Responses responses{amplitude, frequency, decay, phase, slope, kind, amplitude_low, amplitude_high, frequency_low, frequency_high, decay_low, decay_high, clip_max};
    const DropPath drop{reinterpret_cast<const unsigned int*>(frame), p, seed, training};
    const long long first = blockIdx.x * static_cast<long long>(ROWS);
    const int count = rows - first < LANES ? static_cast<int>(rows - first) : LANES;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0 || blockIdx.x % BLOCKS != 0) return;
    alignas(64) __shared__ Lanes state[3][FEATURES];
    __shared__ Ready<FEATURES> ready;
    run({state[0], state[1], state[2], &ready}, net, responses, drop, x, y, first, count);
#else
    extern __shared__ float4 memory[];
    Lanes* state = reinterpret_cast<Lanes*>(memory);
    run({state, state + 2 * FEATURES, state + FEATURES}, net, responses, drop, x, y, first, count);
#endif
}
