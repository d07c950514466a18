// Barriers of a block and operations of a warp: __syncthreads, __syncwarp, shuffles, votes, matches, reductions.
#pragma once

// In a kernel that was taken for one without barriers there are no fibers to wait for.
CG_INLINE void cg_require_fibers(cg_worker* w, const char* operation) {
  if (!CG_FIBERS || CG_UNLIKELY(w->warps == 0)) cg_fail(CG_BARRIER_IN_LOOP, operation);
}

// ---- the block's barrier ----
CG_INLINE void __syncthreads() {
  cg_worker* w = cg_self;
  cg_require_fibers(w, "__syncthreads");
  cg_sleep(w);
  if (++w->at_barrier == w->alive)
    cg_release_barrier(w);
  else
    cg_pause(w);
}
CG_INLINE const cg_tally& cg_vote_in_block(int predicate) {
  cg_worker* w = cg_self;
  cg_tally& tally = w->tally[w->barrier_generation & 1];
  tally.count += predicate != 0;
  tally.any_nonzero |= predicate != 0;
  tally.any_zero |= predicate == 0;
  __syncthreads();
  return tally;
}
CG_INLINE int __syncthreads_count(int predicate) { return cg_vote_in_block(predicate).count; }
CG_INLINE int __syncthreads_and(int predicate) { return !cg_vote_in_block(predicate).any_zero; }
CG_INLINE int __syncthreads_or(int predicate) { return cg_vote_in_block(predicate).any_nonzero; }

// ---- meetings of lanes ----
CG_COLD cg_meeting& cg_partial_meeting(cg_warp& warp, cg_u32 mask) {
  int free = 0;
  for (int i = CG_WARP - 1; i > 0; i--) {
    cg_meeting& meeting = warp.meetings[i];
    if (!(warp.meetings_used >> i & 1)) {
      free = i;
      continue;
    }
    if (meeting.mask == mask) return meeting;
    if (!meeting.arrived && !meeting.leaving) free = i;
  }
  cg_meeting& meeting = warp.meetings[free];
  warp.meetings_used |= 1u << free;
  meeting.mask = mask;
  meeting.waiting = 0;
  meeting.arrived = meeting.leaving = 0;
  return meeting;
}

struct cg_result {
  const cg_meeting* meeting;
  cg_u32 buffer;
  // A lane that takes no part gives 0, where a GPU gives anything.
  CG_MEMBER cg_u64 value(int lane) const {
    return meeting->present[buffer] >> lane & 1 ? meeting->values[buffer][lane] : 0;
  }
  CG_MEMBER cg_u32 votes() const { return meeting->votes[buffer]; }
};

// Hands in a value and a vote, waits for all lanes of the mask, gives what everybody handed in.
CG_INLINE cg_result cg_meet(cg_u32 mask, cg_u64 value, bool vote) {
  cg_worker* w = cg_self;
  cg_require_fibers(w, "a warp operation");
  int lane = w->current & 31;
  cg_warp& warp = w->warp[w->current >> 5];
  if (CG_UNLIKELY(!(mask >> lane & 1)))
    cg_fail(CG_BAD_MASK, "the mask of a warp operation does not include the lane that calls it");
  mask &= warp.exists;
  cg_meeting& meeting = CG_LIKELY(mask == warp.meetings[0].mask) ? warp.meetings[0] : cg_partial_meeting(warp, mask);
  cg_u32 buffer = meeting.generation & 1;
  if (meeting.arrived == 0) meeting.votes[buffer] = meeting.present[buffer] = 0;
  meeting.values[buffer][lane] = value;
  meeting.present[buffer] |= 1u << lane;
  meeting.votes[buffer] |= (cg_u32)vote << lane;
  if (++meeting.arrived == __builtin_popcount(meeting.mask & warp.alive)) {
    cg_complete(warp, meeting);
  } else {
    cg_sleep(w);
    meeting.waiting |= 1u << lane;
    cg_pause(w);
    meeting.leaving--;
  }
  return {&meeting, buffer};
}

template <class T>
CG_INLINE cg_u64 cg_pack(T value) {
  static_assert(sizeof(T) <= 8, "warp operations take values of up to 8 bytes");
  cg_u64 packed = 0;
  __builtin_memcpy(&packed, &value, sizeof(T));
  return packed;
}
template <class T>
CG_INLINE T cg_unpack(cg_u64 packed) {
  T value;
  __builtin_memcpy((void*)&value, &packed, sizeof(T));
  return value;
}

CG_INLINE void __syncwarp(unsigned mask = 0xffffffffu) { cg_meet(mask, 0, false); }
CG_INLINE unsigned __activemask() {  // any set of lanes that includes the caller is a legal answer
  unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  return 1u << (thread & 31);
}

// ---- shuffles: `width` splits the warp into segments; out of the segment gives one's own value ----
template <class T>
CG_INLINE T cg_shuffle(unsigned mask, T value, int source) {
  return cg_unpack<T>(cg_meet(mask, cg_pack(value), false).value(source));
}
template <class T>
CG_INLINE T __shfl_sync(unsigned mask, T value, int source, int width = CG_WARP) {
  return cg_shuffle(mask, value, (cg_lane() & ~(width - 1)) | (source & (width - 1)));
}
template <class T>
CG_INLINE T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = CG_WARP) {
  int lane = cg_lane(), source = lane - (int)delta;
  return cg_shuffle(mask, value, source < (lane & ~(width - 1)) ? lane : source);
}
template <class T>
CG_INLINE T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = CG_WARP) {
  int lane = cg_lane();
  return cg_shuffle(mask, value, (lane & (width - 1)) + (int)delta >= width ? lane : lane + (int)delta);
}
template <class T>
CG_INLINE T __shfl_xor_sync(unsigned mask, T value, int flip, int width = CG_WARP) {
  int lane = cg_lane(), source = (lane ^ flip) & 31;
  return cg_shuffle(mask, value, (source & ~(width - 1)) > (lane & ~(width - 1)) ? lane : source);
}

// ---- votes and matches ----
CG_INLINE unsigned __ballot_sync(unsigned mask, int predicate) { return cg_meet(mask, 0, predicate != 0).votes(); }
CG_INLINE int __any_sync(unsigned mask, int predicate) { return cg_meet(mask, 0, predicate != 0).votes() != 0; }
CG_INLINE int __all_sync(unsigned mask, int predicate) { return cg_meet(mask, 0, predicate == 0).votes() == 0; }
CG_INLINE int __uni_sync(unsigned mask, int predicate) {
  cg_result result = cg_meet(mask, predicate != 0, true);
  int ones = 0;
  for (cg_u32 lanes = result.votes(); lanes; lanes &= lanes - 1) ones += (int)result.value(cg_first_lane(lanes));
  return ones == 0 || ones == __builtin_popcount(result.votes());
}
template <class T>
CG_INLINE unsigned __match_any_sync(unsigned mask, T value) {
  cg_result result = cg_meet(mask, cg_pack(value), true);
  unsigned equal = 0;
  for (cg_u32 lanes = result.votes(); lanes; lanes &= lanes - 1)
    if (result.value(cg_first_lane(lanes)) == cg_pack(value)) equal |= lanes & -lanes;
  return equal;
}
template <class T>
CG_INLINE unsigned __match_all_sync(unsigned mask, T value, int* all) {
  cg_result result = cg_meet(mask, cg_pack(value), true);
  *all = 1;
  for (cg_u32 lanes = result.votes(); lanes; lanes &= lanes - 1)
    if (result.value(cg_first_lane(lanes)) != cg_pack(value)) *all = 0;
  return *all ? result.votes() : 0;
}

// ---- reductions ----
template <class T, class Combine>
CG_INLINE T cg_reduce(unsigned mask, T value, Combine combine) {
  cg_result result = cg_meet(mask, cg_pack(value), true);
  cg_u32 lanes = result.votes();
  T total = cg_unpack<T>(result.value(cg_first_lane(lanes)));
  for (lanes &= lanes - 1; lanes; lanes &= lanes - 1)
    total = combine(total, cg_unpack<T>(result.value(cg_first_lane(lanes))));
  return total;
}
#define CG_REDUCE(name, type, expression)                                             \
  CG_INLINE type __reduce_##name##_sync(unsigned mask, type value) {                  \
    return cg_reduce(mask, value, [](type a, type b) -> type { return expression; }); \
  }
CG_REDUCE(add, unsigned, a + b)
CG_REDUCE(add, int, (int)((unsigned)a + (unsigned)b))
CG_REDUCE(min, unsigned, b < a ? b : a)
CG_REDUCE(min, int, b < a ? b : a)
CG_REDUCE(max, unsigned, a < b ? b : a)
CG_REDUCE(max, int, a < b ? b : a)
CG_REDUCE(and, unsigned, a & b)
CG_REDUCE(or, unsigned, a | b)
CG_REDUCE(xor, unsigned, a ^ b)
#undef CG_REDUCE
