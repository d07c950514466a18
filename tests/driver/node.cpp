// Adding nodes to a graph, reading and changing their parameters there.
#include "graph.h"
#include "memory.h"

using namespace emulated;

namespace {

/// Event, host, allocation and free nodes may not stand in the body of a conditional, however deep.
void check_place(const Graph& graph, const Work& work) {
  bool in_body = false;
  for (const Graph* around = &graph; around; around = around->parent ? around->parent->graph : nullptr)
    in_body |= around->conditional_body;
  bool allowed = std::holds_alternative<KernelWork>(work) || std::holds_alternative<EmptyWork>(work) ||
                 std::holds_alternative<ChildWork>(work) || std::holds_alternative<FillWork>(work) ||
                 std::holds_alternative<CopyWork>(work) || std::holds_alternative<ConditionalWork>(work);
  require(!in_body || allowed, CUDA_ERROR_NOT_SUPPORTED);
}

void add(CUgraphNode* out, CUgraph handle, const CUgraphNode* from, const CUgraphEdgeData* data, size_t count,
         const std::function<Work(Graph&)>& make) {
  auto graph = live(handle);
  require(out != nullptr);
  auto edges = edges_from(*graph, from, data, count);
  Work work = make(*graph);
  check_place(*graph, work);
  *out = add_node(*graph, std::move(work), edges)->handle;
}

template <class Kind> std::shared_ptr<Node> node_of(CUgraphNode handle) {
  auto node = live(handle);
  require(std::holds_alternative<Kind>(node->work));
  return node;
}

template <class Kind> Kind& work_of(CUgraphNode handle) { return std::get<Kind>(node_of<Kind>(handle)->work); }

CUDA_MEMSET_NODE_PARAMS_v2 widen(const CUDA_MEMSET_NODE_PARAMS_v1& p) {
  return {p.dst, p.pitch, p.value, p.elementSize, p.width, p.height, nullptr};
}

CUDA_KERNEL_NODE_PARAMS_v2 widen(const CUDA_KERNEL_NODE_PARAMS_v1& p) {
  CUDA_KERNEL_NODE_PARAMS_v2 wide{};
  std::memcpy(&wide, &p, sizeof p);
  return wide;
}

void set_kernel(CUgraphNode handle, const CUDA_KERNEL_NODE_PARAMS_v2& params) {
  auto& old = work_of<KernelWork>(handle);
  KernelWork work = kernel_from(params);
  work.attributes = old.attributes;
  old = std::move(work);
}

void set_params(CUgraphNode handle, CUgraphNodeParams* params) {
  auto node = live(handle);
  require(params && params->type == type_of(node->work));
  bool fixed = std::holds_alternative<ConditionalWork>(node->work) || std::holds_alternative<AllocWork>(node->work) ||
               std::holds_alternative<FreeWork>(node->work);
  require(!fixed, CUDA_ERROR_NOT_SUPPORTED);
  if (params->type == CU_GRAPH_NODE_TYPE_KERNEL) {
    CUDA_KERNEL_NODE_PARAMS_v2 kernel;
    std::memcpy(&kernel, &params->kernel, sizeof kernel);
    return set_kernel(handle, kernel);
  }
  Work work = work_from(*params, *node->graph);
  for (const auto& nested : nested_graphs(node->work)) forget_graph(*nested);
  node->work = std::move(work);
  for (const auto& nested : nested_graphs(node->work)) nested->parent = node.get();
}

}  // namespace

DRIVER_API cuGraphAddNode_v2(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, const CUgraphEdgeData* data,
                             size_t count, CUgraphNodeParams* params) {
  return call(__func__, Needs::Context, [&] {
    require(params != nullptr);
    add(out, graph, from, data, count, [&](Graph& target) { return work_from(*params, target); });
  });
}

DRIVER_API cuGraphAddNode_v3(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, const CUgraphEdgeData* data,
                             size_t count, CUgraphNodeParams* params) {
  return cuGraphAddNode_v2(out, graph, from, data, count, params);
}

#undef cuGraphAddNode
DRIVER_API cuGraphAddNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count,
                          CUgraphNodeParams* params) {
  return cuGraphAddNode_v2(out, graph, from, nullptr, count, params);
}

DRIVER_API cuGraphAddKernelNode_v2(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count,
                                   const CUDA_KERNEL_NODE_PARAMS_v2* params) {
  return call(__func__, Needs::Context, [&] {
    require(params != nullptr);
    add(out, graph, from, nullptr, count, [&](Graph&) { return Work{kernel_from(*params)}; });
  });
}

DRIVER_API cuGraphAddKernelNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count,
                                const CUDA_KERNEL_NODE_PARAMS_v1* params) {
  auto wide = widen(*params);
  return cuGraphAddKernelNode_v2(out, graph, from, count, &wide);
}

DRIVER_API cuGraphAddMemcpyNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count,
                                const CUDA_MEMCPY3D* params, CUcontext context) {
  return call(__func__, Needs::Context, [&] {
    require(params != nullptr);
    if (context) live(context, CUDA_ERROR_INVALID_CONTEXT);
    add(out, graph, from, nullptr, count, [&](Graph&) { return Work{copy_from(*params)}; });
  });
}

DRIVER_API cuGraphAddMemsetNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count,
                                const CUDA_MEMSET_NODE_PARAMS_v1* params, CUcontext context) {
  return call(__func__, Needs::Context, [&] {
    require(params != nullptr);
    if (context) live(context, CUDA_ERROR_INVALID_CONTEXT);
    add(out, graph, from, nullptr, count, [&](Graph&) { return Work{fill_from(widen(*params))}; });
  });
}

DRIVER_API cuGraphAddHostNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count,
                              const CUDA_HOST_NODE_PARAMS_v1* params) {
  return call(__func__, Needs::Context, [&] {
    require(params && params->fn);
    add(out, graph, from, nullptr, count, [&](Graph&) { return Work{HostWork{params->fn, params->userData}}; });
  });
}

DRIVER_API cuGraphAddChildGraphNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count,
                                    CUgraph child) {
  return call(__func__, Needs::Context, [&] {
    CUgraphNodeParams params{};
    params.type = CU_GRAPH_NODE_TYPE_GRAPH;
    params.graph.graph = child;
    add(out, graph, from, nullptr, count, [&](Graph& target) { return work_from(params, target); });
  });
}

DRIVER_API cuGraphAddEmptyNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count) {
  return call(__func__, Needs::Context,
              [&] { add(out, graph, from, nullptr, count, [](Graph&) { return Work{EmptyWork{}}; }); });
}

DRIVER_API cuGraphAddEventRecordNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count,
                                     CUevent event) {
  return call(__func__, Needs::Context, [&] {
    add(out, graph, from, nullptr, count, [&](Graph&) { return Work{EventRecordWork{live(event)}}; });
  });
}

DRIVER_API cuGraphAddEventWaitNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count,
                                   CUevent event) {
  return call(__func__, Needs::Context, [&] {
    add(out, graph, from, nullptr, count, [&](Graph&) { return Work{EventWaitWork{live(event)}}; });
  });
}

DRIVER_API cuGraphAddMemAllocNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count,
                                  CUDA_MEM_ALLOC_NODE_PARAMS* alloc) {
  return call(__func__, Needs::Context, [&] {
    CUgraphNodeParams params{};
    params.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC;
    std::memcpy(&params.alloc, alloc, sizeof *alloc);
    add(out, graph, from, nullptr, count, [&](Graph& target) { return work_from(params, target); });
    alloc->dptr = params.alloc.dptr;
  });
}

DRIVER_API cuGraphAddMemFreeNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* from, size_t count,
                                 CUdeviceptr address) {
  return call(__func__, Needs::Context, [&] {
    CUgraphNodeParams params{};
    params.type = CU_GRAPH_NODE_TYPE_MEM_FREE;
    params.free.dptr = address;
    add(out, graph, from, nullptr, count, [&](Graph& target) { return work_from(params, target); });
  });
}

DRIVER_API cuGraphConditionalHandleCreate(CUgraphConditionalHandle* out, CUgraph handle, CUcontext, unsigned initial,
                                          unsigned flags) {
  return call(__func__, Needs::Context, [&] {
    require(out && flags <= CU_GRAPH_COND_ASSIGN_DEFAULT);
    auto graph = live(handle);
    auto* condition = new Conditional;
    condition->value = condition->initial = initial;
    condition->flags = flags;
    condition->graph = handle;
    graph->conditionals.push_back(condition);
    *out = reinterpret_cast<CUgraphConditionalHandle>(condition);
  });
}

DRIVER_API cuGraphNodeSetParams(CUgraphNode node, CUgraphNodeParams* params) {
  return call(__func__, Needs::Context, [&] { set_params(node, params); });
}

DRIVER_API cuGraphNodeSetParams_v2(CUgraphNode node, CUgraphNodeParams* params) {
  return cuGraphNodeSetParams(node, params);
}

DRIVER_API cuGraphNodeGetParams(CUgraphNode node, CUgraphNodeParams* params) {
  return call(__func__, Needs::Context, [&] { params_from(*params, *live(node)); });
}

DRIVER_API cuGraphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS_v2* params) {
  return call(__func__, Needs::Context, [&] { *params = kernel_params(*node_of<KernelWork>(node)); });
}

DRIVER_API cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v2* params) {
  return call(__func__, Needs::Context, [&] { set_kernel(node, *params); });
}

DRIVER_API cuGraphMemcpyNodeGetParams(CUgraphNode node, CUDA_MEMCPY3D* params) {
  return call(__func__, Needs::Context, [&] { *params = work_of<CopyWork>(node).params; });
}

DRIVER_API cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D* params) {
  return call(__func__, Needs::Context, [&] { work_of<CopyWork>(node) = copy_from(*params); });
}

DRIVER_API cuGraphMemsetNodeGetParams(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS_v1* params) {
  return call(__func__, Needs::Context, [&] {
    auto wide = fill_params(work_of<FillWork>(node));
    std::memcpy(params, &wide, sizeof *params);
  });
}

DRIVER_API cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS_v1* params) {
  return call(__func__, Needs::Context, [&] { work_of<FillWork>(node) = fill_from(widen(*params)); });
}

DRIVER_API cuGraphHostNodeGetParams(CUgraphNode node, CUDA_HOST_NODE_PARAMS_v1* params) {
  return call(__func__, Needs::Context, [&] {
    const auto& work = work_of<HostWork>(node);
    params->fn = work.function, params->userData = work.data;
  });
}

DRIVER_API cuGraphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS_v1* params) {
  return call(__func__, Needs::Context, [&] {
    require(params && params->fn);
    work_of<HostWork>(node) = {params->fn, params->userData};
  });
}

DRIVER_API cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph* out) {
  return call(__func__, Needs::Context, [&] { *out = work_of<ChildWork>(node).graph->handle; });
}

DRIVER_API cuGraphEventRecordNodeGetEvent(CUgraphNode node, CUevent* out) {
  return call(__func__, Needs::Context, [&] { *out = work_of<EventRecordWork>(node).event->handle; });
}

DRIVER_API cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent event) {
  return call(__func__, Needs::Context, [&] { work_of<EventRecordWork>(node).event = live(event); });
}

DRIVER_API cuGraphEventWaitNodeGetEvent(CUgraphNode node, CUevent* out) {
  return call(__func__, Needs::Context, [&] { *out = work_of<EventWaitWork>(node).event->handle; });
}

DRIVER_API cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent event) {
  return call(__func__, Needs::Context, [&] { work_of<EventWaitWork>(node).event = live(event); });
}

DRIVER_API cuGraphMemAllocNodeGetParams(CUgraphNode handle, CUDA_MEM_ALLOC_NODE_PARAMS* out) {
  return call(__func__, Needs::Context, [&] {
    CUgraphNodeParams params;
    params_from(params, *node_of<AllocWork>(handle));
    std::memcpy(out, &params.alloc, sizeof *out);
  });
}

DRIVER_API cuGraphMemFreeNodeGetParams(CUgraphNode node, CUdeviceptr* out) {
  return call(__func__, Needs::Context, [&] { *out = work_of<FreeWork>(node).address; });
}

DRIVER_API cuGraphKernelNodeSetAttribute(CUgraphNode node, CUlaunchAttributeID id,
                                         const CUlaunchAttributeValue* value) {
  return call(__func__, Needs::Context, [&] {
    require(value != nullptr);
    work_of<KernelWork>(node).attributes[id] = *value;
  });
}

DRIVER_API cuGraphKernelNodeGetAttribute(CUgraphNode node, CUlaunchAttributeID id, CUlaunchAttributeValue* value) {
  return call(__func__, Needs::Context, [&] {
    require(value != nullptr);
    const auto& attributes = work_of<KernelWork>(node).attributes;
    auto found = attributes.find(id);
    *value = found == attributes.end() ? CUlaunchAttributeValue{} : found->second;
  });
}

DRIVER_API cuGraphKernelNodeCopyAttributes(CUgraphNode target, CUgraphNode source) {
  return call(__func__, Needs::Context,
              [&] { work_of<KernelWork>(target).attributes = work_of<KernelWork>(source).attributes; });
}
