// How many rows lie side by side, and on a CPU the way from rows to lanes and back: LANES vectors of LANES numbers, transposed.
#pragma once

#include "sparse/geo.cuh"

#ifdef CUDAGRAPH_HOST

constexpr int LANES = 64 / sizeof(Sum);
using Lanes = LanesOf<LANES>::type;

#if defined(__has_builtin) && (defined(__AVX512F__) || defined(__clang__))
#if __has_builtin(__builtin_shufflevector)
#define INTERLEAVES
#endif
#endif

#ifdef INTERLEAVES
template <class V> inline V interleaved_low(V a, V b, float) { return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
template <class V> inline V interleaved_high(V a, V b, float) { return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31); }
template <class V> inline V interleaved_low(V a, V b, double) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
template <class V> inline V interleaved_high(V a, V b, double) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }

// Row i and row i + LANES / 2 shuffled like cards, log2(LANES) times.
inline void transpose(Lanes* rows)
{
    Lanes next[LANES];
#pragma GCC unroll 4
    for (int step = 1; step < LANES; step *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; ++i) {
            next[2 * i] = interleaved_low(rows[i], rows[i + LANES / 2], Sum());
            next[2 * i + 1] = interleaved_high(rows[i], rows[i + LANES / 2], Sum());
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; ++i) rows[i] = next[i];
    }
}
#else
inline void transpose(Lanes* rows)
{
    alignas(64) Sum from[LANES][LANES], to[LANES][LANES];
    __builtin_memcpy(from, rows, sizeof from);
    for (int i = 0; i < LANES; ++i) {
        for (int j = 0; j < LANES; ++j) to[i][j] = from[j][i];
    }
    __builtin_memcpy(rows, to, sizeof to);
}
#endif

// LANES neighbours, of which the first `count` are there.
inline Lanes load_lanes(const T* from, int count)
{
    if (count >= LANES) return lanes_of<LANES>([=](int i) { return Sum(widen(from[i])); });
    alignas(64) Sum value[LANES] = {};
    for (int i = 0; i < count; ++i) value[i] = widen(from[i]);
    Lanes lanes;
    __builtin_memcpy(&lanes, value, sizeof lanes);
    return lanes;
}

inline void store_lanes(T* to, Lanes lanes, int count)
{
    alignas(64) Sum value[LANES];
    unpack<LANES>(lanes, value);
    if (count >= LANES) {
#pragma GCC ivdep
        for (int i = 0; i < LANES; ++i) to[i] = narrow<T>(value[i]);
    } else {
        for (int i = 0; i < count; ++i) to[i] = narrow<T>(value[i]);
    }
}

// What the next layer reads of numbers that are stored.
inline Lanes as_stored(Lanes lanes)
{
    if (sizeof(T) == sizeof(Sum)) return lanes;
    alignas(64) Sum value[LANES];
    unpack<LANES>(lanes, value);
    return lanes_of<LANES>([&](int i) { return Sum(widen(narrow<T>(value[i]))); });
}

// A CPU's compiler must not know that memory lies in thread-local storage, or it asks for the address again and again; what
// works in such memory is a function of its own.
#ifdef __clang__
#define OUTLINE __attribute__((noinline))
#else
#define OUTLINE __attribute__((noipa))
#endif

#else
#define OUTLINE __device__ __forceinline__
#endif
