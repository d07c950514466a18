// Between the API's parameter structs and the work they describe.
#include <algorithm>

#include "capture.h"
#include "graph.h"
#include "memory.h"
#include "module.h"

namespace emulated {

namespace {

template <class To, class From> To reinterpret(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

void check_all_zero(const CUgraphNodeParams& params, size_t used) {
  auto* bytes = reinterpret_cast<const unsigned char*>(&params);
  size_t first = offsetof(CUgraphNodeParams, kernel) + used;
  for (size_t i = first; i < sizeof params; ++i) require(!bytes[i]);
  for (int word : params.reserved0) require(!word);
}

size_t used_bytes(const CUgraphNodeParams& params) {
  switch (static_cast<int>(params.type)) {
    case CU_GRAPH_NODE_TYPE_KERNEL: return sizeof params.kernel;
    case CU_GRAPH_NODE_TYPE_MEMCPY: return sizeof params.memcpy;
    case CU_GRAPH_NODE_TYPE_MEMSET: return sizeof params.memset;
    case CU_GRAPH_NODE_TYPE_HOST: return sizeof params.host;
    case CU_GRAPH_NODE_TYPE_GRAPH: return sizeof params.graph;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT: return sizeof params.eventWait;
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD: return sizeof params.eventRecord;
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC: return sizeof params.alloc;
    case CU_GRAPH_NODE_TYPE_MEM_FREE: return sizeof params.free;
    case CU_GRAPH_NODE_TYPE_CONDITIONAL: return sizeof params.conditional;
    default: return sizeof params - offsetof(CUgraphNodeParams, kernel);
  }
}

Work child_from(const CUDA_CHILD_GRAPH_NODE_PARAMS& params, Graph& parent) {
  auto child = live(params.graph);
  require(child.get() != &parent);
  if (params.ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE) {
    require(!child->parent && !child->executables);
    return ChildWork{child};
  }
  require(!holds_memory_nodes(*child) && !holds_conditionals(*child));
  return ChildWork{clone_graph(*child)};
}

Work alloc_from(CUDA_MEM_ALLOC_NODE_PARAMS& params, const Graph& graph) {
  require(params.bytesize > 0 && params.poolProps.handleTypes == CU_MEM_HANDLE_TYPE_NONE);
  require(!graph.parent);
  bool on_host = params.poolProps.location.type != CU_MEM_LOCATION_TYPE_DEVICE;
  auto memory = reserve_for_graph(default_pool(on_host), params.bytesize);
  params.dptr = memory->address;
  return AllocWork{memory, params.bytesize, params.poolProps};
}

Work free_from(CUdeviceptr address, const Graph& graph) {
  const Allocation* found = allocation_at(address);
  require(found && found->begin == address && !graph.parent);
  return FreeWork{address};
}

/// The condition must have been made for this graph or one around it, and serves one node only.
Conditional* condition_for(CUgraphConditionalHandle handle, const Graph& graph) {
  for (const Graph* around = &graph; around; around = around->parent ? around->parent->graph : nullptr)
    for (Conditional* condition : around->conditionals)
      if (reinterpret_cast<CUgraphConditionalHandle>(condition) == handle) return condition;
  fail(CUDA_ERROR_INVALID_VALUE);
}

Work conditional_from(CUDA_CONDITIONAL_NODE_PARAMS& params, const Graph& graph) {
  Conditional* condition = condition_for(params.handle, graph);
  require(!condition->used);
  bool fits = params.type == CU_GRAPH_COND_TYPE_WHILE ? params.size == 1
              : params.type == CU_GRAPH_COND_TYPE_IF  ? params.size == 1 || params.size == 2
                                                      : params.size > 0;
  require(fits && params.type <= CU_GRAPH_COND_TYPE_SWITCH);
  condition->used = true;
  ConditionalWork work{condition, params.type, {}, std::make_shared<std::vector<CUgraph>>()};
  for (unsigned i = 0; i < params.size; ++i) {
    work.bodies.push_back(make_graph());
    work.bodies.back()->conditional_body = true;
    work.handles->push_back(work.bodies.back()->handle);
  }
  params.phGraph_out = work.handles->data();
  return work;
}

}  // namespace

KernelWork kernel_from(const CUDA_KERNEL_NODE_PARAMS_v2& p) {
  auto function = function_of(p.func, p.kern);
  KernelWork work{function,
                  {p.gridDimX, p.gridDimY, p.gridDimZ},
                  {p.blockDimX, p.blockDimY, p.blockDimZ},
                  p.sharedMemBytes,
                  copy_arguments(*function, p.kernelParams, p.extra),
                  {}};
  check_launch(work);
  return work;
}

CUDA_KERNEL_NODE_PARAMS_v2 kernel_params(Node& node) {
  auto& work = std::get<KernelWork>(node.work);
  node.parameters.clear();
  for (auto& argument : work.arguments) node.parameters.push_back(argument.data());
  CUDA_KERNEL_NODE_PARAMS_v2 p{};
  for (const auto& [handle, function] : driver().functions)
    if (function == work.function) p.func = handle;
  for (const auto& [handle, kernel] : driver().kernels)
    if (!p.func && kernel == work.function) p.kern = handle;
  p.gridDimX = work.grid[0], p.gridDimY = work.grid[1], p.gridDimZ = work.grid[2];
  p.blockDimX = work.block[0], p.blockDimY = work.block[1], p.blockDimZ = work.block[2];
  p.sharedMemBytes = work.shared;
  p.kernelParams = node.parameters.data();
  p.ctx = current_context();
  return p;
}

FillWork fill_from(const CUDA_MEMSET_NODE_PARAMS_v2& p) {
  FillWork work{p.dst, p.pitch, p.value, p.elementSize, p.width, p.height};
  require(p.width && p.height);
  check_fill(work);
  return work;
}

CUDA_MEMSET_NODE_PARAMS_v2 fill_params(const FillWork& work) {
  CUDA_MEMSET_NODE_PARAMS_v2 p{};
  p.dst = work.target, p.pitch = work.pitch, p.value = work.value, p.elementSize = work.element;
  p.width = work.width, p.height = work.height, p.ctx = current_context();
  return p;
}

CopyWork copy_from(const CUDA_MEMCPY3D& p) {
  require(p.WidthInBytes && p.Height && p.Depth);
  check_copy(p);
  return {p, nullptr};
}

Work work_from(CUgraphNodeParams& params, Graph& graph) {
  check_all_zero(params, used_bytes(params));
  switch (static_cast<int>(params.type)) {
    case CU_GRAPH_NODE_TYPE_KERNEL: return kernel_from(reinterpret<CUDA_KERNEL_NODE_PARAMS_v2>(params.kernel));
    case CU_GRAPH_NODE_TYPE_MEMCPY: return copy_from(params.memcpy.copyParams);
    case CU_GRAPH_NODE_TYPE_MEMSET: return fill_from(params.memset);
    case CU_GRAPH_NODE_TYPE_HOST: require(params.host.fn); return HostWork{params.host.fn, params.host.userData};
    case CU_GRAPH_NODE_TYPE_GRAPH: return child_from(params.graph, graph);
    case CU_GRAPH_NODE_TYPE_EMPTY: return EmptyWork{};
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT: return EventWaitWork{live(params.eventWait.event)};
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD: return EventRecordWork{live(params.eventRecord.event)};
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC: {
      auto alloc = reinterpret<CUDA_MEM_ALLOC_NODE_PARAMS>(params.alloc);
      Work work = alloc_from(alloc, graph);
      params.alloc.dptr = alloc.dptr;
      return work;
    }
    case CU_GRAPH_NODE_TYPE_MEM_FREE: return free_from(params.free.dptr, graph);
    case CU_GRAPH_NODE_TYPE_CONDITIONAL: return conditional_from(params.conditional, graph);
    default: fail(CUDA_ERROR_NOT_SUPPORTED);
  }
}

void params_from(CUgraphNodeParams& params, Node& node) {
  params = {};
  params.type = type_of(node.work);
  struct Fill {
    CUgraphNodeParams& out;
    Node& node;
    void operator()(const KernelWork&) { out.kernel = reinterpret<CUDA_KERNEL_NODE_PARAMS_v3>(kernel_params(node)); }
    void operator()(const CopyWork& work) { out.memcpy.copyParams = work.params; }
    void operator()(const FillWork& work) { out.memset = fill_params(work); }
    void operator()(const HostWork& work) { out.host.fn = work.function, out.host.userData = work.data; }
    void operator()(const EmptyWork&) {}
    void operator()(const ChildWork& work) { out.graph.graph = work.graph->handle; }
    void operator()(const EventRecordWork& work) { out.eventRecord.event = work.event->handle; }
    void operator()(const EventWaitWork& work) { out.eventWait.event = work.event->handle; }
    void operator()(const AllocWork& work) {
      out.alloc.poolProps = work.properties;
      out.alloc.bytesize = work.bytes;
      out.alloc.dptr = work.memory->address;
    }
    void operator()(const FreeWork& work) { out.free.dptr = work.address; }
    void operator()(const ConditionalWork& work) {
      out.conditional.handle = reinterpret_cast<CUgraphConditionalHandle>(work.condition);
      out.conditional.type = work.type;
      out.conditional.size = static_cast<unsigned>(work.bodies.size());
      out.conditional.phGraph_out = work.handles->data();
      out.conditional.ctx = current_context();
    }
  };
  std::visit(Fill{params, node}, node.work);
}

}  // namespace emulated
