// q, k = rotate(norm(q)), rotate(norm(k)); k and v move into their cache: what lies between a projection and attention.
//
// Layout: qkv is [B, T, (QUERY_HEADS + 2 KEY_HEADS) * HEAD], the heads of queries first, then of keys, then of values;
//     q_out: [B, T, QUERY_HEADS * HEAD]; k_out, v_out: [B, KEY_HEADS, capacity, HEAD], token t in row position + t with
//     a cache (CACHED), in row t without. table: [positions, ROTARY / 2, 2] float, the cosine and sine of each pair.
//     ROTARY of the HEAD elements turn in pairs: (i, i + ROTARY / 2), or (2 i, 2 i + 1) with INTERLEAVED. NORM: each
//     head is divided by its root mean square and multiplied by the weight q_norm or k_norm, before it is rotated.
// Idea: one thread per pair; neighbours read neighbouring elements. Tokens that find no row in the cache or in the
//     table are counted in `full`; they are not stored, and turn as the last row says.
// Floor: reads and writes what changes place once, and reads the table's rows of these tokens.
#include "numeric.cuh"

#ifndef HEAD
#define HEAD 64
#define QUERY_HEADS 1
#define KEY_HEADS 1
#define ROTARY 64
#define INTERLEAVED 0
#define NORM 0
#define CACHED 1
#define PLACED 1
#define Angle float
#define Place int
#define Weight T
#endif

template <class Real> struct Pair {
    Real first, second;
};

template <class X, class Real> __device__ inline Real inverse_root_mean_square(const X* x, float eps)
{
    Real sum = 0;
    for (int d = 0; d < HEAD; ++d) sum += widen(x[d]) * widen(x[d]);
    return Real(1) / sqrt(sum / HEAD + static_cast<Real>(eps));
}

extern "C" __global__ void __launch_bounds__(128)
rotate_append(const T* __restrict__ qkv, const Angle* __restrict__ table, const Place* __restrict__ position,
              const Weight* __restrict__ q_norm, const Weight* __restrict__ k_norm, T* q_out,
              T* k_out, T* v_out,
              unsigned* __restrict__ full, int first_head, int last_head, int tokens, int capacity, int positions,
              float eps)
{
    static_assert(Floating<T>::value, "rotate_append takes float, double, half or bfloat16");
    using Real = typename Compute<T>::type;
    constexpr int pairs = (HEAD + 1) / 2, half = ROTARY / 2, heads = QUERY_HEADS + 2 * KEY_HEADS;
    const int slot = blockIdx.x * blockDim.x + threadIdx.x, token = blockIdx.y, batch = blockIdx.z;
    const int head = first_head + slot / pairs, p = slot % pairs;
    if (head >= last_head) return;
    const int start = PLACED ? static_cast<int>(*position) : 0;
    const int place = start + token, row = CACHED ? place : token;
    if (slot == 0 && (place < 0 || row >= capacity || (ROTARY && place >= positions))) atomicAdd(full, 1u);

    const T* const x = qkv + (static_cast<long long>(batch) * tokens + token) * heads * HEAD + head * HEAD;
    const bool is_value = head >= QUERY_HEADS + KEY_HEADS, turns = !is_value && p < half;
    const int first = turns ? (INTERLEAVED ? 2 * p : p) : is_value ? 2 * p : ROTARY + 2 * (p - half);
    const int second = turns && !INTERLEAVED ? p + half : first + 1;
    const bool both = second < HEAD;
    Pair<Real> pair = {widen(x[first]), both ? widen(x[second]) : Real(0)};
    if (NORM && !is_value) {
        const Real inverse = inverse_root_mean_square<T, Real>(x, eps);
        const Weight* const weight = head < QUERY_HEADS ? q_norm : k_norm;
        pair.first *= inverse * static_cast<Real>(weight[first]);
        if (both) pair.second *= inverse * static_cast<Real>(weight[second]);
    }
    if (ROTARY && turns) {
        const int line = place < 0 ? 0 : place < positions ? place : positions - 1;
        const Angle* const angle = table + (static_cast<long long>(line) * half + p) * 2;
        const Real cosine = static_cast<Real>(angle[0]), sine = static_cast<Real>(angle[1]);
        pair = {pair.first * cosine - pair.second * sine, pair.second * cosine + pair.first * sine};
    }
    T* out;
    if (head < QUERY_HEADS) {
        out = q_out + ((static_cast<long long>(batch) * tokens + token) * QUERY_HEADS + head) * HEAD;
    } else {
        if (row < 0 || row >= capacity) return;
        const int kept = (head - QUERY_HEADS) % KEY_HEADS;
        out = (is_value ? v_out : k_out) + ((static_cast<long long>(batch) * KEY_HEADS + kept) * capacity + row) * HEAD;
    }
    out[first] = narrow<T>(pair.first);
    if (both) out[second] = narrow<T>(pair.second);
}
