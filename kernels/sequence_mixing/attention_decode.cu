// o = softmax(scale * q k^T + bias) v for the few queries of decoding, over a long cache of keys and values.
//
// Layout: as in attention.cu; QUERIES tokens of GROUP query heads to each head of keys and values. partial:
//     [B, hk, splits, GROUP * QUERIES, HEAD + 2], tickets: [B, hk], zero before and after.
// Idea: a thread block takes a share of the keys of one key head for all the queries that read it, so that each key is
//     fetched once. HEAD / VECTOR lanes hold one key, 16 bytes each, four keys at a time; queries and sums stay in
//     registers. Shares are equal parts of the keys that exist now. The block that finishes last of a head adds up the
//     shares: no second kernel.
// Floor: reads the keys and values that exist once; 4 Tq Tk d operations per head. A CPU takes one head per thread.
// Variants: HEAD=128
#include "attention_defaults.cuh"

#include "attention.cuh"
#ifdef CUDAGRAPH_HOST
#include "attention_cpu.cuh"
#else
#include "attention_shares.cuh"
#endif

extern "C" __global__ void __launch_bounds__(THREADS, 2)
attention_decode(const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, T* __restrict__ o,
                 long long q_batch, long long q_head, long long q_token, long long k_batch, long long k_head,
                 long long k_token, long long v_batch, long long v_head, long long v_token, long long o_batch,
                 long long o_head, long long o_token, long long k_start, long long v_start, int group, int queries,
                 int keys, float scale,
                 const MaskElement* __restrict__ mask, long long mask_batch, long long mask_head, long long mask_row,
                 const KeyMask* __restrict__ key_mask, long long key_mask_batch, const Slope* __restrict__ slopes,
                 const Place* __restrict__ position, const Extent* __restrict__ prefix, Part* __restrict__ partial,
                 unsigned* __restrict__ tickets)
{
    static_assert(Floating<T>::value, "attention_decode takes float, double, half or bfloat16");
    using Real = typename Compute<T>::type;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x || blockIdx.x) return;
#endif
    const int head = blockIdx.y, batch = blockIdx.z;
    Keys<Real> seen[GROUP];
    for (int i = 0; i < GROUP; ++i) {
        seen[i] = keys_of<Real>(batch, head * GROUP + i, queries, keys, scale, mask, mask_batch, mask_head, mask_row,
                                key_mask, key_mask_batch, slopes, position, prefix);
    }
    const T* const query = q + batch * q_batch + head * GROUP * q_head;
    const T* const key = k + k_start + batch * k_batch + head * k_head;
    const T* const value = v + v_start + batch * v_batch + head * v_head;
    T* const out = o + batch * o_batch + head * GROUP * o_head;
#ifdef CUDAGRAPH_HOST
    attend<GROUP * QUERIES>(seen, GROUP, 0, QUERIES, query, q_head, q_token, key, k_token, value, v_token, out, o_head,
                            o_token);
#else
    const int place = batch * gridDim.y + head;
    Part* const parts = partial + static_cast<long long>(place) * gridDim.x * GROUP * QUERIES * (HEAD + 2);
#pragma unroll
    for (int row = 0; row < GROUP * QUERIES; row += Share<Real>::rows) {
        attend_share<T>(seen, row, query, q_head, q_token, key, k_token, value, v_token, out, o_head, o_token, parts);
    }
    if (gridDim.x > 1) add_shares<T, Real>(out, o_head, o_token, parts, tickets + place);
#endif
}
