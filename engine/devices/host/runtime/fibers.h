// Kernels with barriers: every thread of a block is a fiber, and a block runs on one OS thread.
//
// A fiber runs until it meets a barrier that is not complete; then the next ready lane of its warp runs, then the next
// warp. When nobody is ready and somebody is left, the block is deadlocked, and that can be said.
#pragma once

#ifndef CG_FIBERS
#define CG_FIBERS 0  // set by the compiler driver: 1 where the kernel can reach a barrier
#endif

// Above each stack lies a mark. Stacks lie one above the other: an overflow that nothing else noticed may hit the mark
// of the next lower one before that fiber runs on what is left of its stack.
enum : cg_u64 { CG_MARK = 0x5afe57ac6b0a7d3full };

CG_INLINE char* cg_stack_top(cg_worker* w, int fiber) {
  return w->stacks + (size_t)fiber * (CG_STACK + CG_STACK_COLOUR);
}
CG_INLINE cg_u64* cg_mark(cg_worker* w, int fiber) { return (cg_u64*)cg_stack_top(w, fiber); }

CG_INLINE int cg_first_lane(cg_u32 lanes) { return __builtin_ctz(lanes); }
CG_INLINE int cg_lane() { return cg_self->current & (CG_WARP - 1); }

// The lane after `lane` that can run, round the warp.
CG_INLINE int cg_pick_lane(cg_u32 ready, int lane) {
  cg_u32 later = ready & (cg_u32)(~1ull << lane);
  return cg_first_lane(later ? later : ready);
}

// Another warp that can run, -1 if there is none.
CG_INLINE int cg_pick_warp(cg_worker* w, int warp) {
  for (int i = warp + 1; i < w->warps; i++)
    if (w->warp[i].ready) return i;
  for (int i = 0; i < warp; i++)
    if (w->warp[i].ready) return i;
  return -1;
}

CG_INLINE int cg_random(cg_worker* w, int count) {
  w->random ^= w->random << 13;
  w->random ^= w->random >> 17;
  w->random ^= w->random << 5;
  return (int)(w->random % (cg_u32)count);
}

// The fiber to run next in another order than the usual, -1 if none can run.
CG_COLD int cg_pick_otherwise(cg_worker* w) {
  bool reverse = w->schedule == CG_REVERSE;
  int start = reverse ? 0 : cg_random(w, w->warps);
  for (int i = 0; i < w->warps; i++) {
    int warp = w->warps - 1 - (start + i) % w->warps;
    cg_u32 ready = w->warp[warp].ready;
    if (!ready) continue;
    if (reverse) return warp << 5 | (31 - __builtin_clz(ready));
    for (int skip = cg_random(w, __builtin_popcount(ready)); skip > 0; skip--) ready &= ready - 1;
    return warp << 5 | cg_first_lane(ready);
  }
  return -1;
}

[[noreturn]] CG_COLD void cg_deadlock(cg_worker* w) {
  cg_fail(CG_DEADLOCK, w->at_barrier ? "deadlock: some threads of the block wait at __syncthreads, others in a warp "
                                       "operation (__shfl_sync, __ballot_sync, __syncwarp, ...) that they never leave"
                                     : "deadlock: a warp operation (__shfl_sync, __ballot_sync, __syncwarp, ...) waits "
                                       "for lanes of its mask that never come");
}

// The fiber to run next, -1 when the block is finished.
CG_INLINE int cg_next(cg_worker* w) {
  int next = -1;
  if (CG_UNLIKELY(w->schedule != CG_FORWARD)) {
    next = cg_pick_otherwise(w);
  } else {
    int warp = w->current >> 5;
    cg_u32 ready = w->warp[warp].ready;
    if (CG_LIKELY(ready)) return warp << 5 | cg_pick_lane(ready, w->current & 31);
    warp = cg_pick_warp(w, warp);
    if (CG_LIKELY(warp >= 0)) return warp << 5 | cg_pick_lane(w->warp[warp].ready, 31);
  }
  if (next < 0 && w->alive) cg_deadlock(w);
  return next;
}

[[noreturn]] CG_COLD void cg_overflow() {
  cg_fail(CG_STACK_OVERFLOW,
          "a thread's stack overflowed: recursion that is too deep, or local arrays that are too large");
}

#if CG_RECURSIVE
#define CG_HOOK extern "C" __attribute__((no_instrument_function, visibility("hidden"), used))
// The compiler calls this at the entry of every function of a module that has recursive ones.
CG_HOOK void __cyg_profile_func_enter(void*, void*) {
  char* here = (char*)__builtin_frame_address(0);
  cg_worker* w = cg_self;
  if (!w || w->warps == 0) return;
  size_t left = (size_t)(here - (w->stacks - CG_STACK)) % (CG_STACK + CG_STACK_COLOUR);
  if (CG_UNLIKELY(left < CG_STACK_RESERVE)) cg_overflow();
}
CG_HOOK void __cyg_profile_func_exit(void*, void*) {}
#endif

// Lets other fibers run until somebody makes this one ready again.
CG_INLINE void cg_pause(cg_worker* w) {
  int self = w->current;
  int next = cg_next(w);
  if (next == self) return;
  if (CG_UNLIKELY(*cg_mark(w, next) != CG_MARK)) cg_overflow();
  uint3 thread = threadIdx;
  w->current = next;
  cg_switch(&w->stack_pointers[self], w->stack_pointers[next]);
  w->current = self;
  threadIdx = thread;
}

CG_INLINE void cg_sleep(cg_worker* w) { w->warp[w->current >> 5].ready &= ~(1u << (w->current & 31)); }

CG_INLINE void cg_release_barrier(cg_worker* w) {
  w->at_barrier = 0;
  w->tally[++w->barrier_generation & 1] = cg_tally();
  for (int i = 0; i < w->warps; i++) w->warp[i].ready = w->warp[i].alive;
}

CG_INLINE void cg_complete(cg_warp& warp, cg_meeting& meeting) {
  meeting.generation++;
  meeting.leaving = __builtin_popcount(meeting.waiting);
  meeting.arrived = 0;
  warp.ready |= meeting.waiting;
  meeting.waiting = 0;
}

// A lane that returns no longer counts: it may be the one that others waited for.
CG_INLINE void cg_leave(cg_worker* w) {
  cg_warp& warp = w->warp[w->current >> 5];
  cg_u32 bit = 1u << (w->current & 31);
  warp.alive &= ~bit;
  warp.ready &= ~bit;
  w->alive--;
  for (cg_u32 used = warp.meetings_used; used; used &= used - 1) {
    cg_meeting& meeting = warp.meetings[cg_first_lane(used)];
    if (meeting.arrived && (meeting.mask & bit) && meeting.arrived == __builtin_popcount(meeting.mask & warp.alive))
      cg_complete(warp, meeting);
  }
  if (w->at_barrier && w->at_barrier == w->alive) cg_release_barrier(w);
}

CG_INLINE void cg_place_thread(unsigned index) {
  threadIdx.x = index % blockDim.x;
  index /= blockDim.x;
  threadIdx.y = index % blockDim.y;
  threadIdx.z = index / blockDim.y;
}

// What every fiber begins with. One that ends goes on with the next, on the same stack where that has not begun yet:
// as long as nobody waits, a block is a loop.
static __attribute__((noinline)) void cg_fiber() {
  cg_worker* w = cg_self;
  for (;;) {
    cg_place_thread((unsigned)w->current);
    w->body(w->arguments);
    cg_leave(w);
    w->stack_pointers[w->current] = 0;
    int next = cg_next(w);
    w->current = next;
    if (next >= 0 && w->stack_pointers[next] == cg_stack_top(w, next) - CG_FRESH_BYTES) continue;
    if (next >= 0 && CG_UNLIKELY(*cg_mark(w, next) != CG_MARK)) cg_overflow();
    void* unused;
    cg_switch(&unused, next < 0 ? w->scheduler_stack : w->stack_pointers[next]);
    __builtin_unreachable();
  }
}

CG_INLINE void cg_set_up_warp(cg_warp& warp, int lanes) {
  cg_u32 all = lanes >= CG_WARP ? ~0u : (1u << lanes) - 1;
  warp.ready = warp.alive = warp.exists = all;
  warp.meetings_used = 1;
  warp.meetings[0].mask = all;
  warp.meetings[0].waiting = 0;
  warp.meetings[0].arrived = warp.meetings[0].leaving = 0;
}

// Runs one block to its end.
static __attribute__((noinline)) void cg_run_block(cg_worker* w, int threads, cg_u32 seed) {
  w->threads = w->alive = threads;
  w->warps = (threads + CG_WARP - 1) / CG_WARP;
  w->at_barrier = 0;
  w->tally[0] = w->tally[1] = cg_tally();
  w->random = seed * 2654435761u + 1;
  for (int i = 0; i < w->warps; i++) cg_set_up_warp(w->warp[i], threads - i * CG_WARP);
  for (int i = 0; i < threads; i++) {
    *cg_mark(w, i) = CG_MARK;
    w->stack_pointers[i] = cg_fresh(cg_stack_top(w, i), cg_fiber);
  }
  w->current = w->schedule == CG_FORWARD ? 0 : threads - 1;
  cg_switch(&w->scheduler_stack, w->stack_pointers[w->current]);
}
