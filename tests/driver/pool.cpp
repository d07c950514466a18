// Stream-ordered allocation: addresses are known at once, the memory is usable in stream order.
#include "capture.h"
#include "memory.h"
#include "stream.h"
#include "work.h"

namespace emulated {

namespace {

std::shared_ptr<Pool> make_pool(CUmemPoolProps properties, bool owned_by_user) {
  auto pool = std::make_shared<Pool>();
  pool->properties = properties;
  pool->owned_by_user = owned_by_user;
  for (int attribute = CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES;
       attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES; ++attribute)
    pool->attributes[attribute] = 1;
  pool->handle = driver().pools.add(pool);
  return pool;
}

CUmemPoolProps default_properties(bool on_host) {
  CUmemPoolProps properties{};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = on_host ? CU_MEM_LOCATION_TYPE_HOST : CU_MEM_LOCATION_TYPE_DEVICE;
  return properties;
}

void mark_ready(uintptr_t address) {
  if (Allocation* found = allocation_at(address)) found->ready = true;
}

uintptr_t allocate_from(const std::shared_ptr<Pool>& pool, size_t bytes) {
  Allocation& made = allocate(bytes, pool->on_host() ? MemoryKind::Pinned : MemoryKind::Device);
  made.pool = pool;
  made.ready = false;
  pool->used += bytes;
  pool->used_high = std::max(pool->used_high, pool->used);
  pool->reserved_high = std::max(pool->reserved_high, pool->used);
  return made.begin;
}

CUdeviceptr allocate_on(const std::shared_ptr<Pool>& pool, size_t bytes, CUstream where) {
  auto stream = stream_of(where);
  if (check_capture(stream)) return capture_allocation(*stream, pool, bytes);
  uintptr_t address = allocate_from(pool, bytes);
  enqueue(stream, {{}, [address] { mark_ready(address); }});
  return address;
}

}  // namespace

std::shared_ptr<Pool> default_pool(bool on_host) {
  static auto* device = new std::shared_ptr<Pool>(make_pool(default_properties(false), false));
  static auto* host = new std::shared_ptr<Pool>(make_pool(default_properties(true), false));
  return on_host ? *host : *device;
}

size_t user_pools() {
  size_t count = 0;
  for (const auto& [handle, pool] : driver().pools) count += pool->owned_by_user;
  return count;
}

std::shared_ptr<const GraphMemory> reserve_for_graph(const std::shared_ptr<Pool>& pool, size_t bytes) {
  uintptr_t address = allocate_from(pool, bytes);
  allocation_at(address)->of_graph = true;
  return std::make_shared<const GraphMemory>(address);
}

GraphMemory::~GraphMemory() {
  if (!allocation_at(address)) return;  // freed outside of the graph
  try {
    release(address);
  } catch (CUresult) {  // a broken fence: already sticky
  }
}

}  // namespace emulated

using namespace emulated;

namespace {

std::shared_ptr<Pool>& current_pool() {
  static auto* pool = new std::shared_ptr<Pool>(default_pool(false));
  return *pool;
}

uint64_t attribute_of(const Pool& pool, CUmemPool_attribute attribute) {
  switch (static_cast<int>(attribute)) {
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: return pool.used;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: return pool.reserved_high;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH: return pool.used_high;
    default: {
      auto found = pool.attributes.find(attribute);
      return found == pool.attributes.end() ? 0 : found->second;
    }
  }
}

bool is_int_attribute(CUmemPool_attribute attribute) {
  return attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES || attribute > CU_MEMPOOL_ATTR_USED_MEM_HIGH;
}

}  // namespace

DRIVER_API cuMemAllocAsync(CUdeviceptr* out, size_t bytes, CUstream stream) {
  return call(__func__, Needs::Context, [&] {
    require(out && bytes);
    *out = allocate_on(current_pool(), bytes, stream);
  });
}

DRIVER_API cuMemAllocFromPoolAsync(CUdeviceptr* out, size_t bytes, CUmemoryPool pool, CUstream stream) {
  return call(__func__, Needs::Context, [&] {
    require(out && bytes);
    *out = allocate_on(live(pool), bytes, stream);
  });
}

DRIVER_API cuMemFreeAsync(CUdeviceptr address, CUstream where) {
  return call(__func__, Needs::Context, [&] {
    if (!address) return;
    auto stream = stream_of(where);
    if (check_capture(stream)) return submit(stream, FreeWork{address});
    Allocation* found = allocation_at(address);
    require(found && found->begin == address && !found->released);
    found->released = true;
    enqueue(stream, {{}, [address] { release(address); }});
  });
}

DRIVER_API cuMemPoolCreate(CUmemoryPool* out, const CUmemPoolProps* properties) {
  return call(__func__, Needs::Context, [&] {
    require(out && properties && properties->handleTypes == CU_MEM_HANDLE_TYPE_NONE, CUDA_ERROR_NOT_SUPPORTED);
    *out = make_pool(*properties, true)->handle;
  });
}

DRIVER_API cuMemPoolDestroy(CUmemoryPool handle) {
  return call(__func__, Needs::Context, [&] {
    auto pool = live(handle);
    require(pool->owned_by_user);
    if (current_pool() == pool) current_pool() = default_pool(false);
    driver().pools.remove(handle);
  });
}

DRIVER_API cuMemPoolTrimTo(CUmemoryPool pool, size_t) {
  return call(__func__, Needs::Context, [&] { live(pool); });
}

DRIVER_API cuMemPoolGetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void* value) {
  return call(__func__, Needs::Context, [&] {
    uint64_t found = attribute_of(*live(handle), attribute);
    std::memcpy(value, &found, is_int_attribute(attribute) ? sizeof(int) : sizeof found);
  });
}

DRIVER_API cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void* value) {
  return call(__func__, Needs::Context, [&] {
    auto pool = live(handle);
    uint64_t wanted = 0;
    std::memcpy(&wanted, value, is_int_attribute(attribute) ? sizeof(int) : sizeof wanted);
    if (attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH) pool->used_high = pool->used;
    if (attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH) pool->reserved_high = pool->used;
    pool->attributes[attribute] = wanted;
  });
}

DRIVER_API cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc*, size_t) {
  return call(__func__, Needs::Context, [&] { live(pool); });
}

DRIVER_API cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool pool, CUmemLocation*) {
  return call(__func__, Needs::Context, [&] {
    live(pool);
    *flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  });
}

DRIVER_API cuDeviceGetDefaultMemPool(CUmemoryPool* out, CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    require(device == 0, CUDA_ERROR_INVALID_DEVICE);
    *out = default_pool(false)->handle;
  });
}

DRIVER_API cuDeviceGetMemPool(CUmemoryPool* out, CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    require(device == 0, CUDA_ERROR_INVALID_DEVICE);
    *out = current_pool()->handle;
  });
}

DRIVER_API cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool) {
  return call(__func__, Needs::Init, [&] {
    require(device == 0, CUDA_ERROR_INVALID_DEVICE);
    current_pool() = live(pool);
  });
}

DRIVER_API cuMemGetDefaultMemPool(CUmemoryPool* out, CUmemLocation* location, CUmemAllocationType) {
  return call(__func__, Needs::Init, [&] {
    require(out && location);
    *out = default_pool(location->type != CU_MEM_LOCATION_TYPE_DEVICE)->handle;
  });
}

DRIVER_API cuMemGetMemPool(CUmemoryPool* out, CUmemLocation* location, CUmemAllocationType) {
  return call(__func__, Needs::Init, [&] {
    require(out && location);
    bool on_host = location->type != CU_MEM_LOCATION_TYPE_DEVICE;
    *out = on_host ? default_pool(true)->handle : current_pool()->handle;
  });
}
