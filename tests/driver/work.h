// The kinds of work that a stream runs or a graph node holds, and how each is carried out.
#pragma once

#include <array>

#include "driver.h"
#include "stream.h"

namespace emulated {

using Size3 = std::array<unsigned, 3>;

struct KernelWork {
  std::shared_ptr<Function> function;
  Size3 grid{}, block{};
  unsigned shared = 0;
  std::vector<std::vector<std::byte>> arguments;  // copied when they are set, as the driver does
  std::map<int, CUlaunchAttributeValue> attributes;
};

struct CopyWork {
  CUDA_MEMCPY3D params{};
  std::shared_ptr<std::vector<std::byte>> staged;  // the source of a copy from pageable memory, taken at the call
};

struct FillWork {
  CUdeviceptr target = 0;
  size_t pitch = 0;
  unsigned value = 0;
  unsigned element = 1;
  size_t width = 0, height = 1;
};

struct HostWork {
  CUhostFn function = nullptr;
  void* data = nullptr;
};

struct EmptyWork {};

struct ChildWork {
  std::shared_ptr<Graph> graph;
};

struct EventRecordWork {
  std::shared_ptr<Event> event;
};

struct EventWaitWork {
  std::shared_ptr<Event> event;
};

/// Kernels write the value through the handle, which is this object's address; so it is never freed.
struct Conditional {
  volatile unsigned value = 0;
  unsigned initial = 0;
  unsigned flags = 0;
  CUgraph graph{};
  bool used = false;
};

struct ConditionalWork {
  Conditional* condition = nullptr;
  CUgraphConditionalNodeType type{};
  std::vector<std::shared_ptr<Graph>> bodies;
  std::shared_ptr<std::vector<CUgraph>> handles;
};

/// The address of an allocation node. Given back when the last graph, executable or launch that has the node is gone.
struct GraphMemory {
  CUdeviceptr address = 0;

  explicit GraphMemory(CUdeviceptr taken) : address(taken) {}
  GraphMemory(const GraphMemory&) = delete;
  ~GraphMemory();
};

struct AllocWork {
  std::shared_ptr<const GraphMemory> memory;
  size_t bytes = 0;
  CUmemPoolProps properties{};
};

struct FreeWork {
  CUdeviceptr address = 0;
};

using Work = std::variant<KernelWork, CopyWork, FillWork, HostWork, EmptyWork, ChildWork, EventRecordWork,
                          EventWaitWork, ConditionalWork, AllocWork, FreeWork>;

CUgraphNodeType type_of(const Work& work);

/// Runs what needs no graph around it; faults become sticky errors.
void execute(const Work& work);

/// Queues the work, or adds it to the graph that the stream is capturing into.
void submit(const std::shared_ptr<Stream>& stream, Work work);

void check_launch(const KernelWork& work);
void check_copy(const CUDA_MEMCPY3D& params);
void check_fill(const FillWork& work);
bool one_dimensional(const CUDA_MEMCPY3D& params);

}  // namespace emulated
