// Running kernels: one launch, or the nodes of a frame.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime.h"

namespace {

// Waking another thread takes some microseconds; less work than this is done faster alone.
constexpr double WORTH_SHARING_MS = 0.02;

bool refuse(cg_error* error, const char* format, unsigned long long given, unsigned long long most) {
  error->code = CG_BAD_LAUNCH;
  snprintf(error->message, sizeof error->message, format, given, most);
  return false;
}

bool accept(const cg_launch& launch, cg_error* error) {
  cg_u64 threads = static_cast<cg_u64>(launch.threads[0]) * launch.threads[1] * launch.threads[2];
  if (threads == 0 || threads > CG_MAX_THREADS)
    return refuse(error, "the launch has %llu threads per block; 1 to %llu are possible", threads, CG_MAX_THREADS);
  if (!launch.grid[0] || !launch.grid[1] || !launch.grid[2])
    return refuse(error, "the launch has %llu blocks; a grid needs at least %llu", 0, 1);
  if (launch.shared > CG_MAX_SHARED)
    return refuse(error, "the launch asks for %llu bytes of dynamic shared memory; a block can have %llu",
                  launch.shared, CG_MAX_SHARED);
  return true;
}

void run_alone(Job& job, cg_i64 count) {
  cg_i64 last = job.next + count < job.blocks ? job.next + count : job.blocks;
  run_blocks(job, job.next, last);
  job.next = last;
}

// Runs blocks alone until the rest looks worth sharing, looking at the clock after 1, 2, 4, ... blocks.
void run_until_worth_sharing(Job& job) {
  double begin = cg_now();
  for (cg_i64 chunk = 1; job.next < job.blocks && !job.failed; chunk *= 2) {
    run_alone(job, chunk);
    double per_block = (cg_now() - begin) / static_cast<double>(job.next);
    if (per_block * static_cast<double>(job.blocks - job.next) > WORTH_SHARING_MS) return;
  }
}

void run(Job& job) {
  cg_u32 workers = job.blocks > 1 ? cg_get_workers() : 1;
  if (workers == 1) return run_alone(job, job.blocks);
  run_until_worth_sharing(job);
  cg_i64 rest = job.blocks - job.next;
  if (rest <= 0 || job.failed) return;
  if (rest < workers) workers = static_cast<cg_u32>(rest) + (rest == 1);
  job.chunk = rest / (static_cast<cg_i64>(workers) * 8);
  if (job.chunk == 0) job.chunk = 1;
  if (!share(job, workers)) run_alone(job, rest);
}

cg_i32 run_node(const cg_node& node, cg_error* error) {
  if (node.kind == CG_KERNEL) return cg_run_kernel(node.kernel, &node.launch, error);
  void* target = reinterpret_cast<void*>(node.target);
  if (node.kind == CG_COPY)
    memmove(target, reinterpret_cast<const void*>(node.source), node.bytes);
  else
    memset(target, static_cast<int>(node.value), node.bytes);
  return CG_OK;
}

}  // namespace

cg_i32 cg_run_kernel(const cg_kernel* kernel, const cg_launch* launch, cg_error* error) {
  error->code = CG_OK;
  if (!accept(*launch, error)) return error->code;
  Job job = {kernel, *launch, 0, 0, 1, 0, error};
  job.blocks = static_cast<cg_i64>(launch->grid[0]) * launch->grid[1] * launch->grid[2];
  run(job);
  return error->code;
}

cg_u32 cg_run_nodes(const cg_node* nodes, cg_u32 count, double* times, double origin, cg_error* error) {
  cg_u32 done = 0;
  for (; done < count; done++) {
    if (times) times[2 * done] = cg_now() - origin;
    if (run_node(nodes[done], error) != CG_OK) break;
    if (times) times[2 * done + 1] = cg_now() - origin;
  }
  fflush(stdout);  // what kernels printed
  return done;
}

double cg_now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}
