// y[b, o] = x[b, o] + alpha keep[b] sparse2(activation(sparse1(norm(x)))), a residual block of a large grid, tile by tile
//
// Layout: x and y are rows x (HEIGHT x WIDTH), and differ. Weights and indices are features x FAN_IN, as they are stored; the
//         arrays of a whole net lie one after the other, and `layer` says whose turn it is. parts_in: rows x pieces_in x 2
//         moments of x, from normalization/moments in pieces of piece_in numbers, or from this kernel (piece_in = 0); parts:
//         those of y. Blocks: x over groups of ROWS rows, so that blocks that share weights run together; y over the pieces,
//         which share all tiles out.
// Idea:   norm(x) of a tile and 2 HALO cells around it goes to shared memory, ROWS rows packed side by side, so that a gather
//         is one load of 16 bytes for four rows; the hidden layer of the tile and HALO cells around it takes another part of
//         it, and never sees memory. A grid goes on beyond its border on the other side, so wrapped neighbours are near, too.
//         Indices are the table's own: one that lies outside of what is staged is read from memory, and a hidden number
//         outside is computed on the spot, so that any table is right and a local one fast. A thread block takes its tiles one
//         after the other, and puts the norm's moments together only once.
// Floor:  2 rows x features elements of traffic, and 2 features x FAN_IN weights and as many indices once for ROWS rows;
//         about 3 instructions per row and tap, and an activation for (TALL + 2 HALO) (BROAD + 2 HALO) of TALL BROAD cells.
// Variants: HEIGHT=256 WIDTH=256 ROWS=8 NORM=2 MOMENTS=2 SINE=1; HEIGHT=96 WIDTH=100 ROWS=1 NORM=1 MOMENTS=1 SINE=4 DEPTH=3; HEIGHT=91 WIDTH=91 ROWS=4 FAN_IN=25 HALO=2

#include "sparse/geo_activation.cuh"
#include "sparse/geo_drop.cuh"
#include "sparse/geo_lanes.cuh"
#include "sparse/geo_moments.cuh"

#ifndef HEIGHT
#define HEIGHT 96
#endif
#ifndef WIDTH
#define WIDTH 96
#endif
#ifndef HALO
#define HALO 1
#endif
#ifndef ROWS
#define ROWS 4
#endif

#ifdef CUDAGRAPH_HOST
constexpr int TALL = 64, BROAD = 64;      // few cells are computed twice, and all of it stays in the second cache
constexpr int BLOCKS = LANES / ROWS;      // thread blocks whose rows one of them takes
#else
constexpr int TALL = 16, BROAD = 32, THREADS = 256;
constexpr int LANES = ROWS < 4 ? ROWS : 4, PLANES = ROWS / LANES;
using Lanes = LanesOf<LANES>::type;
#endif
constexpr int FEATURES = HEIGHT * WIDTH, ACROSS = (WIDTH + BROAD - 1) / BROAD, DOWN = (HEIGHT + TALL - 1) / TALL;

struct Tile {
    int top, left, tall, broad;

    __device__ static Tile number(int i)
    {
        const int top = i / ACROSS * TALL, left = i % ACROSS * BROAD;
        return {top, left, HEIGHT - top < TALL ? HEIGHT - top : TALL, WIDTH - left < BROAD ? WIDTH - left : BROAD};
    }
    // Cells of all tiles before number i.
    __device__ static int cells_before(int i)
    {
        const int top = i / ACROSS * TALL, left = i % ACROSS * BROAD;
        return top >= HEIGHT ? FEATURES : top * WIDTH + (HEIGHT - top < TALL ? HEIGHT - top : TALL) * left;
    }
};

// The first tile of a piece; there may be more pieces than tiles.
__device__ inline int first_tile(int piece, int pieces) { return static_cast<int>(static_cast<long long>(piece) * (ACROSS * DOWN) / pieces); }

// A tile and EXTRA cells around it, as they lie in shared memory.
template <int EXTRA> struct Window {
    static constexpr int PITCH = BROAD + 2 * EXTRA, CELLS = (TALL + 2 * EXTRA) * PITCH;
    int top, left, tall, broad;

    __device__ explicit Window(const Tile& tile)
        : top((tile.top - EXTRA % HEIGHT + HEIGHT) % HEIGHT), left((tile.left - EXTRA % WIDTH + WIDTH) % WIDTH), tall(tile.tall + 2 * EXTRA), broad(tile.broad + 2 * EXTRA) {}

    __device__ int cell(int row, int column) const { return (top + row) % HEIGHT * WIDTH + (left + column) % WIDTH; }

    // Where a cell lies, or -1.
    __device__ int place(unsigned int cell) const
    {
        const unsigned int row = cell / WIDTH, column = cell - row * WIDTH;
        const unsigned int down = row - top, right = column - left;
        const unsigned int y = min(down, down + HEIGHT), x = min(right, right + WIDTH);
        const bool outside = (y >= static_cast<unsigned int>(tall)) | (x >= static_cast<unsigned int>(broad));
        return static_cast<int>(y * PITCH + x) | -static_cast<int>(outside);
    }
};
using Outer = Window<2 * HALO>;  // of norm(x)
using Inner = Window<HALO>;      // of the hidden layer

// The arrays of a net, and whose turn it is. Pointers stay as the launch gave them, where they cost no registers.
struct Layer {
    const T* x;
    T* y;
    const T *weight1, *bias1, *weight2, *bias2;
    const I* index;
    const P *scale, *shift;
    Responses responses;
    int begin;  // the layer's first feature

    __device__ Sum bias(const T* of, int o) const { return BIAS ? Sum(widen(of[begin + o])) : Sum(0); }
    __device__ long long tap(int o) const { return (static_cast<long long>(begin) + o) * FAN_IN; }
    __device__ Response response(int o) const { return response_of(responses, begin + o); }
    __device__ Sum normal(Sum value, const Row& row, int cell) const
    {
#if NORM > 0
        value = (value - row.mean) * row.inverse * Sum(scale[begin + cell]);
        if (NORM == 2) value += Sum(shift[begin + cell]);
#endif
        return value;
    }
};

#ifdef CUDAGRAPH_HOST

constexpr int MOST = BROAD + 2 * HALO;  // hidden cells in a row

struct Memory {
    // A row of cells for each row of x. Rows of x may be apart by a power of two, and share a few lines of the cache: so they
    // are read and written one after the other, never side by side.
    alignas(64) Lanes line[LANES][Outer::PITCH / LANES + 2];
    SeenLanes<LANES> steps[BROAD / LANES];
    alignas(64) Lanes x[Outer::CELLS];
    alignas(64) Lanes hidden[Inner::CELLS];
    alignas(64) Sum weight[MOST * FAN_IN];
    alignas(64) int place[MOST * FAN_IN];
    Ready<MOST> ready;
    RunningLanes<LANES> running[LANES];
    Row rows[LANES];
    Sum factors[LANES];
};

// The cells of a window's row are neighbours, or two and more such runs where the grid goes on beyond its border.
template <class Each> inline void runs(const int left, int count, Each each)
{
    for (int at = 0, column = left; at < count; column = 0) {
        const int run = count - at < WIDTH - column ? count - at : WIDTH - column;
        each(column, at, run);
        at += run;
    }
}

struct Worker {
    Memory& memory;
    const Layer& layer;
    const long long first;
    const int count;  // of rows
    const Lanes mean, inverse;

    Lanes normal(Lanes value, int cell) const
    {
#if NORM > 0
        value = (value - mean) * inverse * Sum(layer.scale[layer.begin + cell]);
        if (NORM == 2) value += Sum(layer.shift[layer.begin + cell]);
#endif
        return value;
    }

    Lanes far_x(int cell) const
    {
        return normal(lanes_of<LANES>([&](int r) { return r < count ? Sum(widen(layer.x[(first + r) * FEATURES + cell])) : Sum(0); }), cell);
    }

    void stage(const Outer& window) const
    {
        for (int row = 0; row < window.tall; ++row) {
            const int line = (window.top + row) % HEIGHT * WIDTH;
            runs(window.left, window.broad, [&](int column, int at, int run) {
                const int cell = line + column;
                for (int r = 0; r < count; ++r) {
                    for (int i = 0; i < run; i += LANES) memory.line[r][i / LANES] = load_lanes(layer.x + (first + r) * FEATURES + cell + i, run - i);
                }
                Lanes* to = memory.x + row * Outer::PITCH + at;
                for (int i = 0; i < run; i += LANES) {
                    Lanes lanes[LANES];
                    for (int r = 0; r < LANES; ++r) lanes[r] = memory.line[r][i / LANES];
                    transpose(lanes);
                    for (int c = 0; c < LANES && i + c < run; ++c) to[i + c] = normal(lanes[c], cell + i + c);
                }
            });
        }
    }

    // Lays out the taps of `run` outputs from `o` on; whether one of them lies outside of the window.
    template <class Window> bool lay_out(const Window window, const T* __restrict__ weight, int o, int run) const
    {
        const I* __restrict__ index = layer.index + layer.tap(o);
        weight += layer.tap(o);
        int* __restrict__ place = memory.place;
        Sum* __restrict__ widened = memory.weight;
        int outside = 0;
#pragma GCC ivdep
        for (int i = 0; i < run * FAN_IN; ++i) {
            const int at = window.place(static_cast<unsigned int>(index[i]));
            place[i] = at;
            outside |= at;
        }
#pragma GCC ivdep
        for (int i = 0; i < run * FAN_IN; ++i) widened[i] = widen(weight[i]);
        return outside < 0;
    }

    // Output number i of those that are laid out. far(cell) stands for what is not in `from`.
    template <class Far> Lanes hop(const Lanes* __restrict__ from, int i, int o, Sum bias, bool outside, Far far) const
    {
        const int* place = memory.place + i * FAN_IN;
        const Sum* weight = memory.weight + i * FAN_IN;
        if (outside) {
            Lanes sum = Lanes{} + bias;
            for (int j = 0; j < FAN_IN; ++j) {
                sum += (place[j] < 0 ? far(static_cast<int>(layer.index[layer.tap(o) + j])) : from[place[j]]) * weight[j];
            }
            return sum;
        }
        Lanes sum = Lanes{} + bias, other{};
#pragma GCC unroll 8
        for (int j = 0; j + 1 < FAN_IN; j += 2) {
            sum += from[place[j]] * weight[j];
            other += from[place[j + 1]] * weight[j + 1];
        }
        if (FAN_IN % 2) sum += from[place[FAN_IN - 1]] * weight[FAN_IN - 1];
        return sum + other;
    }

    Lanes far_hidden(const Outer& window, int cell) const
    {
        Lanes sum = Lanes{} + layer.bias(layer.bias1, cell);
        for (int j = 0; j < FAN_IN; ++j) {
            const long long tap = layer.tap(cell) + j;
            const int from = layer.index[tap], place = window.place(static_cast<unsigned int>(from));
            sum += (place < 0 ? far_x(from) : memory.x[place]) * Sum(widen(layer.weight1[tap]));
        }
        return layer.response(cell).template operator()<LANES>(sum);
    }

    void hide(const Outer& outer, const Inner& inner) const
    {
        for (int row = 0; row < inner.tall; ++row) {
            const int line = (inner.top + row) % HEIGHT * WIDTH;
            runs(inner.left, inner.broad, [&](int column, int at, int run) {
                const int o = line + column;
                const bool outside = lay_out(outer, layer.weight1, o, run);
                memory.ready.prepare(layer.responses, layer.begin + o, run);
                Lanes* __restrict__ to = memory.hidden + row * Inner::PITCH + at;
                for (int i = 0; i < run; ++i) {
                    const Lanes sum = hop(memory.x, i, o + i, layer.bias(layer.bias1, o + i), outside, [&](int cell) { return far_x(cell); });
                    to[i] = memory.ready.of(i).template operator()<LANES>(sum);
                }
            });
        }
    }

    void finish(const Tile& tile, const Outer& outer, const Inner& inner, SeenLanes<LANES>& seen) const
    {
        for (int row = 0; row < tile.tall; ++row) {
            const int line = (tile.top + row) * WIDTH + tile.left;
            const bool outside = lay_out(inner, layer.weight2, line, tile.broad);
            for (int at = 0; at < tile.broad; at += LANES) {
                Lanes lanes[LANES];
                for (int c = 0; c < LANES; ++c) {
                    const int i = at + c < tile.broad ? at + c : tile.broad - 1, o = line + i;  // what is too much repeats the last one
                    lanes[c] = hop(memory.hidden, i, o, layer.bias(layer.bias2, o), outside, [&](int cell) { return far_hidden(outer, cell); });
                }
                transpose(lanes);
                for (int r = 0; r < LANES; ++r) memory.line[r][at / LANES] = lanes[r];
                if (MOMENTS) seen.next(tile.broad - at), memory.steps[at / LANES] = seen;
            }
            for (int r = 0; r < count; ++r) {
                for (int at = 0; at < tile.broad; at += LANES) {
                    const long long start = (first + r) * FEATURES + line + at;
                    const int i = at / LANES;
                    const Lanes value = as_stored(load_lanes(layer.x + start, tile.broad - at) + memory.factors[r] * memory.line[r][i]);
                    store_lanes(layer.y + start, value, tile.broad - at);
                    if (MOMENTS) memory.running[r].add(value, memory.steps[i].present, memory.steps[i].share);
                }
            }
        }
    }
};

OUTLINE void run(Memory& memory, const Layer& layer, long long first, int count, int piece, int pieces, Sum* parts)
{
    const Lanes mean = lanes_of<LANES>([&](int r) { return NORM == 2 && r < count ? memory.rows[r].mean : Sum(0); });
    const Lanes inverse = lanes_of<LANES>([&](int r) { return NORM && r < count ? memory.rows[r].inverse : Sum(0); });
    const Worker worker{memory, layer, first, count, mean, inverse};
    SeenLanes<LANES> seen;
    seen.clear();
    for (auto& one : memory.running) one.clear();
    for (auto& line : memory.line) {
        for (auto& lanes : line) lanes = Lanes{};
    }
    for (int i = first_tile(piece, pieces); i < first_tile(piece + 1, pieces); ++i) {
        const Tile tile = Tile::number(i);
        const Outer outer(tile);
        const Inner inner(tile);
        worker.stage(outer);
        worker.hide(outer, inner);
        worker.finish(tile, outer, inner, seen);
    }
    if (!MOMENTS) return;
    for (int r = 0; r < count; ++r) write_moments(parts, (first + r) * pieces + piece, memory.running[r].total(seen.seen));
}

#else

struct Worker {
    Lanes *x, *hidden;
    const Row* rows;
    const Sum* factors;
    Layer layer;
    long long first;
    int count;  // of rows

    __device__ Lanes value(int plane, int cell) const
    {
        return Lanes::of([&](int i) {
            const int r = plane * LANES + i;
            return r < count ? layer.normal(widen(layer.x[(first + r) * FEATURES + cell]), rows[r], cell) : Sum(0);
        });
    }

    __device__ void stage(const Outer& window) const
    {
        for (int i = threadIdx.x; i < window.tall * Outer::PITCH; i += THREADS) {
            const int row = i / Outer::PITCH, column = i - row * Outer::PITCH;
            if (column >= window.broad) continue;
            const int cell = window.cell(row, column);
#pragma unroll
            for (int q = 0; q < PLANES; ++q) x[q * Outer::CELLS + i] = value(q, cell);
        }
    }

    // Adds up what the taps of output `o` find in `from`; far(plane, cell) stands for what is not there.
    template <class Window, class Far> __device__ void hop(Lanes (&sum)[PLANES], const Lanes* from, const Window& window, const T* weight, int o, Sum bias, Far far) const
    {
        const long long first_tap = layer.tap(o);
        int outside = 0;
#pragma unroll
        for (int q = 0; q < PLANES; ++q) sum[q] = Lanes::of([=](int) { return bias; });
#pragma unroll 1
        for (int j = 0; j < FAN_IN; j += CHUNK) {
            const Chunk<T> w = *reinterpret_cast<const Chunk<T>*>(weight + first_tap + j);
            const Chunk<I> at = *reinterpret_cast<const Chunk<I>*>(layer.index + first_tap + j);
#pragma unroll
            for (int i = 0; i < CHUNK; ++i) {
                const int place = window.place(static_cast<unsigned int>(at.value[i]));
                outside |= place;
                if (place < 0) continue;
#pragma unroll
                for (int q = 0; q < PLANES; ++q) sum[q] = sum[q] + from[q * Window::CELLS + place] * Sum(widen(w.value[i]));
            }
        }
        if (outside >= 0) return;
#pragma unroll 1
        for (int j = 0; j < FAN_IN; ++j) {
            const int cell = layer.index[first_tap + j];
            if (window.place(static_cast<unsigned int>(cell)) >= 0) continue;
            const Sum w = widen(weight[first_tap + j]);
#pragma unroll
            for (int q = 0; q < PLANES; ++q) sum[q] = sum[q] + far(q, cell) * w;
        }
    }

    __device__ Lanes far_hidden(const Outer& window, int plane, int cell) const
    {
        const long long first_tap = layer.tap(cell);
        const Sum bias = layer.bias(layer.bias1, cell);
        Lanes sum = Lanes::of([=](int) { return bias; });
#pragma unroll 1
        for (int j = 0; j < FAN_IN; ++j) {
            const int from = layer.index[first_tap + j], place = window.place(static_cast<unsigned int>(from));
            sum = sum + (place < 0 ? value(plane, from) : x[plane * Outer::CELLS + place]) * Sum(widen(layer.weight1[first_tap + j]));
        }
        return layer.response(cell).template operator()<LANES>(sum);
    }

    __device__ void hide(const Outer& outer, const Inner& inner) const
    {
        for (int i = threadIdx.x; i < inner.tall * Inner::PITCH; i += THREADS) {
            const int row = i / Inner::PITCH, column = i - row * Inner::PITCH;
            if (column >= inner.broad) continue;
            const int o = inner.cell(row, column);
            Lanes sum[PLANES];
            hop(sum, x, outer, layer.weight1, o, layer.bias(layer.bias1, o), [&](int q, int cell) { return value(q, cell); });
            const Response response = layer.response(o);
#pragma unroll
            for (int q = 0; q < PLANES; ++q) hidden[q * Inner::CELLS + i] = response.template operator()<LANES>(sum[q]);
        }
    }

    __device__ void finish(const Tile& tile, const Outer& outer, const Inner& inner, Running<ROWS>& running) const
    {
        for (int i = threadIdx.x; i < tile.tall * BROAD; i += THREADS) {
            const int row = i / BROAD, column = i - row * BROAD;
            if (column >= tile.broad) continue;
            const int o = (tile.top + row) * WIDTH + tile.left + column;
            Lanes sum[PLANES];
            hop(sum, hidden, inner, layer.weight2, o, layer.bias(layer.bias2, o), [&](int q, int cell) { return far_hidden(outer, q, cell); });
            if (MOMENTS) running.next();
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                if (r >= count) break;
                const long long at = (first + r) * FEATURES + o;
                const T result = narrow<T>(widen(layer.x[at]) + factors[r] * sum[r / LANES][r % LANES]);
                layer.y[at] = result;
                if (MOMENTS) running.add(r, widen(result));
            }
        }
    }
};

#endif

extern "C" __global__ void __launch_bounds__(256, 2)
    geo_tile(const T* __restrict__ x, T* __restrict__ y, const T* __restrict__ weight1, const T* __restrict__ bias1, const T* __restrict__ weight2,
             const T* __restrict__ bias2, const I* __restrict__ index, const P* __restrict__ scale, const P* __restrict__ shift,
             const P* __restrict__ alpha, const P* __restrict__ amplitude, const P* __restrict__ frequency, const P* __restrict__ decay,
             const P* __restrict__ phase, const P* __restrict__ slope, const I* __restrict__ kind, float amplitude_low, float amplitude_high, float frequency_low, float frequency_high, float decay_low, float decay_high, float clip_max, const Q* __restrict__ frame, float p, unsigned int seed, bool training,
             const S* __restrict__ parts_in, long long piece_in, int pieces_in, S* __restrict__ parts, int pieces, long long rows, int layer)
{
    const Layer own{x, y, weight1, bias1, weight2, bias2, index, scale, shift,
                    {amplitude, frequency, decay, phase, slope, kind, amplitude_low, amplitude_high, frequency_low, frequency_high, decay_low, decay_high, clip_max}, layer * FEATURES};
    const DropPath drop{reinterpret_cast<const unsigned int*>(frame), p, seed, training};
    const auto cells = [=](int i) {
        if (piece_in > 0) return static_cast<int>(piece_of(i, piece_in, FEATURES));
        return Tile::cells_before(first_tile(i + 1, pieces_in)) - Tile::cells_before(first_tile(i, pieces_in));
    };
    const long long first = blockIdx.x * static_cast<long long>(ROWS);
    const int piece = blockIdx.y;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0 || blockIdx.x % BLOCKS != 0) return;
    __shared__ Memory memory;
    const int count = rows - first < LANES ? static_cast<int>(rows - first) : LANES;
    if (NORM) combine_rows(memory.rows, parts_in, first, count, pieces_in, cells, FEATURES);
    for (int r = 0; r < count; ++r) memory.factors[r] = Sum(alpha[layer]) * Sum(drop.keep(first + r, layer));
    run(memory, own, first, count, piece, pieces, parts);
#else
    extern __shared__ float4 memory[];
    __shared__ Row norms[ROWS];
    __shared__ Sum factors[ROWS];
    const int count = rows - first < ROWS ? static_cast<int>(rows - first) : ROWS;
    if (static_cast<int>(threadIdx.x) < count) factors[threadIdx.x] = Sum(alpha[layer]) * Sum(drop.keep(first + threadIdx.x, layer));
    if (NORM) combine_rows(norms, parts_in, first, count, pieces_in, cells, FEATURES);
    Lanes* staged = reinterpret_cast<Lanes*>(memory);
    const Worker worker{staged, staged + PLANES * Outer::CELLS, norms, factors, own, first, count};
    Running<ROWS> running;
    if (MOMENTS) running.clear();
    for (int i = first_tile(piece, pieces); i < first_tile(piece + 1, pieces); ++i) {
        const Tile tile = Tile::number(i);
        const Outer outer(tile);
        const Inner inner(tile);
        worker.stage(outer);
        __syncthreads();
        worker.hide(outer, inner);
        __syncthreads();
        worker.finish(tile, outer, inner, running);
        __syncthreads();
    }
    if (MOMENTS) {
        using Left = RunningMemory<ROWS, THREADS>;
        static_assert(sizeof(Left) <= sizeof(Lanes) * PLANES * (Outer::CELLS + Inner::CELLS), "the moments take the place of what was staged");
        write_rows(running, *reinterpret_cast<Left*>(memory), parts, first, count, piece, pieces);
    }
#endif
}
