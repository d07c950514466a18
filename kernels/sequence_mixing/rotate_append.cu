// q, k = rotate(norm(q)), rotate(norm(k)); k and v move into their cache: what lies between a projection and attention.
//
// Layout: qkv is [B, T, (QUERY_HEADS + 2 KEY_HEADS) * HEAD]; q_out: [B, T, QUERY_HEADS * HEAD]; k_out, v_out:
//     [B, KEY_HEADS, capacity, HEAD], token t in row position + t with a cache (CACHED), in row t without. Macros: turn.cuh.
// Idea: one thread per pair; neighbours read neighbouring elements. Tokens that find no row in the cache or in the
//     table are counted in `full`; they are not stored, and turn as the last row says.
// Floor: reads and writes what changes place once, and reads the table's rows of these tokens.
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

#include "sequence_mixing/turn.cuh"

extern "C" __global__ void __launch_bounds__(128)
rotate_append(const T* __restrict__ qkv, const Angle* __restrict__ table, const Place* __restrict__ position,
              const Weight* __restrict__ q_norm, const Weight* __restrict__ k_norm, T* q_out,
              T* k_out, T* v_out,
              unsigned* __restrict__ full, int first_head, int last_head, int tokens, int capacity, int positions,
              float eps)
{
    static_assert(Floating<T>::value, "rotate_append takes float, double, half or bfloat16");
    const int slot = blockIdx.x * blockDim.x + threadIdx.x, token = blockIdx.y, batch = blockIdx.z;
    const int head = first_head + slot / PAIRS;
    if (head >= last_head) return;
    const Turn turn{qkv, table, q_norm, k_norm, tokens, PLACED ? static_cast<int>(*position) : 0, positions, eps};
    const int row = CACHED ? turn.start + token : token;
    if (slot == 0 && turn.lacks(token, row, capacity)) atomicAdd(full, 1u);
    T* out;
    if (head < QUERY_HEADS) {
        out = q_out + ((static_cast<long long>(batch) * tokens + token) * QUERY_HEADS + head) * HEAD;
    } else {
        if (row < 0 || row >= capacity) return;
        const int kept = (head - QUERY_HEADS) % KEY_HEADS;
        T* const cache = head < QUERY_HEADS + KEY_HEADS ? k_out : v_out;
        out = cache + ((static_cast<long long>(batch) * KEY_HEADS + kept) * capacity + row) * HEAD;
    }
    turn.pair(batch, token, head, slot % PAIRS, [=](int d, T value) { out[d] = value; });
}
