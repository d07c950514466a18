// packed[g, i, r] = x[LANES g + r, i]: rows side by side, so that whatever cell is gathered, a line of memory holds it for all of them
//
// Layout: x is rows x inputs; packed has ceil(rows / LANES) x inputs x LANES numbers, with zeros for rows that are not there;
//         LANES is 16 (8 for float64). parts: where MOMENTS asks for them, the rows' moments, in pieces of span * 256 cells.
//         Blocks: by group of LANES rows, and then by piece.
// Idea:   a transpose through shared memory, 64 cells at a time, that reads and writes neighbours; the numbers are in reach
//         while they are here, so the norm of the first block costs no pass of its own. See geo_packed.cuh for who reads them.
// Floor:  2 rows x inputs elements of traffic.
// Variants: MOMENTS=1; MOMENTS=2

#include "sparse/geo_lanes.cuh"
#include "sparse/geo_moments.cuh"
#include "sparse/geo_packed.cuh"

#ifdef CUDAGRAPH_HOST

struct Memory {
    alignas(64) Lanes line[LANES][TILE / LANES];
    RunningLanes<LANES> running[LANES];
};

OUTLINE void pack(Memory& memory, const T* __restrict__ x, T* __restrict__ packed, Sum* parts, const Share share, int inputs)
{
    SeenLanes<LANES> seen;
    seen.clear();
    for (auto& one : memory.running) one.clear();
    const long long first = share.first;
    const int rows = share.rows;
    for (int at = share.begin; at < share.end; at += TILE) {
        const int cells = share.end - at < TILE ? share.end - at : TILE;
        const SeenLanes<LANES> before = seen;
        for (int r = 0; r < LANES; ++r) {
            seen = before;
            for (int i = 0; i < cells; i += LANES) {
                Lanes& lanes = memory.line[r][i / LANES];
                lanes = r < rows ? load_lanes(x + (first + r) * inputs + at + i, cells - i) : Lanes{};
                if (!MOMENTS) continue;
                seen.next(cells - i);
                memory.running[r].add(lanes, seen.present, seen.share);
            }
        }
        for (int i = 0; i < cells; i += LANES) {
            Lanes lanes[LANES];
            for (int r = 0; r < LANES; ++r) lanes[r] = memory.line[r][i / LANES];
            transpose(lanes);
            for (int c = 0; c < LANES && i + c < cells; ++c) store_lanes(packed + (first * inputs + static_cast<long long>(at + i + c) * LANES), lanes[c], LANES);
        }
    }
    for (int r = 0; MOMENTS && r < rows; ++r) write_moments(parts, share.part(r), memory.running[r].total(seen.seen));
}

#endif

extern "C" __global__ void __launch_bounds__(256, 4) geo_pack(const T* __restrict__ x, T* __restrict__ packed, S* __restrict__ parts, int span, long long rows, int inputs)
{
    const Share share(rows, inputs, span);
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0) return;
    __shared__ Memory memory;
    pack(memory, x, packed, parts, share, inputs);
#else
    constexpr int CELLS = 64, SHARE = TILE / LANES;  // threads that look at the moments of a row
    __shared__ Sum tile[LANES][CELLS + 1];
    const int thread = threadIdx.x, row = thread / SHARE;
    const long long first = share.first;
    Running<1> running;
    running.clear();
    for (int at = share.begin; at < share.end; at += CELLS) {
#pragma unroll
        for (int r = thread / CELLS; r < LANES; r += TILE / CELLS) {
            const int c = thread % CELLS;
            tile[r][c] = r < share.rows && at + c < share.end ? Sum(widen(x[(first + r) * inputs + at + c])) : Sum(0);
        }
        __syncthreads();
#pragma unroll
        for (int i = thread; i < CELLS * LANES; i += TILE) {
            const int c = i / LANES;
            if (at + c < share.end) packed[first * inputs + static_cast<long long>(at) * LANES + i] = narrow<T>(tile[i % LANES][c]);
        }
        for (int c = thread % SHARE; MOMENTS && c < CELLS && at + c < share.end; c += SHARE) {
            running.next();
            running.add(0, tile[row][c]);
        }
        __syncthreads();
    }
    if (!MOMENTS) return;
    Moments all = running.row[0];
    Real seen = running.seen;
#pragma unroll
    for (int distance = 1; distance < SHARE; distance *= 2) merge_across(all, seen, distance);
    if (thread % SHARE == 0 && row < share.rows) write_moments(parts, share.part(row), all);
#endif
}
