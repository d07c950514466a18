// The moments of a layer's rows, for the norm of the next layer: the kernel that makes the rows writes them in pieces, and the
// one that reads the rows puts the pieces together, always in the same order. MOMENTS is what is wanted: nothing (0), squares
// (1: about 0, for an RMS norm), or mean and squares about it (2: Welford's way, and Chan's to combine). See geo_norm.cuh.
#pragma once

#include "sparse/geo.cuh"
#include "sparse/geo_norm.cuh"

#ifndef MOMENTS
#define MOMENTS 0
#endif

// Puts the pieces of a row together; count(i) is how many numbers piece i stands for. By a warp; on a CPU by one thread.
template <class Count> __device__ inline Moments combined_pieces(const Real* __restrict__ parts, int pieces, Count count, long long total)
{
    const Real share = Real(1) / static_cast<Real>(total);
#ifdef CUDAGRAPH_HOST
    constexpr int PARTS = 8;
    const auto sum_of_all = [=](auto f) {
        Real sums[PARTS] = {};
        int i = 0;
        for (; i + PARTS <= pieces; i += PARTS) {
            for (int j = 0; j < PARTS; ++j) sums[j] += f(i + j);
        }
        for (; i < pieces; ++i) sums[0] += f(i);
        for (int j = 1; j < PARTS; ++j) sums[0] += sums[j];
        return sums[0];
    };
#else
    const auto sum_of_all = [=](auto f) {
        Real sum = 0;
        for (int i = threadIdx.x % 32; i < pieces; i += 32) sum += f(i);
#pragma unroll
        for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        return sum;
    };
#endif
    const Real mean = sum_of_all([=](int i) { return parts[2 * i] * static_cast<Real>(count(i)); }) * share;
    const Real squares = sum_of_all([=](int i) {
        const Real d = parts[2 * i] - mean;
        return parts[2 * i + 1] + d * d * static_cast<Real>(count(i));
    });
    return {mean, squares};
}

// norms[r] = the norm of row `first + r`, r < rows, for all threads of a block.
template <class Count> __device__ inline void combine_rows(Row* norms, const Real* parts, long long first, int rows, int pieces, Count count, int features)
{
#ifdef CUDAGRAPH_HOST
    for (int r = 0; r < rows; ++r) norms[r] = row_of(combined_pieces(parts + (first + r) * pieces * 2, pieces, count, features), features);
#else
    for (int r = threadIdx.x / 32; r < rows; r += blockDim.x / 32) {
        const Row row = row_of(combined_pieces(parts + (first + r) * pieces * 2, pieces, count, features), features);
        if (threadIdx.x % 32 == 0) norms[r] = row;
    }
    __syncthreads();
#endif
}

__device__ inline void write_moments(Real* parts, long long at, Moments moments)
{
    parts[2 * at] = moments.mean;
    parts[2 * at + 1] = moments.squares;
}

#ifdef CUDAGRAPH_HOST

// What is seen of a row, COUNT neighbours at a time: in each lane its own mean and squares.
template <int COUNT> struct RunningLanes {
    using Values = typename LanesOf<COUNT>::type;
    Values mean, squares;

    void clear() { mean = squares = Values{}; }

    // The next values: `present` is 1 where there is one and 0 elsewhere, `share` is `present` over how many there were so far.
    void add(Values v, Values present, Values share)
    {
        if (MOMENTS == 1) squares += v * v * present;
        if (MOMENTS == 2) {
            const Values d = v - mean;
            mean += d * share;
            squares += d * (v - mean) * present;
        }
    }

    // All lanes together. `seen` is how many values each of them had.
    Moments total(Values seen) const
    {
        Real values[COUNT], counts[COUNT], sum = 0, count = 0;
        unpack<COUNT>(seen, counts);
        if (MOMENTS == 2) {
            unpack<COUNT>(mean * seen, values);
            for (int i = 0; i < COUNT; ++i) sum += values[i], count += counts[i];
        }
        const Real middle = count > 0 ? sum / count : Real(0);
        const Values d = mean - middle;
        unpack<COUNT>(MOMENTS == 2 ? squares + d * d * seen : squares, values);
        for (int i = 1; i < COUNT; ++i) values[0] += values[i];
        return {middle, values[0]};
    }
};

// How many values the lanes of all rows have had, and what the next ones weigh.
template <int COUNT> struct SeenLanes {
    using Values = typename LanesOf<COUNT>::type;
    Values seen, present, share;

    void clear() { seen = present = share = Values{}; }

    // The next `count` values, in the first lanes.
    void next(int count)
    {
        present = lanes_of<COUNT>([=](int i) { return i < count ? Sum(1) : Sum(0); });
        seen += present;
        if (MOMENTS == 2) share = present / lanes_of<COUNT>([s = seen](int i) { return s[i] > 0 ? s[i] : Sum(1); });
    }
};

#else

// Two pieces as one. The counts are of numbers in them.
__device__ inline void merge(Moments& a, Real& count, Moments b, Real more)
{
    if (MOMENTS == 2) {
        const Real all = count + more, share = all > Real(0) ? more / all : Real(0), d = b.mean - a.mean;
        a.mean += d * share;
        a.squares += d * d * count * share;
        count = all;
    }
    a.squares += b.squares;
}

// The same with what the lane at a distance has seen.
__device__ inline void merge_across(Moments& all, Real& count, int distance)
{
    const Moments other{__shfl_xor_sync(0xffffffffu, all.mean, distance), __shfl_xor_sync(0xffffffffu, all.squares, distance)};
    merge(all, count, other, __shfl_xor_sync(0xffffffffu, count, distance));
}

// What a thread has seen of COUNT rows: a number of each at a time.
template <int COUNT> struct Running {
    Moments row[COUNT];
    Real seen, share;

    __device__ void clear()
    {
        seen = 0;
#pragma unroll
        for (int r = 0; r < COUNT; ++r) row[r] = {Real(0), Real(0)};
    }
    __device__ void next()
    {
        seen += 1;
        if (MOMENTS == 2) share = reciprocal(seen);
    }
    __device__ void add(int r, Real v)
    {
        if (MOMENTS == 1) row[r].squares += v * v;
        if (MOMENTS == 2) {
            const Real d = v - row[r].mean;
            row[r].mean += d * share;
            row[r].squares += d * (v - row[r].mean);
        }
    }
};

// Numbers that the threads of a block leave for `write_rows`.
template <int COUNT, int THREADS> struct RunningMemory {
    Moments row[COUNT][THREADS];
    Real seen[THREADS];
};

// Piece number `piece` of rows `first` .. `first + rows - 1`, from what all threads of the block have seen.
template <int COUNT, int THREADS>
__device__ inline void write_rows(const Running<COUNT>& own, RunningMemory<COUNT, THREADS>& memory, Real* parts, long long first, int rows, int piece, int pieces)
{
#pragma unroll
    for (int r = 0; r < COUNT; ++r) memory.row[r][threadIdx.x] = own.row[r];
    memory.seen[threadIdx.x] = own.seen;
    __syncthreads();
    const int lane = threadIdx.x % 32;
    for (int r = threadIdx.x / 32; r < rows; r += THREADS / 32) {
        Moments all = memory.row[r][lane];
        Real count = memory.seen[lane];
        for (int i = lane + 32; i < THREADS; i += 32) merge(all, count, memory.row[r][i], memory.seen[i]);
#pragma unroll
        for (int distance = 1; distance < 32; distance *= 2) merge_across(all, count, distance);
        if (lane == 0) write_moments(parts, (first + r) * pieces + piece, all);
    }
}

#endif
