// o = softmax(scale * q k^T + bias) v for each head, without ever writing the scores.
//
// Layout: element d of token t of head h of batch b is at b * q_batch + h * q_head + t * q_token + d, so that a packed
//     [B, T, (h + 2 hk) * d] is read in place, and o is written as [B, T, h * d]. Head h reads the keys and values of
//     head h / group.
// Idea: a block of ROWS queries walks over the keys in tiles and keeps, per query, the largest score so far, the sum of
//     weights and the weighted values (online softmax, in units of log2). Keys that no query of the block sees are
//     skipped; masks are looked at in tiles that need them only. Blocks with most work come first.
// Floor: reads q, k, v once and writes o (4 N bytes per element); 4 Tq Tk d operations per head, half of that if
//     causal. Half precision multiplies on tensor cores, the rest in tiles of shared memory; a CPU runs one block per
//     thread.
// Variants: HEAD=128; HEAD=80
#include "attention_defaults.cuh"

#include "attention.cuh"
#ifdef CUDAGRAPH_HOST
#include "attention_cpu.cuh"
#else
#include "attention_tensor.cuh"
#include "attention_tiles.cuh"

// ROWS queries of one head from query `begin`, by tensor cores where they can.
template <class X, class Real>
__device__ inline void attend(const Keys<Real>& keys, int begin, int queries, const X* q, long long q_token, const X* k,
                              long long k_token, const X* v, long long v_token, X* o, long long o_token, void* memory)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    if constexpr (Tensor<X>::type && ROWS == 64 && THREADS == 128 && HEAD % 16 == 0 && VALUE % 16 == 0) {
        if (in_step(q, q_token) && in_step(k, k_token) && in_step(v, v_token) && in_step(o, o_token)) {
            attend_tensor(keys, begin, queries, q, q_token, k, k_token, v, v_token, o, o_token,
                          static_cast<X*>(memory));
            return;
        }
    }
#endif
    constexpr bool wide = sizeof(Real) == 8;  // fewer rows and keys at a time in the same memory
    constexpr int rows = wide ? WIDE_ROWS : ROWS, tile = wide ? 16 : TILE_KEYS;
    for (int from = begin; from < begin + ROWS && from < queries; from += rows) {
        attend_pass<rows, tile>(keys, from, queries, q, q_token, k, k_token, v, v_token, o, o_token,
                                static_cast<Real*>(memory));
    }
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, 2)
attention(const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, T* __restrict__ o,
          long long q_batch, long long q_head, long long q_token, long long k_batch, long long k_head,
          long long k_token, long long v_batch, long long v_head, long long v_token, long long o_batch,
          long long o_head, long long o_token, long long k_start, long long v_start, int group, int queries,
          int keys, float scale,
          const MaskElement* __restrict__ mask, long long mask_batch, long long mask_head,
          long long mask_row, const KeyMask* __restrict__ key_mask, long long key_mask_batch,
          const Slope* __restrict__ slopes, const Place* __restrict__ position, const Extent* __restrict__ prefix)
{
    static_assert(Floating<T>::value, "attention takes float, double, half or bfloat16");
    using Real = typename Compute<T>::type;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x) return;
#endif
    const int head = blockIdx.y, batch = blockIdx.z, begin = (gridDim.x - 1 - blockIdx.x) * ROWS;
    const T* const query = q + batch * q_batch + head * q_head;
    const T* const key = k + k_start + batch * k_batch + head / group * k_head;
    const T* const value = v + v_start + batch * v_batch + head / group * v_head;
    T* const out = o + batch * o_batch + head * o_head;
    const Keys<Real> seen = keys_of<Real>(batch, head, queries, keys, scale, mask, mask_batch, mask_head, mask_row,
                                          key_mask, key_mask_batch, slopes, position, prefix);
#ifdef CUDAGRAPH_HOST
    const int end = begin + ROWS < queries ? begin + ROWS : queries;
    attend<ROWS>(&seen, 1, begin, end, query, 0, q_token, key, k_token, value, v_token, out, 0, o_token);
#else
    extern __shared__ __align__(16) unsigned char memory[];
    attend<T>(seen, begin, queries, query, q_token, key, k_token, value, v_token, out, o_token, memory);
#endif
}
