// Device and pinned memory: what is allocated, what each address means, and poison where nothing was written.
#pragma once

#include "driver.h"

namespace emulated {

constexpr unsigned char fresh_poison = 0xFF;
constexpr unsigned char freed_poison = 0xDD;
constexpr unsigned char fence_byte = 0xFB;  // after each allocation, to notice writes past its end
constexpr size_t fence_bytes = 256;

enum class MemoryKind { Device, Managed, Pinned, Registered };

struct Allocation {
  uintptr_t begin = 0;
  size_t bytes = 0;
  MemoryKind kind = MemoryKind::Device;
  uint64_t id = 0;
  CUcontext context{};
  std::shared_ptr<Pool> pool;
  bool ready = true;      // a stream-ordered allocation is usable once its stream got there
  bool released = false;  // a stream-ordered free is queued
  bool of_graph = false;  // belongs to an allocation node: freeing it only ends its use in this launch
  unsigned flags = 0;

  bool on_device() const { return kind == MemoryKind::Device || kind == MemoryKind::Managed; }
};

/// While one exists, device memory can be touched. At all other times the host crashes on it, as on a real machine.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
};

struct Pool {
  CUmemoryPool handle{};
  CUmemPoolProps properties{};
  bool owned_by_user = true;
  size_t used = 0;
  size_t used_high = 0;
  size_t reserved_high = 0;
  std::map<int, uint64_t> attributes;

  bool on_host() const { return properties.location.type != CU_MEM_LOCATION_TYPE_DEVICE; }
};

/// Takes `bytes` of poisoned memory; fails with OUT_OF_MEMORY beyond the limit.
Allocation& allocate(size_t bytes, MemoryKind kind);
/// Gives an address back for good and poisons it; a broken fence is a sticky fault.
void release(uintptr_t address);
void add_registered(uintptr_t address, size_t bytes, unsigned flags);

/// The allocation that holds `address`, or null.
Allocation* allocation_at(uintptr_t address);
/// Whether the address lies where device memory could be at all.
bool in_device_range(uintptr_t address);
/// Whether a live allocation covers all of it, or the address is host memory.
bool accessible(uintptr_t address, size_t bytes);
/// Whether it points into usable memory or just past its end.
bool plausible_pointer(uintptr_t address);
/// Whether a device may read it: device, managed or pinned.
bool device_visible(uintptr_t address, size_t bytes);

size_t live_allocations(bool pinned);
size_t live_bytes();
size_t user_pools();
std::shared_ptr<Pool> default_pool(bool on_host);

}  // namespace emulated
