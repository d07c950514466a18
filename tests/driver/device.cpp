// Initialisation, the one device and its contexts.
#include <cstdio>

#include "capture.h"
#include "memory.h"
#include "stream.h"

namespace emulated {

namespace {

struct Primary {
  std::shared_ptr<Context> context;
  CUcontext handle{};
  int retained = 0;
  unsigned flags = 0;
};

Primary& primary() {
  static auto* instance = new Primary;
  return *instance;
}

thread_local std::vector<CUcontext> context_stack;

void need_device(CUdevice device) { require(device == 0, CUDA_ERROR_INVALID_DEVICE); }

void set_current(CUcontext context) {
  if (context) live(context, CUDA_ERROR_INVALID_CONTEXT);
  if (!context_stack.empty()) context_stack.pop_back();
  if (context) context_stack.push_back(context);
}

int attribute_of(CUdevice_attribute attribute) {
  switch (static_cast<int>(attribute)) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: return driver().settings.capability / 10;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: return driver().settings.capability % 10;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: return 32;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: return 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: return 64;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: return 0x7fffffff;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: return 65535;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: return 48 << 10;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: return 232448;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: return 228 << 10;
    case CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK: return 1024;
    case CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY: return 64 << 10;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR: return 65536;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: return 132;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR: return 2048;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR: return 32;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: return 1980000;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: return 3201000;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: return 6144;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: return 60 << 20;
    case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT: return 3;
    case CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT: return 512;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
    case CU_DEVICE_ATTRIBUTE_GPU_OVERLAP:
    case CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY:
    case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH:
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_COMPUTE_PREEMPTION_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM: return 1;
    default: return 0;
  }
}

}  // namespace

CUcontext current_context() {
  if (context_stack.empty()) return nullptr;
  return driver().contexts.find(context_stack.back()) ? context_stack.back() : nullptr;
}

}  // namespace emulated

using namespace emulated;

DRIVER_API cuInit(unsigned flags) {
  return call(__func__, Needs::Nothing, [&] {
    require(flags == 0);
    driver().initialized = true;
  });
}

DRIVER_API cuDriverGetVersion(int* version) {
  return call(__func__, Needs::Nothing, [&] { *version = driver().settings.version; });
}

DRIVER_API cuDeviceGetCount(int* count) {
  return call(__func__, Needs::Init, [&] { *count = 1; });
}

DRIVER_API cuDeviceGet(CUdevice* device, int ordinal) {
  return call(__func__, Needs::Init, [&] { need_device(*device = ordinal); });
}

DRIVER_API cuDeviceGetName(char* name, int length, CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    need_device(device);
    std::snprintf(name, length, "Emulated GPU");
  });
}

DRIVER_API cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    need_device(device);
    *bytes = driver().settings.memory;
  });
}

DRIVER_API cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    need_device(device);
    std::memset(uuid, 7, sizeof *uuid);
  });
}

DRIVER_API cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    if (CUresult code = cuDeviceGetUuid_v2(uuid, device)) fail(code);
  });
}

DRIVER_API cuDeviceGetLuid(char*, unsigned*, CUdevice) {
  return call(__func__, Needs::Init, [] { fail(CUDA_ERROR_NOT_SUPPORTED); });
}

DRIVER_API cuDeviceGetPCIBusId(char* id, int length, CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    need_device(device);
    std::snprintf(id, length, "0000:01:00.0");
  });
}

DRIVER_API cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    need_device(device);
    require(value && attribute > 0 && attribute < CU_DEVICE_ATTRIBUTE_MAX);
    *value = attribute_of(attribute);
  });
}

DRIVER_API cuDeviceCanAccessPeer(int* can, CUdevice, CUdevice) {
  return call(__func__, Needs::Init, [&] { *can = 0; });
}

DRIVER_API cuDevicePrimaryCtxRetain(CUcontext* out, CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    need_device(device);
    if (!primary().context) {
      primary().context = std::make_shared<Context>();
      primary().context->primary = true;
      primary().handle = primary().context->handle = driver().contexts.add(primary().context);
    }
    ++primary().retained;
    *out = primary().handle;
  });
}

DRIVER_API cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    need_device(device);
    require(primary().retained > 0, CUDA_ERROR_INVALID_CONTEXT);
    --primary().retained;  // the context itself stays, so that objects released at exit still find it
  });
}

DRIVER_API cuDevicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active) {
  return call(__func__, Needs::Init, [&] {
    need_device(device);
    *flags = primary().flags;
    *active = primary().retained > 0;
  });
}

DRIVER_API cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags) {
  return call(__func__, Needs::Init, [&] {
    need_device(device);
    primary().flags = flags;
  });
}

DRIVER_API cuCtxCreate_v2(CUcontext* out, unsigned flags, CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    need_device(device);
    auto context = std::make_shared<Context>();
    context->flags = flags;
    context->handle = *out = driver().contexts.add(context);
    context_stack.push_back(*out);
  });
}

DRIVER_API cuCtxCreate_v4(CUcontext* out, CUctxCreateParams*, unsigned flags, CUdevice device) {
  return call(__func__, Needs::Init, [&] {
    if (CUresult code = cuCtxCreate_v2(out, flags, device)) fail(code);
  });
}

DRIVER_API cuCtxDestroy_v2(CUcontext context) {
  return call(__func__, Needs::Init, [&] {
    require(!live(context, CUDA_ERROR_INVALID_CONTEXT)->primary, CUDA_ERROR_INVALID_CONTEXT);
    run_everything();
    if (current_context() == context) context_stack.pop_back();
    driver().contexts.remove(context);
  });
}

DRIVER_API cuCtxGetCurrent(CUcontext* out) {
  return call(__func__, Needs::Init, [&] { *out = current_context(); });
}

DRIVER_API cuCtxSetCurrent(CUcontext context) {
  return call(__func__, Needs::Init, [&] { set_current(context); });
}

DRIVER_API cuCtxPushCurrent_v2(CUcontext context) {
  return call(__func__, Needs::Init, [&] {
    live(context, CUDA_ERROR_INVALID_CONTEXT);
    context_stack.push_back(context);
  });
}

DRIVER_API cuCtxPopCurrent_v2(CUcontext* out) {
  return call(__func__, Needs::Init, [&] {
    require(!context_stack.empty(), CUDA_ERROR_INVALID_CONTEXT);
    if (out) *out = context_stack.back();
    context_stack.pop_back();
  });
}

DRIVER_API cuCtxGetDevice(CUdevice* device) {
  return call(__func__, Needs::Context, [&] { *device = 0; });
}

DRIVER_API cuCtxGetDevice_v2(CUdevice* device, CUcontext context) {
  return call(__func__, Needs::Init, [&] {
    if (context) live(context, CUDA_ERROR_INVALID_CONTEXT);
    *device = 0;
  });
}

DRIVER_API cuCtxGetFlags(unsigned* flags) {
  return call(__func__, Needs::Context, [&] { *flags = live(current_context())->flags; });
}

DRIVER_API cuCtxGetId(CUcontext context, unsigned long long* id) {
  return call(__func__, Needs::Init, [&] {
    CUcontext wanted = context ? context : current_context();
    live(wanted, CUDA_ERROR_CONTEXT_IS_DESTROYED);
    *id = reinterpret_cast<uint64_t>(wanted);
  });
}

DRIVER_API cuCtxGetApiVersion(CUcontext, unsigned* version) {
  return call(__func__, Needs::Init, [&] { *version = 3020; });
}

DRIVER_API cuCtxSynchronize() {
  return call(__func__, Needs::Context, [&] {
    refuse_unsafe_call();
    run_everything();
    if (driver().sticky) fail(driver().sticky);
  });
}

DRIVER_API cuCtxSynchronize_v2(CUcontext) {
  return call(__func__, Needs::Context, [&] {
    if (CUresult code = cuCtxSynchronize()) fail(code);
  });
}

DRIVER_API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return call(__func__, Needs::Context, [&] {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
  });
}

DRIVER_API cuCtxGetLimit(size_t* value, CUlimit limit) {
  return call(__func__, Needs::Context, [&] { *value = live(current_context())->limits[limit]; });
}

DRIVER_API cuCtxSetLimit(CUlimit limit, size_t value) {
  return call(__func__, Needs::Context, [&] { live(current_context())->limits[limit] = value; });
}

DRIVER_API cuCtxGetCacheConfig(CUfunc_cache* config) {
  return call(__func__, Needs::Context, [&] { *config = CU_FUNC_CACHE_PREFER_NONE; });
}

DRIVER_API cuCtxSetCacheConfig(CUfunc_cache) {
  return call(__func__, Needs::Context, [] {});
}
