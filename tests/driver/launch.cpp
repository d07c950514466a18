// Kernel launches, copies and fills: each becomes one piece of work on a stream.
#include "capture.h"
#include "memory.h"
#include "module.h"
#include "stream.h"
#include "work.h"

using namespace emulated;

namespace {

void launch(CUfunction handle, Size3 grid, Size3 block, unsigned shared, CUstream stream, void** parameters,
            void** extra, std::map<int, CUlaunchAttributeValue> attributes) {
  auto function = function_of(handle);
  KernelWork work{function, grid, block, shared, copy_arguments(*function, parameters, extra), std::move(attributes)};
  check_launch(work);
  submit(stream_of(stream), std::move(work));
}

// Copies.

bool pageable(uintptr_t address) { return !in_device_range(address) && !allocation_at(address); }

CUDA_MEMCPY3D copy_params(uintptr_t target, uintptr_t source, size_t bytes) {
  CUDA_MEMCPY3D p{};
  p.srcMemoryType = in_device_range(source) ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
  p.dstMemoryType = in_device_range(target) ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
  p.srcHost = reinterpret_cast<const void*>(source);
  p.dstHost = reinterpret_cast<void*>(target);
  p.srcDevice = source;
  p.dstDevice = target;
  p.WidthInBytes = bytes;
  p.Height = p.Depth = 1;
  return p;
}

uintptr_t source_of(const CUDA_MEMCPY3D& p) {
  return p.srcMemoryType == CU_MEMORYTYPE_HOST ? reinterpret_cast<uintptr_t>(p.srcHost) : p.srcDevice;
}

uintptr_t target_of(const CUDA_MEMCPY3D& p) {
  return p.dstMemoryType == CU_MEMORYTYPE_HOST ? reinterpret_cast<uintptr_t>(p.dstHost) : p.dstDevice;
}

/// Pageable memory is staged before the call returns; pinned memory is read when the copy runs.
CopyWork staged(const CUDA_MEMCPY3D& p) {
  CopyWork work{p, nullptr};
  if (!pageable(source_of(p)) || !one_dimensional(p)) return work;
  auto* from = reinterpret_cast<const std::byte*>(source_of(p)) + p.srcXInBytes;
  work.staged = std::make_shared<std::vector<std::byte>>(from, from + p.WidthInBytes);
  return work;
}

void copy_later(const CUDA_MEMCPY3D& p, CUstream where) {
  auto stream = stream_of(where);
  check_copy(p);
  if (!p.WidthInBytes) return;
  if (check_capture(stream)) return submit(stream, CopyWork{p, nullptr});
  submit(stream, staged(p));
  if (pageable(target_of(p))) run_until(tail_of(stream));  // such a copy has returned only when it is done
}

void copy_now(const CUDA_MEMCPY3D& p) {
  refuse_unsafe_call();
  check_copy(p);
  auto stream = legacy_stream();
  check_capture(stream);
  submit(stream, CopyWork{p, nullptr});
  run_until(tail_of(stream));
  if (driver().sticky) fail(driver().sticky);
}

CUDA_MEMCPY3D from_2d(const CUDA_MEMCPY2D& q) {
  CUDA_MEMCPY3D p{};
  p.srcXInBytes = q.srcXInBytes, p.srcY = q.srcY, p.srcMemoryType = q.srcMemoryType, p.srcHost = q.srcHost;
  p.srcDevice = q.srcDevice, p.srcPitch = q.srcPitch;
  p.dstXInBytes = q.dstXInBytes, p.dstY = q.dstY, p.dstMemoryType = q.dstMemoryType, p.dstHost = q.dstHost;
  p.dstDevice = q.dstDevice, p.dstPitch = q.dstPitch;
  p.WidthInBytes = q.WidthInBytes, p.Height = q.Height, p.Depth = 1;
  return p;
}

uintptr_t address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

/// The named direction of a copy: its device side must be memory the device sees.
uintptr_t device_side(CUdeviceptr pointer, size_t bytes) {
  require(!driver().settings.strict || device_visible(pointer, bytes));
  return pointer;
}

// Fills.

void fill_later(FillWork work, CUstream stream) {
  check_fill(work);
  if (work.width && work.height) submit(stream_of(stream), work);
}

void fill_now(FillWork work) {
  refuse_unsafe_call();
  fill_later(work, nullptr);  // asynchronous to the host for device memory, but ordered like any legacy-stream work
}

}  // namespace

DRIVER_API cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                          unsigned bz, unsigned shared, CUstream stream, void** parameters, void** extra) {
  return call(__func__, Needs::Context,
              [&] { launch(function, {gx, gy, gz}, {bx, by, bz}, shared, stream, parameters, extra, {}); });
}

DRIVER_API cuLaunchCooperativeKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                     unsigned by, unsigned bz, unsigned shared, CUstream stream, void** parameters) {
  return call(__func__, Needs::Context, [&] {
    CUlaunchAttributeValue cooperative{};
    cooperative.cooperative = 1;
    launch(function, {gx, gy, gz}, {bx, by, bz}, shared, stream, parameters, nullptr,
           {{CU_LAUNCH_ATTRIBUTE_COOPERATIVE, cooperative}});
  });
}

DRIVER_API cuLaunchKernelEx(const CUlaunchConfig* c, CUfunction function, void** parameters, void** extra) {
  return call(__func__, Needs::Context, [&] {
    require(c && (c->attrs || !c->numAttrs));
    std::map<int, CUlaunchAttributeValue> attributes;
    for (unsigned i = 0; i < c->numAttrs; ++i) attributes[c->attrs[i].id] = c->attrs[i].value;
    launch(function, {c->gridDimX, c->gridDimY, c->gridDimZ}, {c->blockDimX, c->blockDimY, c->blockDimZ},
           c->sharedMemBytes, c->hStream, parameters, extra, std::move(attributes));
  });
}

DRIVER_API cuMemcpy(CUdeviceptr target, CUdeviceptr source, size_t bytes) {
  return call(__func__, Needs::Context, [&] { copy_now(copy_params(target, source, bytes)); });
}

DRIVER_API cuMemcpyHtoD_v2(CUdeviceptr target, const void* source, size_t bytes) {
  return call(__func__, Needs::Context,
              [&] { copy_now(copy_params(device_side(target, bytes), address(source), bytes)); });
}

DRIVER_API cuMemcpyDtoH_v2(void* target, CUdeviceptr source, size_t bytes) {
  return call(__func__, Needs::Context,
              [&] { copy_now(copy_params(address(target), device_side(source, bytes), bytes)); });
}

DRIVER_API cuMemcpyDtoD_v2(CUdeviceptr target, CUdeviceptr source, size_t bytes) {
  return call(__func__, Needs::Context,
              [&] { copy_now(copy_params(device_side(target, bytes), device_side(source, bytes), bytes)); });
}

DRIVER_API cuMemcpyAsync(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream) {
  return call(__func__, Needs::Context, [&] { copy_later(copy_params(target, source, bytes), stream); });
}

DRIVER_API cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void* source, size_t bytes, CUstream stream) {
  return call(__func__, Needs::Context,
              [&] { copy_later(copy_params(device_side(target, bytes), address(source), bytes), stream); });
}

DRIVER_API cuMemcpyDtoHAsync_v2(void* target, CUdeviceptr source, size_t bytes, CUstream stream) {
  return call(__func__, Needs::Context,
              [&] { copy_later(copy_params(address(target), device_side(source, bytes), bytes), stream); });
}

DRIVER_API cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream) {
  return call(__func__, Needs::Context, [&] {
    copy_later(copy_params(device_side(target, bytes), device_side(source, bytes), bytes), stream);
  });
}

DRIVER_API cuMemcpy2D_v2(const CUDA_MEMCPY2D* params) {
  return call(__func__, Needs::Context, [&] { copy_now(from_2d(*params)); });
}

DRIVER_API cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* params) {
  return call(__func__, Needs::Context, [&] { copy_now(from_2d(*params)); });
}

DRIVER_API cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* params, CUstream stream) {
  return call(__func__, Needs::Context, [&] { copy_later(from_2d(*params), stream); });
}

DRIVER_API cuMemcpy3D_v2(const CUDA_MEMCPY3D* params) {
  return call(__func__, Needs::Context, [&] { copy_now(*params); });
}

DRIVER_API cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* params, CUstream stream) {
  return call(__func__, Needs::Context, [&] { copy_later(*params, stream); });
}

#if CUDA_VERSION >= 13000
DRIVER_API cuMemcpyBatchAsync_v2(CUdeviceptr* targets, CUdeviceptr* sources, size_t* sizes, size_t count,
                                 CUmemcpyAttributes* attributes, size_t* firsts, size_t kinds, CUstream stream) {
  return call(__func__, Needs::Context, [&] {
    require(targets && sources && sizes && count && attributes && firsts && kinds && firsts[0] == 0);
    for (size_t i = 0; i < count; ++i) copy_later(copy_params(targets[i], sources[i], sizes[i]), stream);
  });
}

DRIVER_API cuMemcpyWithAttributesAsync(CUdeviceptr target, CUdeviceptr source, size_t bytes,
                                       CUmemcpyAttributes* attributes, CUstream stream) {
  return call(__func__, Needs::Context, [&] {
    require(attributes != nullptr);
    copy_later(copy_params(target, source, bytes), stream);
  });
}
#endif

DRIVER_API cuMemsetD8_v2(CUdeviceptr target, unsigned char value, size_t count) {
  return call(__func__, Needs::Context, [&] { fill_now({target, 0, value, 1, count, 1}); });
}

DRIVER_API cuMemsetD16_v2(CUdeviceptr target, unsigned short value, size_t count) {
  return call(__func__, Needs::Context, [&] { fill_now({target, 0, value, 2, count, 1}); });
}

DRIVER_API cuMemsetD32_v2(CUdeviceptr target, unsigned value, size_t count) {
  return call(__func__, Needs::Context, [&] { fill_now({target, 0, value, 4, count, 1}); });
}

DRIVER_API cuMemsetD8Async(CUdeviceptr target, unsigned char value, size_t count, CUstream stream) {
  return call(__func__, Needs::Context, [&] { fill_later({target, 0, value, 1, count, 1}, stream); });
}

DRIVER_API cuMemsetD16Async(CUdeviceptr target, unsigned short value, size_t count, CUstream stream) {
  return call(__func__, Needs::Context, [&] { fill_later({target, 0, value, 2, count, 1}, stream); });
}

DRIVER_API cuMemsetD32Async(CUdeviceptr target, unsigned value, size_t count, CUstream stream) {
  return call(__func__, Needs::Context, [&] { fill_later({target, 0, value, 4, count, 1}, stream); });
}

DRIVER_API cuMemsetD2D8Async(CUdeviceptr target, size_t pitch, unsigned char value, size_t width, size_t height,
                             CUstream stream) {
  return call(__func__, Needs::Context, [&] { fill_later({target, pitch, value, 1, width, height}, stream); });
}

DRIVER_API cuMemsetD2D16Async(CUdeviceptr target, size_t pitch, unsigned short value, size_t width, size_t height,
                              CUstream stream) {
  return call(__func__, Needs::Context, [&] { fill_later({target, pitch, value, 2, width, height}, stream); });
}

DRIVER_API cuMemsetD2D32Async(CUdeviceptr target, size_t pitch, unsigned value, size_t width, size_t height,
                              CUstream stream) {
  return call(__func__, Needs::Context, [&] { fill_later({target, pitch, value, 4, width, height}, stream); });
}

/// Registers a plain function as a kernel, so that emulated libraries can be launched, captured and replayed.
DRIVER_CONTROL CUfunction cudagraph_driver_native(const char* name, void (*native)(void**), const size_t* sizes,
                                                  size_t count) {
  std::lock_guard<std::recursive_mutex> lock(driver().mutex);
  auto function = std::make_shared<Function>();
  function->name = name;
  function->native = native;
  function->sizes.assign(sizes, sizes + count);
  function->alignments = function->sizes;
  return driver().functions.add(function);
}

/// For emulated libraries: makes the launch fail when the bytes are not usable device memory.
DRIVER_CONTROL void cudagraph_driver_touch(const char* who, uint64_t address, uint64_t bytes) {
  if (driver().settings.strict && !(device_visible(address, bytes) && accessible(address, bytes)))
    fault(CUDA_ERROR_ILLEGAL_ADDRESS, std::string(who) + " lies outside of any allocation");
}
