// The state of one OS thread that runs blocks: its fibers, its warps, its memory. Shared by modules and runtime.
#pragma once

#include "abi.h"

enum cg_worker_limit {
  CG_WARP = 32,
  CG_MAX_WARPS = CG_MAX_THREADS / CG_WARP,
  CG_STACK = 128 * 1024,     // bytes of stack per fiber
  CG_STACK_RESERVE = 40 * 1024,  // of which the deepest call may use the last ones: one frame has up to 32 KB
  CG_STACK_COLOUR = 320,     // successive stacks are not a power of two apart, or they fight for the same cache sets
};

// One meeting of lanes in a warp-wide operation. Results are double-buffered: a fast lane may already be in the next
// meeting of the same lanes while a slow one still reads this one's, but never two ahead.
struct cg_meeting {
  cg_u32 mask;           // lanes that take part
  cg_u32 waiting;        // lanes that sleep until it is complete
  cg_i32 arrived;
  cg_i32 leaving;        // woken lanes that have not read their result yet
  cg_u32 generation;
  cg_u32 present[2];     // lanes that took part
  cg_u32 votes[2];
  cg_u64 values[2][CG_WARP];
};

struct cg_warp {
  cg_u32 ready;          // lanes that can run
  cg_u32 alive;          // lanes that have not returned
  cg_u32 exists;         // lanes that the block has at all
  cg_u32 meetings_used;  // bit i: meetings[i] has been set up
  cg_meeting meetings[CG_WARP];  // [0] is the whole warp's
};

struct cg_tally {        // of __syncthreads_count, _and, _or
  cg_i32 count, any_zero, any_nonzero;
};

struct cg_worker {
  cg_i32 current;        // index of the running fiber; -1: the scheduler
  cg_i32 threads, warps; // of the block; warps == 0: the kernel runs as a loop
  cg_i32 alive;
  cg_i32 at_barrier;
  cg_u32 barrier_generation;
  cg_u32 schedule;
  cg_u32 random;
  cg_tally tally[2];
  void (*body)(void** arguments);
  void** arguments;
  void* scheduler_stack; // saved stack pointer
  char* stacks;          // first byte above fiber 0's stack
  char* floor;           // where the OS thread's own stack ends
  char* shared;          // dynamic shared memory
  void* stack_pointers[CG_MAX_THREADS];
  cg_warp warp[CG_MAX_WARPS];
};
