// The OS threads that run blocks: what each owns, how a fault leaves a block, and who takes which blocks.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime.h"

namespace {

pthread_key_t worker_key;
pthread_once_t worker_key_once = PTHREAD_ONCE_INIT;
thread_local Worker* current_worker;

constexpr size_t SHARED_ALIGNMENT = 128;

char* map(size_t bytes) {
  int flags = MAP_PRIVATE | MAP_ANON;
#ifdef MAP_NORESERVE
  flags |= MAP_NORESERVE;
#endif
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (memory == MAP_FAILED) abort();
  return static_cast<char*>(memory);
}

void destroy(void* pointer) {
  Worker* worker = static_cast<Worker*>(pointer);
  munmap(worker->stack_memory, worker->stack_bytes);
  munmap(worker->shared_memory, CG_MAX_SHARED);
  munmap(worker, sizeof(Worker));
  current_worker = nullptr;
}

void find_own_stack(Worker* worker) {
#if defined(__APPLE__)
  worker->own_stack_bytes = pthread_get_stacksize_np(pthread_self());
  worker->state.floor = static_cast<char*>(pthread_get_stackaddr_np(pthread_self())) - worker->own_stack_bytes;
#else
  pthread_attr_t attributes;
  void* floor = nullptr;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
  pthread_attr_getstack(&attributes, &floor, &worker->own_stack_bytes);
  pthread_attr_destroy(&attributes);
  worker->state.floor = static_cast<char*>(floor);
#endif
}

// Only touched pages cost memory, so every worker has all that the largest block could want. Below the lowest stack
// lies a page that cannot be touched; an overflow of any other stack runs into the mark of the stack below it.
Worker* create() {
  pthread_once(&worker_key_once, [] { pthread_key_create(&worker_key, destroy); });
  size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  size_t stacks = static_cast<size_t>(CG_STACK + CG_STACK_COLOUR) * CG_MAX_THREADS;
  Worker* worker = reinterpret_cast<Worker*>(map(sizeof(Worker)));
  worker->stack_bytes = (page + stacks + CG_STACK + page - 1) / page * page;
  worker->stack_memory = map(worker->stack_bytes);
  mprotect(worker->stack_memory, page, PROT_NONE);
  worker->shared_memory = map(CG_MAX_SHARED);
  worker->state.stacks = worker->stack_memory + page + CG_STACK;
  worker->state.shared = worker->shared_memory;
  find_own_stack(worker);
  pthread_setspecific(worker_key, worker);
  return worker;
}

cg_worker* worker_state() { return &this_worker()->state; }

}  // namespace

Worker* this_worker() {
  if (!current_worker) current_worker = create();
  return current_worker;
}

const cg_runtime* runtime_table() {
  static const cg_runtime table = {CG_ABI_VERSION, 0, worker_state, fail, check};
  return &table;
}

bool run_blocks(Job& job, cg_i64 first, cg_i64 last) {
  Worker* worker = this_worker();
  worker->job = &job;
  bool finished = _setjmp(worker->escape) == 0;
  if (finished) job.kernel->run(&job.launch, first, last);
  worker->job = nullptr;
  return finished;
}

void work_on(Job& job) {
  while (!__atomic_load_n(&job.failed, __ATOMIC_RELAXED)) {
    cg_i64 first = __atomic_fetch_add(&job.next, job.chunk, __ATOMIC_RELAXED);
    if (first >= job.blocks) return;
    cg_i64 last = first + job.chunk < job.blocks ? first + job.chunk : job.blocks;
    if (!run_blocks(job, first, last)) return;
  }
}

void fail_at(cg_error& error) {
  Worker* worker = this_worker();
  Job* job = worker->job;
  if (!job) abort();
  if (!__atomic_exchange_n(&job->failed, 1, __ATOMIC_ACQ_REL)) *job->error = error;
  _longjmp(worker->escape, 1);
}

void fail(cg_i32 code, const cg_u32 block[3], const cg_u32 thread[3], const char* message, const char* file,
          cg_i32 line) {
  cg_error error = {};
  error.code = code;
  error.line = line;
  memcpy(error.block, block, sizeof error.block);
  memcpy(error.thread, thread, sizeof error.thread);
  strncpy(error.message, message, sizeof error.message - 1);
  strncpy(error.file, file, sizeof error.file - 1);
  fail_at(error);
}
