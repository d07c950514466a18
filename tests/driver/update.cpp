// Whole-graph update: pairs the nodes of an executable with those of a graph, as the driver does, and says why not.
#include <algorithm>
#include <optional>
#include <set>

#include "exec.h"
#include "memory.h"
#include "module.h"

namespace emulated {

namespace {

CUgraphExecUpdateResult kernel_refusal(const KernelWork& old, const KernelWork& next, uint64_t flags) {
  if (old.function->context != next.function->context) return CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE;
  auto attribute = [](const KernelWork& work, int id) {
    auto found = work.attributes.find(id);
    return found == work.attributes.end() ? CUlaunchAttributeValue{} : found->second;
  };
  if (attribute(old, CU_LAUNCH_ATTRIBUTE_COOPERATIVE).cooperative !=
      attribute(next, CU_LAUNCH_ATTRIBUTE_COOPERATIVE).cooperative)
    return CU_GRAPH_EXEC_UPDATE_ERROR_ATTRIBUTES_CHANGED;
  bool priorities = flags & CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
  if (priorities && attribute(old, CU_LAUNCH_ATTRIBUTE_PRIORITY).priority !=
                        attribute(next, CU_LAUNCH_ATTRIBUTE_PRIORITY).priority)
    return CU_GRAPH_EXEC_UPDATE_ERROR_ATTRIBUTES_CHANGED;
  return CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

bool same_extent(const CUDA_MEMCPY3D& a, const CUDA_MEMCPY3D& b) {
  return a.WidthInBytes == b.WidthInBytes && a.Height == b.Height && a.Depth == b.Depth;
}

CUgraphExecUpdateResult copy_refusal(const CUDA_MEMCPY3D& old, const CUDA_MEMCPY3D& next) {
  bool same_types = old.srcMemoryType == next.srcMemoryType && old.dstMemoryType == next.dstMemoryType;
  bool flat = one_dimensional(old) && one_dimensional(next);
  return same_types && (flat || same_extent(old, next)) ? CU_GRAPH_EXEC_UPDATE_SUCCESS
                                                        : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
}

CUgraphExecUpdateResult fill_refusal(const FillWork& old, const FillWork& next) {
  const Allocation *before = allocation_at(old.target), *after = allocation_at(next.target);
  bool same_kind = !before || !after || before->kind == after->kind;
  bool flat = old.height == 1 && next.height == 1;
  bool same_size = old.width == next.width && old.height == next.height && old.pitch == next.pitch;
  bool allowed = same_kind && old.element == next.element && (flat || same_size);
  return allowed ? CU_GRAPH_EXEC_UPDATE_SUCCESS : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
}

struct Pair {
  size_t slot;
  const Node* node;
};

/// Pairs one level of nodes from the exit nodes backwards, in edge order, then the levels below.
class Matcher {
 public:
  Matcher(const Exec& exec, std::vector<Pair>& pairs) : exec_(exec), pairs_(pairs) {}

  std::optional<Refusal> match(const ExecGraph& structure, const Graph& graph) {
    if (structure.nodes.size() != graph.nodes.size())
      return Refusal{CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, nullptr, nullptr};
    auto old_exits = exits(structure);
    auto new_exits = exits(graph);
    if (old_exits.size() != new_exits.size())
      return Refusal{CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, new_exits.back()->handle, nullptr};
    std::map<const Node*, size_t> twin;
    std::map<size_t, const Node*> back;
    std::vector<std::pair<size_t, const Node*>> open;
    for (size_t i = 0; i < old_exits.size(); ++i) {
      twin[new_exits[i]] = old_exits[i];
      back[old_exits[i]] = new_exits[i];
      open.emplace_back(old_exits[i], new_exits[i]);
    }
    for (size_t at = 0; at < open.size(); ++at) {
      auto [old, node] = open[at];
      const auto& in = structure.nodes[old].in;
      if (in.size() != node->in.size()) return topology(node, nullptr);
      for (size_t i = 0; i < in.size(); ++i) {
        const Node* from = node->in[i].from;
        bool known = twin.count(from) || back.count(in[i]);
        if (known && !(twin.count(from) && twin[from] == in[i])) return topology(node, from);
        if (known) continue;
        twin[from] = in[i];
        back[in[i]] = from;
        open.emplace_back(in[i], from);
      }
    }
    return compare(structure, graph, twin);
  }

 private:
  static Refusal topology(const Node* node, const Node* from) {
    return {CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, node->handle, from ? from->handle : nullptr};
  }

  static std::vector<size_t> exits(const ExecGraph& graph) {
    std::set<size_t> inner;
    for (const auto& place : graph.nodes) inner.insert(place.in.begin(), place.in.end());
    std::vector<size_t> found;
    for (size_t i = 0; i < graph.nodes.size(); ++i)
      if (!inner.count(i)) found.push_back(i);
    return found;
  }

  static std::vector<const Node*> exits(const Graph& graph) {
    std::set<const Node*> inner;
    for (const auto& node : graph.nodes)
      for (const Edge& edge : node->in) inner.insert(edge.from);
    std::vector<const Node*> found;
    for (const auto& node : graph.nodes)
      if (!inner.count(node.get())) found.push_back(node.get());
    return found;
  }

  std::optional<Refusal> compare(const ExecGraph& structure, const Graph& graph,
                                 const std::map<const Node*, size_t>& twin) {
    for (const auto& node : graph.nodes) {
      auto found = twin.find(node.get());
      if (found == twin.end()) return topology(node.get(), nullptr);  // part of a cycle
      const auto& place = structure.nodes[found->second];
      if (place.type != type_of(node->work))
        return Refusal{CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED, node->handle, nullptr};
      auto reason = refusal(exec_.state->nodes[place.slot].work, node->work, exec_.flags);
      if (reason != CU_GRAPH_EXEC_UPDATE_SUCCESS) return Refusal{reason, node->handle, nullptr};
      pairs_.push_back({place.slot, node.get()});
      if (auto refused = compare_nested(place, *node)) return refused;
    }
    return std::nullopt;
  }

  std::optional<Refusal> compare_nested(const ExecGraph::Place& place, const Node& node) {
    auto nested = nested_graphs(node.work);
    for (size_t i = 0; i < nested.size(); ++i)
      if (auto refused = match(place.nested[i], *nested[i])) return refused;
    return std::nullopt;
  }

  const Exec& exec_;
  std::vector<Pair>& pairs_;
};

/// A conditional keeps its own handle: kernels of the new bodies must already use it.
void adopt(ExecNode& target, const Work& next) {
  auto* old = std::get_if<ConditionalWork>(&target.work);
  if (!old) {
    target.work = next;
    return;
  }
  const auto& fresh = std::get<ConditionalWork>(next);
  old->condition = fresh.condition;
}

}  // namespace

CUgraphExecUpdateResult refusal(const Work& old, const Work& next, uint64_t flags) {
  if (old.index() != next.index()) return CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
  if (auto* kernel = std::get_if<KernelWork>(&old)) return kernel_refusal(*kernel, std::get<KernelWork>(next), flags);
  if (auto* copy = std::get_if<CopyWork>(&old)) return copy_refusal(copy->params, std::get<CopyWork>(next).params);
  if (auto* fill = std::get_if<FillWork>(&old)) return fill_refusal(*fill, std::get<FillWork>(next));
  if (auto* conditional = std::get_if<ConditionalWork>(&old)) {
    const auto& other = std::get<ConditionalWork>(next);
    bool same = conditional->type == other.type && conditional->bodies.size() == other.bodies.size();
    return same ? CU_GRAPH_EXEC_UPDATE_SUCCESS : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
  }
  bool memory = std::holds_alternative<AllocWork>(old) || std::holds_alternative<FreeWork>(old);
  return memory ? CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED : CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

Refusal update(Exec& exec, const ExecGraph& structure, const Graph& graph) {
  std::vector<Pair> pairs;
  Matcher matcher(exec, pairs);
  if (auto refused = matcher.match(structure, graph)) return *refused;
  ExecState& state = exec.writable();
  for (const Pair& pair : pairs) adopt(state.nodes[pair.slot], pair.node->work);
  return {CU_GRAPH_EXEC_UPDATE_SUCCESS, nullptr, nullptr};
}

}  // namespace emulated
