// y[b, o] = activation(h) in STAGE 1; y[b, o] = x[b, o] + alpha keep[b] h in STAGE 2; h = sparse layer of norm(from), rows side by side
//
// Layout: as for geo_hop, but `from`, x and y are packed by geo_pack.cu, groups x features x LANES; where LAST, y is rows x
//         features. parts_in: moments of `from`, rows x pieces x 2, of `piece` numbers; parts: those of y, where MOMENTS says
//         which, in pieces of span * 256. y may be x: every number is read by who writes it.
// Idea:   half of a residual block for tables that reach over the whole grid: a gather is a line of memory that serves 16 rows,
//         and a net stays packed from its first block to its last. See geo_packed.cuh.
// Floor:  2 rows x features elements of traffic (3 in STAGE 2), and features x FAN_IN weights and indices for each group of
//         rows; rows x features x FAN_IN gathers, 4 per load.
// Variants: NORM=1; NORM=2 SINE=4; STAGE=2 MOMENTS=1; STAGE=2 MOMENTS=2 DEPTH=3 FAN_IN=25; STAGE=2 LAST=1

#include "sparse/geo_activation.cuh"
#include "sparse/geo_drop.cuh"
#include "sparse/geo_packed.cuh"

#ifndef STAGE
#define STAGE 1
#endif
#ifndef LAST
#define LAST 0
#endif

constexpr int RESIDENT = sizeof(Sum) == 8 ? 2 : 4;  // blocks that a multiprocessor holds: says how many registers there are

struct Block {
    Responses responses;
    DropPath drop;
    const T* x;
    T* y;
    Sum alpha;
    int layer, features;
    Sum* parts;

    __device__ Sum factor(long long row) const { return alpha * Sum(drop.keep(row, layer)); }
};

#ifdef CUDAGRAPH_HOST

struct Kept {
    Ready<PART> ready;
    RunningLanes<LANES> running;
    SeenLanes<LANES> seen;
    Lanes factors;
};

struct Finish {
    Block block;
    Kept& kept;
    const T* x;
    T* y;

    void begin(const Share& share)
    {
        x = block.x + share.first * block.features, y = block.y + share.first * block.features;
        kept.factors = lanes_of<LANES>([&](int r) { return STAGE == 2 && r < share.rows ? block.factor(share.first + r) : Sum(0); });
        kept.running.clear();
        kept.seen.clear();
    }
    void prepare(int at, int count) { kept.ready.prepare(block.responses, block.layer * block.features + at, STAGE == 1 ? count : 0); }
    Lanes result(Lanes sum, int o, int i)
    {
        if (STAGE == 1) return kept.ready.of(i).template operator()<LANES>(sum);
        const Lanes value = as_stored(load_lanes(x + static_cast<long long>(o) * LANES, LANES) + kept.factors * sum);
        if (MOMENTS) kept.seen.next(LANES), kept.running.add(value, kept.seen.present, kept.seen.share);
        return value;
    }
    void store(Lanes* results, const Share& share, int at, int count) const
    {
        if (LAST) return store_rows(results, block.y, block.features, share, at, count);
        for (int i = 0; i < count; ++i) store_lanes(y + static_cast<long long>(at + i) * LANES, results[i], LANES);
    }
    void end(const Share& share) const
    {
        for (int r = 0; MOMENTS && r < share.rows; ++r) write_moments(block.parts, share.part(r), {kept.running.mean[r], kept.running.squares[r]});
    }
};

#else

struct Kept {
    Sum factors[LANES];
#if LAST
    RowsMemory rows;
#endif
#if MOMENTS > 0
    Moments moments[TILE / 32][LANES];
    Real seen[TILE / 32][QUADS];
#endif
};

struct Finish {
    Block block;
    Kept& kept;
    Running<4> running;

    __device__ void begin(const Share& share)
    {
        if (MOMENTS) running.clear();
#if STAGE == 2
        const int r = threadIdx.x;
        if (r < LANES) kept.factors[r] = r < share.rows ? block.factor(share.first + r) : Sum(0);
        __syncthreads();
#endif
    }
    __device__ void result(Quad sum, const Share& share, int o, int quad)
    {
        const long long at = share.first * block.features + static_cast<long long>(o) * LANES + quad * 4;
#if STAGE == 1
        store_quad(block.y + at, response_of(block.responses, block.layer * block.features + o).template operator()<4>(sum));
#else
        const Quad before = load_quad(block.x + at);
        sum = Quad::of([&](int i) { return Sum(widen(narrow<T>(before[i] + kept.factors[quad * 4 + i] * sum[i]))); });
        if (MOMENTS) running.next();
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if (MOMENTS) running.add(i, sum[i]);
#if LAST
            kept.rows.value[quad * 4 + i][threadIdx.x / QUADS] = sum[i];
#endif
        }
        if (!LAST) store_quad(block.y + at, sum);
#endif
    }
    __device__ void store(const Share& share, int at)
    {
#if LAST
        store_rows(kept.rows, block.y, block.features, share, at);
#endif
    }
    __device__ void end(const Share& share)
    {
#if MOMENTS > 0
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            Real seen = running.seen;
#pragma unroll
            for (int distance = QUADS; distance < 32; distance *= 2) merge_across(running.row[i], seen, distance);
            if (lane < QUADS) kept.moments[warp][lane * 4 + i] = running.row[i], kept.seen[warp][lane] = seen;
        }
        __syncthreads();
        const int r = threadIdx.x;
        if (r >= share.rows) return;
        Moments all = kept.moments[0][r];
        Real seen = kept.seen[0][r / 4];
        for (int i = 1; i < TILE / 32; ++i) merge(all, seen, kept.moments[i][r], kept.seen[i][r / 4]);
        write_moments(block.parts, share.part(r), all);
#endif
    }
};

#endif

extern "C" __global__ void __launch_bounds__(256, RESIDENT)
    geo_hop_packed(const T* __restrict__ from, const T* x, T* y, const T* __restrict__ weight, const T* __restrict__ bias,
                   const I* __restrict__ index, const P* __restrict__ scale, const P* __restrict__ shift, const P* __restrict__ alpha,
                   const P* __restrict__ amplitude, const P* __restrict__ frequency, const P* __restrict__ decay, const P* __restrict__ phase,
                   const P* __restrict__ slope, const I* __restrict__ kind, float amplitude_low, float amplitude_high, float frequency_low, float frequency_high, float decay_low, float decay_high, float clip_max, const Q* __restrict__ frame, float p, unsigned int seed, bool training,
                   const S* __restrict__ parts_in, long long piece, int pieces, S* __restrict__ parts, int span, long long rows, int features, int layer)
{
    const long long first = static_cast<long long>(layer) * features;
    const Packed in{from, weight + first * FAN_IN, bias + first, index + first * FAN_IN, rows, features, features, scale + first, shift + first, parts_in, piece, pieces, span};
    __shared__ Kept kept;
    const Finish finish{{{amplitude, frequency, decay, phase, slope, kind, amplitude_low, amplitude_high, frequency_low, frequency_high, decay_low, decay_high, clip_max},
                         {reinterpret_cast<const unsigned int*>(frame), p, seed, training}, x, y, Sum(alpha[layer]), layer, features, parts}, kept};
    gather_packed(in, finish);
}
