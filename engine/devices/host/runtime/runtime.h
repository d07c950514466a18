// Inside the runtime library. Plain C++ on libc and pthreads: it is linked without any C++ library.
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <stddef.h>

#include "abi.h"
#include "worker.h"

// One launch in progress, worked on by one or several threads.
struct Job {
  const cg_kernel* kernel;
  cg_launch launch;
  cg_i64 blocks;
  cg_i64 next;      // first block that nobody has taken; atomic
  cg_i64 chunk;     // blocks to take at once
  cg_i32 failed;    // atomic: set by the first fault, stops everybody
  cg_error* error;
};

// Memory that a worker may touch besides the launch's buffers, found when it is first needed (sanitizer builds).
struct Surroundings {
  const void* code;               // some code of the module that the rest belongs to
  cg_u64 load_address;
  cg_u64 image_begin, image_end;
  cg_u64 local_begin, local_end;  // the module's thread-local variables: threadIdx, static shared memory
};

struct Worker {
  cg_worker state;   // first: modules see only this
  Job* job;          // what it works on; null: nothing
  jmp_buf escape;    // where a fault returns to
  char* stack_memory;
  size_t stack_bytes;
  size_t own_stack_bytes;  // of the OS thread's stack, which begins at state.floor
  char* shared_memory;
  Surroundings surroundings;
};

Worker* this_worker();
const cg_runtime* runtime_table();

// Runs blocks of a job on this thread. False after a fault.
bool run_blocks(Job& job, cg_i64 first, cg_i64 last);
// Takes blocks until none are left.
void work_on(Job& job);
// Shares the rest of a job with the pool and returns when all is done. False: another launch has the pool.
bool share(Job& job, cg_u32 workers);

void fail(cg_i32 code, const cg_u32 block[3], const cg_u32 thread[3], const char* message, const char* file,
          cg_i32 line);
[[noreturn]] void fail_at(cg_error& error);  // records the fault of this thread's job and leaves its blocks
void check(const cg_launch* launch, cg_u64 address, cg_u64 bytes, cg_i32 write, const void* code, const cg_u32 block[3],
           const cg_u32 thread[3]);
