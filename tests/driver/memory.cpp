#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <deque>

#include "capture.h"
#include "stream.h"

namespace emulated {

namespace {

constexpr size_t range_bytes = size_t{1} << 40;  // address space only; addresses are never used twice
constexpr size_t granularity = 512;
constexpr size_t kept_poisoned = size_t{4} << 20;  // bytes of freed memory

struct Heap {
  uintptr_t begin = 0;
  uintptr_t next = 0;
  size_t device_bytes = 0;
  uint64_t ids = 0;
  std::map<uintptr_t, Allocation> allocations;
  std::deque<std::pair<uintptr_t, uintptr_t>> poisoned;  // what was freed lately: begin, end
  size_t poisoned_bytes = 0;
};

Heap& heap() {
  static Heap* instance = [] {
    auto* made = new Heap;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* range = mmap(nullptr, range_bytes, PROT_NONE, flags, -1, 0);
    require(range != MAP_FAILED, CUDA_ERROR_OUT_OF_MEMORY);
    madvise(range, range_bytes, MADV_HUGEPAGE);  // its protection changes at each call: few pages, few changes
    made->begin = made->next = reinterpret_cast<uintptr_t>(range);
    return made;
  }();
  return *instance;
}

int accesses = 0;

void protect(int protection) {
  if (driver().settings.strict || protection != PROT_NONE)
    mprotect(reinterpret_cast<void*>(heap().begin), range_bytes, protection);
}

size_t rounded(size_t bytes) { return (bytes + granularity - 1) / granularity * granularity; }

uintptr_t take_device_range(size_t bytes) {
  Heap& all = heap();
  require(bytes <= driver().settings.memory - std::min(all.device_bytes, driver().settings.memory),
          CUDA_ERROR_OUT_OF_MEMORY);
  size_t span = rounded(bytes + fence_bytes);
  require(all.next + span <= all.begin + range_bytes, CUDA_ERROR_OUT_OF_MEMORY);
  uintptr_t address = all.next;
  all.next += span;
  all.device_bytes += bytes;
  std::memset(reinterpret_cast<void*>(address + bytes), fence_byte, fence_bytes);
  return address;
}

uintptr_t take_host_memory(size_t bytes) {
  void* memory = nullptr;
  require(posix_memalign(&memory, 4096, bytes) == 0, CUDA_ERROR_OUT_OF_MEMORY);
  return reinterpret_cast<uintptr_t>(memory);
}

bool fence_intact(const Allocation& allocation) {
  auto* fence = reinterpret_cast<const unsigned char*>(allocation.begin + allocation.bytes);
  for (size_t i = 0; i < fence_bytes; ++i)
    if (fence[i] != fence_byte) return false;
  return true;
}

void give_back_device(const Allocation& allocation) {
  Heap& all = heap();
  all.device_bytes -= allocation.bytes;
  // Poisoned for whoever still uses it, and given back to the system when much was freed after it.
  uintptr_t end = allocation.begin + allocation.bytes;
  std::memset(reinterpret_cast<void*>(allocation.begin), freed_poison, std::min(allocation.bytes, kept_poisoned));
  all.poisoned.emplace_back(allocation.begin, end);
  all.poisoned_bytes += allocation.bytes;
  while (all.poisoned_bytes > kept_poisoned) {
    auto [first, last] = all.poisoned.front();
    all.poisoned.pop_front();
    all.poisoned_bytes -= last - first;
    uintptr_t page = (first + 4095) & ~uintptr_t{4095}, after = last & ~uintptr_t{4095};
    if (page < after) madvise(reinterpret_cast<void*>(page), after - page, MADV_DONTNEED);
  }
}

}  // namespace

DeviceAccess::DeviceAccess() {
  if (accesses++ == 0) protect(PROT_READ | PROT_WRITE);
}

DeviceAccess::~DeviceAccess() {
  if (--accesses == 0) protect(PROT_NONE);
}

Allocation& allocate(size_t bytes, MemoryKind kind) {
  require(bytes > 0);
  DeviceAccess access;
  Allocation made;
  made.bytes = bytes;
  made.kind = kind;
  made.id = ++heap().ids;
  made.context = current_context();
  made.begin = kind == MemoryKind::Device ? take_device_range(bytes) : take_host_memory(bytes);
  std::memset(reinterpret_cast<void*>(made.begin), fresh_poison, bytes);
  return heap().allocations[made.begin] = made;
}

void add_registered(uintptr_t address, size_t bytes, unsigned flags) {
  Allocation made;
  made.begin = address;
  made.bytes = bytes;
  made.kind = MemoryKind::Registered;
  made.id = ++heap().ids;
  made.context = current_context();
  made.flags = flags;
  heap().allocations[address] = made;
}

void release(uintptr_t address) {
  auto& all = heap().allocations;
  auto found = all.find(address);
  require(found != all.end());
  Allocation gone = found->second;
  all.erase(found);
  if (gone.pool) gone.pool->used -= gone.bytes;
  if (gone.kind == MemoryKind::Pinned || gone.kind == MemoryKind::Managed) {
    std::memset(reinterpret_cast<void*>(gone.begin), freed_poison, gone.bytes);
    std::free(reinterpret_cast<void*>(gone.begin));
  }
  if (gone.kind != MemoryKind::Device) return;
  DeviceAccess access;
  bool intact = fence_intact(gone);
  give_back_device(gone);
  if (!intact && driver().settings.strict)
    fault(CUDA_ERROR_ILLEGAL_ADDRESS, "something wrote past the end of an allocation of " + std::to_string(gone.bytes) +
                                          " bytes; noticed when it was freed");
}

Allocation* allocation_at(uintptr_t address) {
  auto& all = heap().allocations;
  auto above = all.upper_bound(address);
  if (above == all.begin()) return nullptr;
  Allocation& below = std::prev(above)->second;
  return address < below.begin + below.bytes ? &below : nullptr;
}

bool in_device_range(uintptr_t address) {
  return address >= heap().begin && address < heap().begin + range_bytes;
}

bool accessible(uintptr_t address, size_t bytes) {
  const Allocation* found = allocation_at(address);
  if (found) return found->ready && address + bytes <= found->begin + found->bytes;
  return !in_device_range(address);
}

bool plausible_pointer(uintptr_t address) {
  if (!in_device_range(address)) return true;
  const Allocation* found = allocation_at(address);
  if (!found) found = allocation_at(address - 1);
  return found && found->ready;
}

bool device_visible(uintptr_t address, size_t bytes) {
  const Allocation* found = allocation_at(address);
  return found && address + bytes <= found->begin + found->bytes;
}

size_t live_allocations(bool pinned) {
  size_t count = 0;
  for (const auto& [address, allocation] : heap().allocations) count += allocation.on_device() != pinned;
  return count;
}

size_t live_bytes() { return heap().device_bytes; }

}  // namespace emulated

using namespace emulated;

namespace {

CUdeviceptr device_address(uintptr_t address) { return static_cast<CUdeviceptr>(address); }

void free_now(uintptr_t address, bool device) {
  const Allocation* found = allocation_at(address);
  require(found && found->begin == address && !found->released && found->on_device() == device);
  release(address);
}

}  // namespace

DRIVER_API cuMemGetInfo_v2(size_t* free, size_t* total) {
  return call(__func__, Needs::Context, [&] {
    *total = driver().settings.memory;
    *free = *total - std::min(*total, live_bytes());
  });
}

DRIVER_API cuMemAlloc_v2(CUdeviceptr* out, size_t bytes) {
  return call(__func__, Needs::Context, [&] {
    require(out != nullptr);
    refuse_unsafe_call();
    *out = device_address(allocate(bytes, MemoryKind::Device).begin);
  });
}

DRIVER_API cuMemAllocManaged(CUdeviceptr* out, size_t bytes, unsigned flags) {
  return call(__func__, Needs::Context, [&] {
    require(out && (flags == CU_MEM_ATTACH_GLOBAL || flags == CU_MEM_ATTACH_HOST));
    refuse_unsafe_call();
    *out = device_address(allocate(bytes, MemoryKind::Managed).begin);
  });
}

DRIVER_API cuMemAllocPitch_v2(CUdeviceptr* out, size_t* pitch, size_t width, size_t height, unsigned element) {
  return call(__func__, Needs::Context, [&] {
    require(out && pitch && width && height && (element == 4 || element == 8 || element == 16));
    refuse_unsafe_call();
    *pitch = rounded(width);
    *out = device_address(allocate(*pitch * height, MemoryKind::Device).begin);
  });
}

DRIVER_API cuMemFree_v2(CUdeviceptr address) {
  return call(__func__, Needs::Context, [&] {
    if (!address) return;
    refuse_unsafe_call();
    run_everything();
    free_now(address, true);
  });
}

DRIVER_API cuMemHostAlloc(void** out, size_t bytes, unsigned flags) {
  return call(__func__, Needs::Context, [&] {
    require(out && flags <= 7);
    refuse_unsafe_call();
    Allocation& made = allocate(bytes, MemoryKind::Pinned);
    made.flags = flags;
    *out = reinterpret_cast<void*>(made.begin);
  });
}

DRIVER_API cuMemAllocHost_v2(void** out, size_t bytes) {
  return call(__func__, Needs::Context, [&] {
    if (CUresult code = cuMemHostAlloc(out, bytes, 0)) fail(code);
  });
}

DRIVER_API cuMemFreeHost(void* address) {
  return call(__func__, Needs::Context, [&] {
    refuse_unsafe_call();
    run_everything();
    free_now(reinterpret_cast<uintptr_t>(address), false);
  });
}

DRIVER_API cuMemHostRegister_v2(void* address, size_t bytes, unsigned flags) {
  return call(__func__, Needs::Context, [&] {
    require(address && bytes);
    auto begin = reinterpret_cast<uintptr_t>(address);
    require(!allocation_at(begin) && !allocation_at(begin + bytes - 1), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    add_registered(begin, bytes, flags);
  });
}

DRIVER_API cuMemHostUnregister(void* address) {
  return call(__func__, Needs::Context, [&] {
    auto begin = reinterpret_cast<uintptr_t>(address);
    const Allocation* found = allocation_at(begin);
    require(found && found->begin == begin && found->kind == MemoryKind::Registered,
            CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    run_everything();
    release(begin);
  });
}

DRIVER_API cuMemHostGetDevicePointer_v2(CUdeviceptr* out, void* address, unsigned flags) {
  return call(__func__, Needs::Context, [&] {
    const Allocation* found = allocation_at(reinterpret_cast<uintptr_t>(address));
    require(out && found && !found->on_device() && flags == 0);
    *out = reinterpret_cast<CUdeviceptr>(address);
  });
}

DRIVER_API cuMemHostGetFlags(unsigned* flags, void* address) {
  return call(__func__, Needs::Context, [&] {
    const Allocation* found = allocation_at(reinterpret_cast<uintptr_t>(address));
    require(found && !found->on_device());
    *flags = found->flags;
  });
}

DRIVER_API cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr address) {
  return call(__func__, Needs::Context, [&] {
    const Allocation* found = allocation_at(address);
    require(found != nullptr, CUDA_ERROR_NOT_FOUND);
    if (base) *base = device_address(found->begin);
    if (bytes) *bytes = found->bytes;
  });
}
