// o = softmax(scale * q k^T + bias) v for the few queries of decoding, whose keys and values join a long cache first.
//
// Layout: qkv is [B, QUERIES, (QUERY_HEADS + 2 KEY_HEADS) * HEAD], o: [B, QUERIES, QUERY_HEADS * HEAD]; k_cache, v_cache:
//     [B, KEY_HEADS, capacity, HEAD], token t in row *position + t. GROUP query heads share a head of keys. partial:
//     [B, KEY_HEADS, shares, GROUP * QUERIES, HEAD + 2], tickets: [B, KEY_HEADS], zero before and after.
//     Macros of what turns and is normalised: turn.cuh; of who sees what: attention.cuh.
// Idea: a thread block takes a share of the keys of one key head for all the queries that read it, so that each key is
//     fetched once. HEAD / VECTOR lanes hold one key, 16 bytes each, four keys at a time; queries and sums stay in
//     registers. Every block turns the frame's own queries, keys and values for itself, in shared memory: the last share
//     takes those keys from there, the first one writes them into the cache, and nobody waits for a launch that does. The
//     block that finishes last of a head adds up the shares: no second kernel either.
// Floor: reads the keys and values that exist once; 4 Tq Tk d operations per head. A CPU takes one head per thread.
// Variants: HEAD=128; HEAD=128 GROUP=4 QUERY_HEADS=4 ROTARY=128
#include "attention_defaults.cuh"

#include "attention.cuh"
#include "turn.cuh"
#ifdef CUDAGRAPH_HOST
#include "attention_cpu.cuh"
#else
#include "attention_shares.cuh"
#endif

// The heads that a head of keys belongs to: its queries, itself and its values.
constexpr int KIND_QUERY = 0, KIND_KEY = GROUP, KIND_VALUE = GROUP + 1, KINDS = GROUP + 2;

__device__ inline int head_of(int kind, int key_head)
{
    return kind < KIND_KEY ? key_head * GROUP + kind : QUERY_HEADS + (kind - KIND_KEY) * KEY_HEADS + key_head;
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
attention_decode(const T* __restrict__ qkv, const Angle* __restrict__ table, const Place* __restrict__ position,
                 const Weight* __restrict__ q_norm, const Weight* __restrict__ k_norm, T* k_cache, T* v_cache,
                 T* __restrict__ o, unsigned* __restrict__ full, int capacity, int positions, float eps, float scale,
                 const MaskElement* __restrict__ mask, long long mask_batch, long long mask_head, long long mask_row,
                 const KeyMask* __restrict__ key_mask, long long key_mask_batch, const Slope* __restrict__ slopes,
                 const Extent* __restrict__ prefix, Part* __restrict__ partial, unsigned* __restrict__ tickets)
{
    static_assert(Floating<T>::value, "attention_decode takes float, double, half or bfloat16");
    using Real = typename Compute<T>::type;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x || blockIdx.x) return;
#endif
    const int head = blockIdx.y, batch = blockIdx.z;
    const Turn turn{qkv, table, q_norm, k_norm, QUERIES, static_cast<int>(*position), positions, eps};
    Keys<Real> seen[GROUP];
    for (int i = 0; i < GROUP; ++i) {
        seen[i] = keys_of<Real>(batch, head * GROUP + i, QUERIES, capacity, scale, mask, mask_batch, mask_head, mask_row,
                                key_mask, key_mask_batch, slopes, position, prefix);
    }
    const long long place = static_cast<long long>(batch) * KEY_HEADS + head;
    T* const key = k_cache + place * capacity * HEAD;
    T* const value = v_cache + place * capacity * HEAD;
    constexpr int o_token = QUERY_HEADS * HEAD;
    T* const out = o + static_cast<long long>(batch) * QUERIES * o_token + head * GROUP * HEAD;
    if (blockIdx.x == 0 && threadIdx.x == 0 && head == 0) {
        for (int t = 0; t < QUERIES; ++t) {
            if (turn.lacks(t, turn.start + t, capacity)) atomicAdd(full, 1u);
        }
    }
    const auto store = [=](int kind, int token, int d, T x) {
        const int row = turn.start + token;
        if (row >= 0 && row < capacity) (kind == KIND_KEY ? key : value)[static_cast<long long>(row) * HEAD + d] = x;
    };
#ifdef CUDAGRAPH_HOST
    T query[GROUP * QUERIES * HEAD];
    for (int kind = 0; kind < KINDS; ++kind) {
        for (int token = 0; token < QUERIES; ++token) {
            for (int p = 0; p < PAIRS; ++p) {
                turn.pair(batch, token, head_of(kind, head), p, [&](int d, T x) {
                    if (kind < KIND_KEY) query[(kind * QUERIES + token) * HEAD + d] = x;
                    else store(kind, token, d, x);
                });
            }
        }
    }
    attend<GROUP * QUERIES>(seen, GROUP, 0, QUERIES, query, QUERIES * HEAD, HEAD, key, HEAD, value, HEAD, out, HEAD, o_token);
#else
    __shared__ __align__(16) T fresh[KINDS][QUERIES][HEAD];
    for (int slot = threadIdx.x; slot < KINDS * QUERIES * PAIRS; slot += THREADS) {
        const int kind = slot / PAIRS / QUERIES, token = slot / PAIRS % QUERIES;
        turn.pair(batch, token, head_of(kind, head), slot % PAIRS, [&](int d, T x) {
            fresh[kind][token][d] = x;
            if (kind >= KIND_KEY && blockIdx.x == 0) store(kind, token, d, x);
        });
    }
    __syncthreads();
    Part* const parts = partial + place * gridDim.x * GROUP * QUERIES * (HEAD + 2);
    const Fresh<T> own{fresh[KIND_QUERY][0], fresh[KIND_KEY][0], fresh[KIND_VALUE][0], turn.start};
#pragma unroll
    for (int row = 0; row < GROUP * QUERIES; row += Share<Real>::rows) {
        attend_share<T>(seen, row, own, key, value, out, HEAD, o_token, parts);
    }
    if (gridDim.x > 1) add_shares<T, Real>(out, HEAD, o_token, parts, tickets + place);
#endif
}
