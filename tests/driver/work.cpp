#include "work.h"

#include <algorithm>

#include "capture.h"
#include "memory.h"
#include "module.h"

namespace emulated {

namespace {

constexpr size_t default_shared = 48 << 10;

struct Side {
  uintptr_t base;
  size_t pitch, height;
};

uintptr_t operand(CUmemorytype type, const void* host, CUdeviceptr device) {
  require(type == CU_MEMORYTYPE_HOST || type == CU_MEMORYTYPE_DEVICE || type == CU_MEMORYTYPE_UNIFIED,
          CUDA_ERROR_NOT_SUPPORTED);
  return type == CU_MEMORYTYPE_HOST ? reinterpret_cast<uintptr_t>(host) : static_cast<uintptr_t>(device);
}

size_t row(size_t pitch, const CUDA_MEMCPY3D& p) { return pitch ? pitch : p.WidthInBytes; }
size_t rows(size_t height, const CUDA_MEMCPY3D& p) { return height ? height : std::max<size_t>(p.Height, 1); }

Side source(const CUDA_MEMCPY3D& p) {
  Side side{operand(p.srcMemoryType, p.srcHost, p.srcDevice), row(p.srcPitch, p), rows(p.srcHeight, p)};
  side.base += p.srcXInBytes + side.pitch * (p.srcY + side.height * p.srcZ);
  return side;
}

Side target(const CUDA_MEMCPY3D& p) {
  Side side{operand(p.dstMemoryType, p.dstHost, p.dstDevice), row(p.dstPitch, p), rows(p.dstHeight, p)};
  side.base += p.dstXInBytes + side.pitch * (p.dstY + side.height * p.dstZ);
  return side;
}

size_t extent(const Side& side, const CUDA_MEMCPY3D& p) {
  size_t height = std::max<size_t>(p.Height, 1), depth = std::max<size_t>(p.Depth, 1);
  return p.WidthInBytes + side.pitch * (height - 1 + side.height * (depth - 1));
}

/// Memory the operand may name: device memory for DEVICE, anything that is not device memory for HOST.
void check_operand(CUmemorytype type, const Side& side, size_t bytes) {
  if (!driver().settings.strict) return;
  bool on_device = in_device_range(side.base);
  require(type != CU_MEMORYTYPE_HOST || !on_device);
  if (type == CU_MEMORYTYPE_DEVICE || on_device) require(device_visible(side.base, bytes));
}

[[noreturn]] void illegal(uintptr_t address, const std::string& who) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%zx", static_cast<size_t>(address));
  fault(CUDA_ERROR_ILLEGAL_ADDRESS, who + " uses address " + text + ", which is freed or was never allocated");
}

void need(uintptr_t address, size_t bytes, const char* who) {
  if (driver().settings.strict && !accessible(address, bytes)) illegal(address, who);
}

void copy_rows(const CUDA_MEMCPY3D& p, Side from, Side to) {
  for (size_t z = 0; z < std::max<size_t>(p.Depth, 1); ++z)
    for (size_t y = 0; y < std::max<size_t>(p.Height, 1); ++y)
      std::memmove(reinterpret_cast<void*>(to.base + to.pitch * (y + to.height * z)),
                   reinterpret_cast<const void*>(from.base + from.pitch * (y + from.height * z)), p.WidthInBytes);
}

void run(const CopyWork& work) {
  const CUDA_MEMCPY3D& p = work.params;
  if (!p.WidthInBytes) return;
  Side from = source(p), to = target(p);
  if (work.staged)
    from.base = reinterpret_cast<uintptr_t>(work.staged->data());
  else
    need(from.base, extent(from, p), "a copy");
  need(to.base, extent(to, p), "a copy");
  copy_rows(p, from, to);
}

void run(const FillWork& work) {
  size_t row_bytes = work.width * work.element;
  need(work.target, row_bytes + work.pitch * (std::max<size_t>(work.height, 1) - 1), "a fill");
  for (size_t y = 0; y < work.height; ++y) {
    auto* out = reinterpret_cast<unsigned char*>(work.target + work.pitch * y);
    for (size_t x = 0; x < row_bytes; x += work.element) std::memcpy(out + x, &work.value, work.element);
  }
}

void check_arguments(const KernelWork& work) {
  for (const auto& argument : work.arguments) {
    if (argument.size() != sizeof(uintptr_t)) continue;
    uintptr_t value;
    std::memcpy(&value, argument.data(), sizeof value);
    if (!plausible_pointer(value)) illegal(value, "kernel " + work.function->name);
  }
}

void run(const KernelWork& work) {
  if (driver().settings.strict) check_arguments(work);
  std::vector<void*> pointers;
  for (const auto& argument : work.arguments) pointers.push_back(const_cast<std::byte*>(argument.data()));
  run_kernel(*work.function, work, pointers.data());
}

void run(const HostWork& work) {
  Callback guard;
  work.function(work.data);
}

void run(const EventRecordWork& work) {
  work.event->stamp_ms = now_ms();
}

void run(const AllocWork& work) {
  Allocation* found = allocation_at(work.memory->address);
  if (!found) illegal(work.memory->address, "an allocation node");
  std::memset(reinterpret_cast<void*>(found->begin), fresh_poison, found->bytes);
  found->ready = true;
}

void run(const FreeWork& work) {
  Allocation* found = allocation_at(work.address);
  if (!found || !found->ready) illegal(work.address, "a free node");
  if (!found->of_graph) return release(work.address);
  std::memset(reinterpret_cast<void*>(found->begin), freed_poison, found->bytes);
  found->ready = false;
}

template <class Other> void run(const Other&) {}

}  // namespace

CUgraphNodeType type_of(const Work& work) {
  static constexpr CUgraphNodeType types[] = {
      CU_GRAPH_NODE_TYPE_KERNEL,       CU_GRAPH_NODE_TYPE_MEMCPY,     CU_GRAPH_NODE_TYPE_MEMSET,
      CU_GRAPH_NODE_TYPE_HOST,         CU_GRAPH_NODE_TYPE_EMPTY,      CU_GRAPH_NODE_TYPE_GRAPH,
      CU_GRAPH_NODE_TYPE_EVENT_RECORD, CU_GRAPH_NODE_TYPE_WAIT_EVENT, CU_GRAPH_NODE_TYPE_CONDITIONAL,
      CU_GRAPH_NODE_TYPE_MEM_ALLOC,    CU_GRAPH_NODE_TYPE_MEM_FREE};
  return types[work.index()];
}

void execute(const Work& work) {
  std::visit([](const auto& alternative) { run(alternative); }, work);
}

void submit(const std::shared_ptr<Stream>& stream, Work work) {
  if (check_capture(stream)) {
    capture_work(*stream, std::move(work));
    return;
  }
  auto shared = std::make_shared<Work>(std::move(work));
  enqueue(stream, {{}, [shared] { execute(*shared); }});
}

bool one_dimensional(const CUDA_MEMCPY3D& p) { return p.Height <= 1 && p.Depth <= 1; }

void check_copy(const CUDA_MEMCPY3D& p) {
  Side from = source(p), to = target(p);
  require(one_dimensional(p) || (from.pitch >= p.WidthInBytes && to.pitch >= p.WidthInBytes));
  check_operand(p.srcMemoryType, from, extent(from, p));
  check_operand(p.dstMemoryType, to, extent(to, p));
}

void check_fill(const FillWork& work) {
  require(work.element == 1 || work.element == 2 || work.element == 4);
  require(work.target % work.element == 0);
  require(work.height <= 1 || work.pitch >= work.width * work.element);
  if (driver().settings.strict && work.width && work.height)
    require(device_visible(work.target, work.width * work.element + work.pitch * (work.height - 1)));
}

void check_launch(const KernelWork& work) {
  const Size3 most_blocks{0x7fffffff, 65535, 65535}, most_threads{1024, 1024, 64};
  uint64_t threads = 1;
  for (int axis = 0; axis < 3; ++axis) {
    require(work.grid[axis] > 0 && work.grid[axis] <= most_blocks[axis]);
    require(work.block[axis] > 0 && work.block[axis] <= most_threads[axis]);
    threads *= work.block[axis];
  }
  require(threads <= 1024);
  size_t most_shared = std::max<size_t>(default_shared - work.function->static_shared, work.function->dynamic_shared);
  require(work.shared <= most_shared);
}

}  // namespace emulated
