#include "exec.h"

#include <algorithm>
#include <random>

#include "capture.h"
#include "memory.h"

namespace emulated {

ExecState& Exec::writable() {
  if (state.use_count() > 1) state = std::make_shared<ExecState>(*state);
  return *state;
}

namespace {

/// Picks among ready nodes. Anything but insertion order shows up missing dependencies.
class Chooser {
 public:
  Chooser() : order_(driver().settings.order) {
    if (order_.rfind("random:", 0) == 0) random_.seed(std::stoul(order_.substr(7)));
  }
  size_t operator()(size_t ready) {
    if (order_ == "forward") return 0;
    if (order_ == "reverse") return ready - 1;
    return random_() % ready;
  }

 private:
  std::string order_;
  std::mt19937 random_;
};

std::vector<size_t> execution_order(const ExecGraph& graph) {
  Chooser choose;
  std::vector<size_t> waiting(graph.nodes.size()), ready, order;
  std::vector<std::vector<size_t>> out(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    waiting[i] = graph.nodes[i].in.size();
    for (size_t from : graph.nodes[i].in) out[from].push_back(i);
    if (!waiting[i]) ready.push_back(i);
  }
  while (!ready.empty()) {
    size_t at = choose(ready.size());
    size_t node = ready[at];
    ready.erase(ready.begin() + at);
    order.push_back(node);
    for (size_t next : out[node])
      if (!--waiting[next]) ready.push_back(next);
  }
  return order;
}

ExecGraph build(const Graph& graph, Exec& exec, CUgraphNode* offender) {
  ExecGraph made;
  std::map<const Node*, size_t> index;
  for (size_t i = 0; i < graph.nodes.size(); ++i) index[graph.nodes[i].get()] = i;
  for (const auto& node : graph.nodes) {
    ExecGraph::Place place{exec.state->nodes.size(), type_of(node->work), {}, {}};
    exec.slots[node->handle] = place.slot;
    exec.state->nodes.push_back({node->work, true});
    for (const Edge& edge : node->in) place.in.push_back(index.at(edge.from));
    for (const auto& nested : nested_graphs(node->work)) place.nested.push_back(build(*nested, exec, offender));
    made.nodes.push_back(std::move(place));
  }
  made.order = execution_order(made);
  if (made.order.size() != made.nodes.size()) {
    std::vector<bool> placed(made.nodes.size());
    for (size_t i : made.order) placed[i] = true;
    size_t stuck = std::find(placed.begin(), placed.end(), false) - placed.begin();
    if (offender) *offender = graph.nodes[stuck]->handle;
    fail(CUDA_ERROR_INVALID_VALUE);
  }
  return made;
}

void check_conditionals(const Graph& graph) {
  for (const Conditional* condition : graph.conditionals) require(condition->used);
}

void collect_events(const ExecGraph& graph, const ExecState& state, std::vector<std::shared_ptr<Event>>& out) {
  for (const auto& place : graph.nodes) {
    if (auto* record = std::get_if<EventRecordWork>(&state.nodes[place.slot].work)) out.push_back(record->event);
    for (const auto& nested : place.nested) collect_events(nested, state, out);
  }
}

struct Run {
  std::shared_ptr<const ExecGraph> structure;
  std::shared_ptr<const ExecState> state;

  void operator()(const ExecGraph& graph) const {
    for (size_t i : graph.order) {
      const auto& place = graph.nodes[i];
      const ExecNode& node = state->nodes[place.slot];
      if (!node.enabled) continue;
      if (std::holds_alternative<ChildWork>(node.work))
        (*this)(place.nested[0]);
      else if (auto* conditional = std::get_if<ConditionalWork>(&node.work))
        branch(*conditional, place.nested);
      else
        execute(node.work);
    }
  }

  void branch(const ConditionalWork& work, const std::vector<ExecGraph>& bodies) const {
    if (work.type == CU_GRAPH_COND_TYPE_WHILE) {
      while (work.condition->value) (*this)(bodies[0]);
      return;
    }
    unsigned value = work.condition->value;
    size_t chosen = work.type == CU_GRAPH_COND_TYPE_SWITCH ? value : !value;
    if (chosen < bodies.size()) (*this)(bodies[chosen]);
  }
};

void start(const ExecState& state) {
  for (const ExecNode& node : state.nodes)
    if (auto* conditional = std::get_if<ConditionalWork>(&node.work))
      if (conditional->condition->flags & CU_GRAPH_COND_ASSIGN_DEFAULT)
        conditional->condition->value = conditional->condition->initial;
}

/// Memory that the last launch did not free makes the next one fail, unless it frees by itself.
void renew_allocations(const Exec& exec) {
  for (const ExecNode& node : exec.state->nodes) {
    auto* work = std::get_if<AllocWork>(&node.work);
    Allocation* found = work ? allocation_at(work->memory->address) : nullptr;
    if (!found || !found->ready) continue;
    require(exec.flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH);
    found->ready = false;
  }
}

}  // namespace

std::shared_ptr<Exec> instantiate(const std::shared_ptr<Graph>& graph, uint64_t flags, CUgraphNode* offender) {
  constexpr uint64_t known = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
                             CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
  require(!(flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH), CUDA_ERROR_NOT_SUPPORTED);
  require(!(flags & ~known) && !graph->capturing && !graph->conditional_body);
  require(!holds_memory_nodes(*graph) || !graph->executables);
  check_conditionals(*graph);
  auto exec = std::make_shared<Exec>();
  exec->flags = flags;
  exec->source = graph;
  exec->state = std::make_shared<ExecState>();
  exec->structure = std::make_shared<const ExecGraph>(build(*graph, *exec, offender));
  exec->state->references = graph->references->copy();
  exec->handle = driver().execs.add(exec);
  ++graph->executables;
  return exec;
}

void launch(const std::shared_ptr<Exec>& exec, const std::shared_ptr<Stream>& stream) {
  if (check_capture(stream)) {
    auto graph = exec->source.lock();
    require(graph != nullptr, CUDA_ERROR_NOT_SUPPORTED);
    capture_work(*stream, ChildWork{clone_graph(*graph)});
    return;
  }
  renew_allocations(*exec);
  Run run{exec->structure, exec->state};
  exec->last = enqueue(stream, {{exec->last}, [run] {
                                 start(*run.state);
                                 run(*run.structure);
                               }});
  std::vector<std::shared_ptr<Event>> events;
  collect_events(*exec->structure, *exec->state, events);
  for (const auto& event : events) {
    event->capture = nullptr;
    event->recorded = true;
    event->asked = false;
    event->mark = exec->last;
  }
}

}  // namespace emulated

using namespace emulated;

namespace {

/// The slot of a node that must still be in the graph the executable was made from, and be of this kind.
template <class Kind> ExecNode& node_in(Exec& exec, CUgraphNode handle) {
  auto node = live(handle);
  auto slot = exec.slots.find(handle);
  require(slot != exec.slots.end() && std::holds_alternative<Kind>(exec.state->nodes[slot->second].work));
  return exec.writable().nodes[slot->second];
}

template <class Kind> void set_work(CUgraphExec handle, CUgraphNode node, const std::function<Kind()>& make) {
  auto exec = live(handle);
  ExecNode& target = node_in<Kind>(*exec, node);
  Kind next = make();
  if constexpr (std::is_same_v<Kind, KernelWork>) next.attributes = std::get<KernelWork>(target.work).attributes;
  if constexpr (std::is_same_v<Kind, CopyWork>)  // stricter than a whole-graph update
    require(one_dimensional(next.params) && one_dimensional(std::get<CopyWork>(target.work).params));
  require(refusal(target.work, next, exec->flags) == CU_GRAPH_EXEC_UPDATE_SUCCESS);
  target.work = std::move(next);
}

const ExecGraph::Place* place_of(const ExecGraph& graph, size_t slot) {
  for (const auto& place : graph.nodes) {
    if (place.slot == slot) return &place;
    for (const auto& nested : place.nested)
      if (auto* found = place_of(nested, slot)) return found;
  }
  return nullptr;
}

void set_child(CUgraphExec handle, CUgraphNode node, CUgraph child) {
  auto exec = live(handle);
  node_in<ChildWork>(*exec, node);
  const auto* place = place_of(*exec->structure, exec->slots.at(node));
  Refusal refused = update(*exec, place->nested[0], *live(child));
  require(refused.reason == CU_GRAPH_EXEC_UPDATE_SUCCESS);
}

template <class Kind> void set_from(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams& params) {
  set_work<Kind>(exec, node, [&] {
    Graph none;
    return std::get<Kind>(work_from(params, none));
  });
}

void set_any(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams& params) {
  switch (static_cast<int>(params.type)) {
    case CU_GRAPH_NODE_TYPE_KERNEL: return set_from<KernelWork>(exec, node, params);
    case CU_GRAPH_NODE_TYPE_MEMCPY: return set_from<CopyWork>(exec, node, params);
    case CU_GRAPH_NODE_TYPE_MEMSET: return set_from<FillWork>(exec, node, params);
    case CU_GRAPH_NODE_TYPE_HOST: return set_from<HostWork>(exec, node, params);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD: return set_from<EventRecordWork>(exec, node, params);
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT: return set_from<EventWaitWork>(exec, node, params);
    case CU_GRAPH_NODE_TYPE_GRAPH: return set_child(exec, node, params.graph.graph);
    default: fail(CUDA_ERROR_NOT_SUPPORTED);
  }
}

ExecNode& switchable(Exec& exec, CUgraphNode handle) {
  live(handle);
  auto slot = exec.slots.find(handle);
  require(slot != exec.slots.end());
  const Work& work = exec.state->nodes[slot->second].work;
  require(std::holds_alternative<KernelWork>(work) || std::holds_alternative<CopyWork>(work) ||
          std::holds_alternative<FillWork>(work));
  return exec.writable().nodes[slot->second];
}

void make_exec(CUgraphExec* out, CUgraph graph, uint64_t flags, CUgraphNode* offender) {
  require(out != nullptr);
  *out = instantiate(live(graph), flags, offender)->handle;
}

}  // namespace

DRIVER_API cuGraphInstantiateWithFlags(CUgraphExec* out, CUgraph graph, unsigned long long flags) {
  return call(__func__, Needs::Context, [&] { make_exec(out, graph, flags, nullptr); });
}

DRIVER_API cuGraphInstantiateWithParams(CUgraphExec* out, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS* params) {
  CUgraphNode offender = nullptr;
  CUresult code = call(__func__, Needs::Context, [&] {
    require(params != nullptr);
    make_exec(out, graph, params->flags, &offender);
    if (params->flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) stream_of(params->hUploadStream);
  });
  if (!params) return code;
  params->hErrNode_out = offender;
  params->result_out = code == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS
                       : offender           ? CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE
                                            : CUDA_GRAPH_INSTANTIATE_ERROR;
  return code;
}

DRIVER_API cuGraphInstantiate_v2(CUgraphExec* out, CUgraph graph, CUgraphNode* offender, char* log, size_t room) {
  return call(__func__, Needs::Context, [&] {
    if (log && room) *log = 0;
    make_exec(out, graph, 0, offender);
  });
}

DRIVER_API cuGraphExecDestroy(CUgraphExec handle) {
  return call(__func__, Needs::Init, [&] {
    auto exec = live(handle);
    if (auto graph = exec->source.lock()) --graph->executables;
    driver().execs.remove(handle);
  });
}

DRIVER_API cuGraphExecGetFlags(CUgraphExec handle, cuuint64_t* flags) {
  return call(__func__, Needs::Init, [&] { *flags = live(handle)->flags; });
}

DRIVER_API cuGraphUpload(CUgraphExec handle, CUstream stream) {
  return call(__func__, Needs::Context, [&] {
    live(handle);
    refuse_while_capturing(*stream_of(stream));
  });
}

DRIVER_API cuGraphLaunch(CUgraphExec handle, CUstream stream) {
  return call(__func__, Needs::Context, [&] { launch(live(handle), stream_of(stream)); });
}

DRIVER_API cuGraphExecUpdate_v2(CUgraphExec handle, CUgraph graph, CUgraphExecUpdateResultInfo* info) {
  return call(__func__, Needs::Context, [&] {
    require(info != nullptr);
    *info = {CU_GRAPH_EXEC_UPDATE_ERROR, nullptr, nullptr};
    auto exec = live(handle);
    auto source = live(graph);
    require(!source->capturing);
    Refusal refused = update(*exec, *exec->structure, *source);
    *info = {refused.reason, refused.node, refused.from};
    require(refused.reason == CU_GRAPH_EXEC_UPDATE_SUCCESS, CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    exec->writable().references = source->references->copy();
  });
}

DRIVER_API cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                             const CUDA_KERNEL_NODE_PARAMS_v2* params) {
  return call(__func__, Needs::Context, [&] {
    require(params != nullptr);
    set_work<KernelWork>(exec, node, [&] { return kernel_from(*params); });
  });
}

DRIVER_API cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D* params, CUcontext) {
  return call(__func__, Needs::Context, [&] {
    require(params != nullptr);
    set_work<CopyWork>(exec, node, [&] { return copy_from(*params); });
  });
}

DRIVER_API cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS_v1* p,
                                          CUcontext context) {
  return call(__func__, Needs::Context, [&] {
    require(p != nullptr);
    CUDA_MEMSET_NODE_PARAMS_v2 wide{p->dst, p->pitch, p->value, p->elementSize, p->width, p->height, context};
    set_work<FillWork>(exec, node, [&] { return fill_from(wide); });
  });
}

DRIVER_API cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_HOST_NODE_PARAMS_v1* params) {
  return call(__func__, Needs::Context, [&] {
    require(params && params->fn);
    set_work<HostWork>(exec, node, [&] { return HostWork{params->fn, params->userData}; });
  });
}

DRIVER_API cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child) {
  return call(__func__, Needs::Context, [&] { set_child(exec, node, child); });
}

DRIVER_API cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event) {
  return call(__func__, Needs::Context,
              [&] { set_work<EventRecordWork>(exec, node, [&] { return EventRecordWork{live(event)}; }); });
}

DRIVER_API cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event) {
  return call(__func__, Needs::Context,
              [&] { set_work<EventWaitWork>(exec, node, [&] { return EventWaitWork{live(event)}; }); });
}

DRIVER_API cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams* params) {
  return call(__func__, Needs::Context, [&] {
    require(params != nullptr);
    set_any(exec, node, *params);
  });
}

DRIVER_API cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned enabled) {
  return call(__func__, Needs::Context, [&] { switchable(*live(exec), node).enabled = enabled != 0; });
}

DRIVER_API cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned* enabled) {
  return call(__func__, Needs::Context, [&] { *enabled = switchable(*live(exec), node).enabled; });
}
