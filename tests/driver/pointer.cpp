// What the driver tells about an address, and hints that a CPU does not need.
#include "memory.h"

using namespace emulated;

namespace {

template <class T> void put(void* out, T value) { std::memcpy(out, &value, sizeof value); }

CUmemorytype memory_type(const Allocation& found) {
  return found.on_device() ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
}

bool put_location(void* out, CUpointer_attribute attribute, CUdeviceptr address, const Allocation& found) {
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: put(out, address); return true;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      require(found.kind != MemoryKind::Device);
      put(out, address);
      return true;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: put(out, static_cast<CUdeviceptr>(found.begin)); return true;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: put(out, found.bytes); return true;
    default: return false;
  }
}

void put_attribute(void* out, CUpointer_attribute attribute, CUdeviceptr address, const Allocation& found) {
  if (put_location(out, attribute, address, found)) return;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: return put(out, found.pool ? nullptr : found.context);
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE: return put(out, static_cast<unsigned>(memory_type(found)));
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: return put(out, found.kind == MemoryKind::Managed ? 1u : 0u);
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: return put(out, 0);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID: return put(out, static_cast<unsigned long long>(found.id));
    case CU_POINTER_ATTRIBUTE_MAPPED: return put(out, 1u);
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS: return put(out, 0u);
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE: return put(out, found.pool ? found.pool->handle : nullptr);
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES: return put(out, uint64_t{0});
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE: return put(out, 0u);
    default: fail(CUDA_ERROR_INVALID_VALUE);
  }
}

/// For an unknown address the plural query answers zeros instead of an error.
void put_unknown(void* out, CUpointer_attribute attribute) {
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: return put(out, -2);
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_MAPPED:
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE: return put(out, 0u);
    default: return put(out, uint64_t{0});
  }
}

}  // namespace

DRIVER_API cuPointerGetAttribute(void* out, CUpointer_attribute attribute, CUdeviceptr address) {
  return call(__func__, Needs::Context, [&] {
    const Allocation* found = allocation_at(address);
    require(out && found);
    put_attribute(out, attribute, address, *found);
  });
}

DRIVER_API cuPointerGetAttributes(unsigned count, CUpointer_attribute* attributes, void** out, CUdeviceptr address) {
  return call(__func__, Needs::Context, [&] {
    const Allocation* found = allocation_at(address);
    for (unsigned i = 0; i < count; ++i) {
      bool host_of_device = attributes[i] == CU_POINTER_ATTRIBUTE_HOST_POINTER && found &&
                            found->kind == MemoryKind::Device;
      if (found && !host_of_device)
        put_attribute(out[i], attributes[i], address, *found);
      else
        put_unknown(out[i], attributes[i]);
    }
  });
}

DRIVER_API cuPointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr address) {
  return call(__func__, Needs::Context, [&] {
    require(value && attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS && allocation_at(address));
  });
}

DRIVER_API cuMemAdvise_v2(CUdeviceptr address, size_t bytes, CUmem_advise, CUmemLocation) {
  return call(__func__, Needs::Context, [&] { require(device_visible(address, bytes)); });
}

DRIVER_API cuMemPrefetchAsync_v2(CUdeviceptr address, size_t bytes, CUmemLocation, unsigned, CUstream) {
  return call(__func__, Needs::Context, [&] { require(device_visible(address, bytes)); });
}
