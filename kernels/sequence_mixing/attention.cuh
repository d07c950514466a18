// What the attention kernels share: which keys a query sees, and what is added to its scores.
//
// Macros of the kernels that include this:
//   HEAD, VALUE   length of a query or key, and of a value
//   CAUSAL        1: query i sees the keys up to its own place i + offset
//   WINDOW        0: all of them; w: only keys less than w places away
//   PREFIX        1: the first *prefix keys are seen by every query
//   OFFSET        place of query 0: 0 the first key; 1 so that the last query meets the last key; 2 *position, and
//                 there are *position + queries keys
//   MASK          0 none; 1 boolean, true where a key is seen; 2 numbers that are added to the scaled scores;
//                 3 boolean, true where a key is hidden
//   KEY_MASK      0 none; one boolean per key, true where it is 1 seen, 2 hidden
//   ALIBI         1: slope[head] * |place of the query - place of the key| is subtracted
//   SOFTCAP, CAP  1: scores become CAP * tanh(score / CAP)
// A scale of 0 stands for 1 / sqrt(HEAD). Scores are in units of log2, so that exp2 takes them as they are; a key that
// is not seen has the score -infinity.
#pragma once

#include "numeric.cuh"

#define LOG2_E 1.4426950408889634

template <class Real> struct Keys {
    int count;           // keys that exist
    int offset;          // place of query 0 among them
    int prefix;          // keys that every query sees
    Real scale;          // of dot products; log2(e) included, unless scores are capped
    Real slope;          // of ALiBi, log2(e) included
    const MaskElement* mask;  // of this batch and head
    long long mask_row;  // elements from one query's mask to the next
    const KeyMask* key_mask;  // of this batch

    // The keys [first, last) that hold everything that queries [begin, end) see.
    __device__ int first(int begin) const
    {
        const int from = WINDOW && !PREFIX ? begin + offset - WINDOW + 1 : 0;
        return from > 0 ? from : 0;
    }
    __device__ int last(int end) const
    {
        int to = count;
        if (CAUSAL) to = end + offset;
        else if (WINDOW) to = end + offset + WINDOW - 1;
        if (PREFIX && to < prefix) to = prefix;
        return to < count ? to : count;
    }

    // Whether queries [begin, end) see all of the keys [from, to), whatever the mask.
    __device__ bool whole(int begin, int end, int from, int to) const
    {
        if (to > count) return false;
        if (PREFIX && to <= prefix) return true;
        if (CAUSAL && to - 1 > begin + offset) return false;
        if (WINDOW && (end - 1 + offset - from >= WINDOW || to - 1 - begin - offset >= WINDOW)) return false;
        return true;
    }

    __device__ bool sees(int query, int key) const
    {
        const int distance = query + offset - key;
        bool seen = true;
        if (CAUSAL) seen = distance >= 0;
        if (WINDOW) seen = seen && distance < WINDOW && -distance < WINDOW;
        if (PREFIX) seen = seen || key < prefix;
        return seen && key < count;
    }

    // A dot product, times `scale`, as a score.
    __device__ Real biased(Real score, int query, int key) const
    {
        if (SOFTCAP) score = static_cast<Real>(LOG2_E * CAP) * tanh(score * static_cast<Real>(1.0 / CAP));
        if (ALIBI) {
            const int distance = query + offset - key;
            score -= slope * static_cast<Real>(distance < 0 ? -distance : distance);
        }
        if (MASK == 2) score += static_cast<Real>(LOG2_E) * static_cast<Real>(mask[query * mask_row + key]);
        if (MASK == 1 || MASK == 3) {
            const bool seen = static_cast<bool>(mask[query * mask_row + key]) == (MASK == 1);
            score = seen ? score : static_cast<Real>(-INFINITY);
        }
        if (KEY_MASK && static_cast<bool>(key_mask[key]) != (KEY_MASK == 1)) score = -INFINITY;
        return score;
    }

    static constexpr bool plain = !SOFTCAP && !ALIBI && !MASK && !KEY_MASK;
};

// The keys of one batch and head. `Real` is what scores are computed in.
template <class Real>
__device__ inline Keys<Real> keys_of(int batch, int head, int queries, int keys, float scale, const MaskElement* mask,
                                     long long mask_batch, long long mask_head, long long mask_row,
                                     const KeyMask* key_mask, long long key_mask_batch, const Slope* slopes,
                                     const Place* position, const Extent* prefix)
{
    Keys<Real> all;
    all.count = keys;
    all.offset = OFFSET == 1 ? keys - queries : 0;
    if (OFFSET == 2) {
        all.offset = static_cast<int>(*position);
        all.count = all.offset + queries < keys ? all.offset + queries : keys;
    }
    all.prefix = PREFIX ? static_cast<int>(*prefix) : 0;
    if (all.prefix > all.count) all.prefix = all.count;
    all.scale = scale == 0.0f ? Real(1) / sqrt(static_cast<Real>(HEAD)) : static_cast<Real>(scale);
    if (!SOFTCAP) all.scale *= static_cast<Real>(LOG2_E);
    all.slope = ALIBI ? static_cast<Real>(LOG2_E) * static_cast<Real>(slopes[head]) : Real(0);
    all.mask = mask + batch * mask_batch + head * mask_head;
    all.mask_row = mask_row;
    all.key_mask = key_mask + batch * key_mask_batch;
    return all;
}
