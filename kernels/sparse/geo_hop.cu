// y[b, o] = activation(h) in STAGE 1; y[b, o] = x[b, o] + alpha keep[b] h in STAGE 2; h = sparse layer of norm(from)
//
// Layout: as for geo_linear, of as many inputs as outputs; the arrays of a whole net lie one after the other, and `layer` says
//         whose turn it is. STAGE 1 reads `from` through the norm (parts_in: its rows' moments, rows x pieces x 2, of `piece`
//         numbers), STAGE 2 adds to x; keep[b] is drawn for each row where `training`. parts: moments of y for the next norm,
//         where MOMENTS says which (geo_moments.cuh), in pieces of span * 256. y may be x: every number is read by who writes it.
// Idea:   half of a residual block for any table: norm, activation, residual, drop path and the moments of the next norm are
//         part of the gathers. A thread block takes `span` tiles of 256 outputs, so that there are few pieces. See geo_gather.cuh.
// Floor:  2 rows x features elements of traffic (3 in STAGE 2), and features x FAN_IN weights and indices.
// Variants: NORM=1; NORM=2 SINE=4 ROWS=1; STAGE=2 MOMENTS=1; STAGE=2 MOMENTS=2 DEPTH=3 FAN_IN=25

#include "sparse/geo_activation.cuh"
#include "sparse/geo_drop.cuh"
#include "sparse/geo_gather.cuh"

#ifndef STAGE
#define STAGE 1
#endif

#ifdef CUDAGRAPH_HOST

// What a block keeps while it goes from tile to tile.
struct Kept {
    Ready<PART> ready;
    Sum factors[HOST_ROWS];
    RunningLanes<LANES> running[HOST_ROWS];
    SeenLanes<LANES> seen, steps[PART / LANES];
};

struct Finish {
    Responses responses;
    DropPath drop;
    const T* x;
    T* y;
    Sum alpha;
    int layer, features;
    Sum* parts;
    Kept* kept;
    int first;

    void begin(long long begin, int rows)
    {
        for (int r = 0; STAGE == 2 && r < rows; ++r) kept->factors[r] = alpha * Sum(drop.keep(begin + r, layer));
        if (!MOMENTS) return;
        kept->seen.clear();
        for (auto& one : kept->running) one.clear();
    }
    void prepare(int o, int count)
    {
        first = o;
        kept->ready.prepare(responses, layer * features + o, STAGE == 1 ? count : 0);
        for (int i = 0; MOMENTS && i < count; i += LANES) {
            kept->seen.next(count - i < LANES ? count - i : LANES);
            kept->steps[i / LANES] = kept->seen;
        }
    }
    void store(Lanes sum, long long begin, int r, int o, int count) const
    {
        const long long at = (begin + r) * features + o;
#if STAGE == 1
        alignas(64) Sum h[LANES];
        unpack<LANES>(sum, h);
        sum = lanes_of<LANES>([&](int i) { return kept->ready.of(o - first + i).choose([&](auto activation) { return activation(h[i]); }); });
        store_lanes(y + at, sum, count);
#else
        const Lanes value = as_stored(load_lanes(x + at, count) + kept->factors[r] * sum);
        store_lanes(y + at, value, count);
        if (MOMENTS) kept->running[r].add(value, kept->steps[(o - first) / LANES].present, kept->steps[(o - first) / LANES].share);
#endif
    }
    void end(long long begin, int rows) const
    {
        for (int r = 0; MOMENTS && r < rows; ++r) write_moments(parts, (begin + r) * gridDim.y + blockIdx.y, kept->running[r].total(kept->seen.seen));
    }
};

#else

struct Finish {
    Responses responses;
    DropPath drop;
    const T* x;
    T* y;
    Sum alpha;
    int layer, features;
    Sum* parts;
    Sum* factors;
    Response response;
    Running<ROWS> running;

    __device__ void begin(long long begin, int rows)
    {
#if STAGE == 2
        if (static_cast<int>(threadIdx.x) < rows) factors[threadIdx.x] = alpha * Sum(drop.keep(begin + threadIdx.x, layer));
        __syncthreads();
#endif
        if (MOMENTS) running.clear();
    }
    __device__ void prepare(int o, int)
    {
        if (STAGE == 1) response = response_of(responses, layer * features + o);
        if (MOMENTS) running.next();
    }
    __device__ void store(Sum sum, long long begin, int r, int o)
    {
        const long long at = (begin + r) * features + o;
#if STAGE == 1
        y[at] = narrow<T>(response.choose([=](auto activation) { return activation(sum); }));
#else
        const T result = narrow<T>(widen(x[at]) + factors[r] * sum);
        y[at] = result;
        if (MOMENTS) running.add(r, widen(result));
#endif
    }
    __device__ void end(long long begin, int rows)
    {
#if MOMENTS > 0
        __shared__ RunningMemory<ROWS, TILE> memory;
        write_rows(running, memory, parts, begin, rows, blockIdx.y, gridDim.y);
#endif
    }
};

#endif

extern "C" __global__ void geo_hop(const T* __restrict__ from, const T* x, T* y, const T* __restrict__ weight, const T* __restrict__ bias,
                                   const I* __restrict__ index, const P* __restrict__ scale, const P* __restrict__ shift, const P* __restrict__ alpha,
                                   const P* __restrict__ amplitude, const P* __restrict__ frequency, const P* __restrict__ decay, const P* __restrict__ phase,
                                   const P* __restrict__ slope, const I* __restrict__ kind, float amplitude_low, float amplitude_high, float frequency_low, float frequency_high, float decay_low, float decay_high, float clip_max, const Q* __restrict__ frame, float p, unsigned int seed, bool training,
                                   const S* __restrict__ parts_in, long long piece, int pieces, S* __restrict__ parts, int span, long long rows, int features, int layer)
{
    const long long first = static_cast<long long>(layer) * features;
    const Gathered in{from, weight + first * FAN_IN, bias + first, index + first * FAN_IN, rows, features, features, scale + first, shift + first, parts_in, piece, pieces, span};
    Finish finish{{amplitude, frequency, decay, phase, slope, kind, amplitude_low, amplitude_high, frequency_low, frequency_high, decay_low, decay_high, clip_max},
                  {reinterpret_cast<const unsigned int*>(frame), p, seed, training}, x, y, Sum(alpha[layer]), layer, features, parts};
#ifdef CUDAGRAPH_HOST
    __shared__ Kept kept;
    finish.kept = &kept;
#else
    __shared__ Sum factors[ROWS];
    finish.factors = factors;
#endif
    gather(in, finish);
}
