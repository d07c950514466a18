// Bounds of memory accesses, in modules that were built with CUDAGRAPH_SANITIZE=1.
//
// The compiler calls us before every access (-fsanitize=kernel-address with outlined checks). A kernel may touch the
// buffers of its arguments, byte for byte as the plan gives them, its shared memory and its own variables.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <string.h>
#ifdef __linux__
#include <link.h>
#endif

#include "runtime.h"

namespace {

bool within(cg_u64 address, cg_u64 bytes, cg_u64 begin, cg_u64 end) {
  return address >= begin && address < end && bytes <= end - address;
}

bool within(cg_u64 address, cg_u64 bytes, const void* begin, cg_u64 size) {
  cg_u64 start = reinterpret_cast<cg_u64>(begin);
  return within(address, bytes, start, start + size);
}

#ifdef __linux__
int look_at_image(dl_phdr_info* info, size_t, void* argument) {
  Surroundings& found = *static_cast<Surroundings*>(argument);
  cg_u64 begin = ~0ull, end = 0, local_bytes = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const auto& segment = info->dlpi_phdr[i];
    cg_u64 start = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_TLS) local_bytes = segment.p_memsz;
    if (segment.p_type != PT_LOAD) continue;
    if (start < begin) begin = start;
    if (start + segment.p_memsz > end) end = start + segment.p_memsz;
  }
  if (!within(reinterpret_cast<cg_u64>(found.code), 1, begin, end)) return 0;
  found.load_address = info->dlpi_addr;
  found.image_begin = begin;
  found.image_end = end;
  found.local_begin = reinterpret_cast<cg_u64>(info->dlpi_tls_data);
  found.local_end = found.local_begin + local_bytes;
  return 1;
}

const Surroundings& surroundings_of(Worker& worker, const void* code) {
  Surroundings& known = worker.surroundings;
  if (!within(reinterpret_cast<cg_u64>(code), 1, known.image_begin, known.image_end)) {
    known = Surroundings();
    known.code = code;
    dl_iterate_phdr(look_at_image, &known);
  }
  return known;
}
#else
const Surroundings& surroundings_of(Worker& worker, const void*) { return worker.surroundings; }
#endif

bool is_own(Worker& worker, const Surroundings& around, cg_u64 address, cg_u64 bytes) {
  const Job& job = *worker.job;
  if (within(address, bytes, around.local_begin, around.local_end) ||
      within(address, bytes, worker.state.floor, worker.own_stack_bytes) ||
      within(address, bytes, around.image_begin, around.image_end) ||
      within(address, bytes, worker.stack_memory, worker.stack_bytes) ||
      within(address, bytes, &worker, sizeof worker) ||
      within(address, bytes, worker.shared_memory, job.launch.shared) || within(address, bytes, &job, sizeof job) ||
      within(address, bytes, runtime_table(), sizeof(cg_runtime)) ||
      within(address, bytes, job.launch.arguments, sizeof(void*) * job.kernel->count))
    return true;
  for (cg_u32 i = 0; i < job.kernel->count; i++)
    if (within(address, bytes, job.launch.arguments[i], job.kernel->sizes[i])) return true;
  return false;
}

cg_u64 distance(const cg_range& range, cg_u64 address) {
  return address < range.begin ? range.begin - address : address >= range.end ? address - range.end + 1 : 0;
}

const cg_range* nearest(const cg_launch& launch, cg_u64 address) {
  const cg_range* best = nullptr;
  for (cg_u32 i = 0; i < launch.range_count; i++)
    if (!best || distance(launch.ranges[i], address) < distance(*best, address)) best = &launch.ranges[i];
  return best;
}

void describe(cg_error& error, const Worker& worker, cg_u64 address, cg_u64 bytes, bool write) {
  const cg_launch& launch = worker.job->launch;
  const char* verb = write ? "writes" : "reads";
  if (within(address, 1, worker.shared_memory, CG_MAX_SHARED)) {
    snprintf(error.message, sizeof error.message,
             "out of bounds: %s %llu bytes at offset %llu of dynamic shared memory, of which the launch has %u bytes",
             verb, bytes, address - reinterpret_cast<cg_u64>(worker.shared_memory), launch.shared);
    return;
  }
  const cg_range* range = nearest(launch, address);
  if (!range || distance(*range, address) > 1ull << 32) {
    snprintf(error.message, sizeof error.message,
             "out of bounds: %s %llu bytes at address 0x%llx, which is in no buffer", verb, bytes, address);
    return;
  }
  bool before = address < range->begin;
  const char* sign = before ? "-" : "";
  cg_u64 offset = before ? range->begin - address : address - range->begin;
  cg_u64 item = range->item_bytes ? range->item_bytes : 1;
  snprintf(error.message, sizeof error.message,
           "out of bounds: %s %llu bytes at byte %s%llu of argument %u, %s, which has %llu bytes: index %s%llu, and "
           "%llu elements",
           verb, bytes, sign, offset, range->argument, range->name, range->end - range->begin, sign,
           before ? (offset + item - 1) / item : offset / item, (range->end - range->begin) / item);
}

}  // namespace

void check(const cg_launch* launch, cg_u64 address, cg_u64 bytes, cg_i32 write, const void* code, const cg_u32 block[3],
           const cg_u32 thread[3]) {
  if (!launch || !launch->ranges) return;
  for (cg_u32 i = 0; i < launch->range_count; i++)
    if (within(address, bytes, launch->ranges[i].begin, launch->ranges[i].end)) return;
  Worker& worker = *this_worker();
  if (!worker.job) return;
  const Surroundings& around = surroundings_of(worker, code);
  if (is_own(worker, around, address, bytes)) return;
  cg_error error = {};
  error.code = CG_OUT_OF_BOUNDS;
  error.address = reinterpret_cast<cg_u64>(code) - around.load_address;
  memcpy(error.block, block, sizeof error.block);
  memcpy(error.thread, thread, sizeof error.thread);
  describe(error, worker, address, bytes, write != 0);
  fail_at(error);
}
