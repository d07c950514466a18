#include "graph.h"

#include <algorithm>
#include <set>

#include "memory.h"

namespace emulated {

std::shared_ptr<Graph> make_graph() {
  auto graph = std::make_shared<Graph>();
  graph->handle = driver().graphs.add(graph);
  return graph;
}

std::vector<std::shared_ptr<Graph>> nested_graphs(const Work& work) {
  if (auto* child = std::get_if<ChildWork>(&work)) return {child->graph};
  if (auto* conditional = std::get_if<ConditionalWork>(&work)) return conditional->bodies;
  return {};
}

namespace {

void forget_node(Node& node) {
  for (const auto& nested : nested_graphs(node.work)) forget_graph(*nested);
  driver().nodes.remove(node.handle);
}

}  // namespace

void forget_graph(Graph& graph) {
  for (const auto& node : graph.nodes) forget_node(*node);
  driver().graphs.remove(graph.handle);
}

Node* add_node(Graph& graph, Work work, const std::vector<Edge>& dependencies) {
  auto node = std::make_shared<Node>();
  node->graph = &graph;
  node->work = std::move(work);
  node->in = dependencies;
  node->handle = driver().nodes.add(node);
  for (const auto& nested : nested_graphs(node->work)) nested->parent = node.get();
  graph.nodes.push_back(node);
  return node.get();
}

std::vector<Edge> edges_from(const Graph& graph, const CUgraphNode* from, const CUgraphEdgeData* data, size_t count) {
  require(from || !count);
  std::vector<Edge> edges;
  std::set<CUgraphNode> seen;
  for (size_t i = 0; i < count; ++i) {
    auto node = live(from[i]);
    require(node->graph == &graph && seen.insert(from[i]).second);
    edges.push_back({node.get(), data ? data[i] : CUgraphEdgeData{}});
  }
  return edges;
}

namespace {

Work clone_work(const Work& work) {
  if (auto* child = std::get_if<ChildWork>(&work)) return ChildWork{clone_graph(*child->graph)};
  return work;
}

}  // namespace

std::shared_ptr<Graph> clone_graph(const Graph& graph) {
  auto clone = make_graph();
  std::map<const Node*, Node*> twins;
  for (const auto& node : graph.nodes) {
    Node* twin = add_node(*clone, clone_work(node->work), {});
    twin->cloned_from = node->handle;
    twins[node.get()] = twin;
  }
  for (const auto& node : graph.nodes)
    for (const Edge& edge : node->in) twins[node.get()]->in.push_back({twins[edge.from], edge.data});
  clone->references = graph.references->copy();
  return clone;
}

void for_each_node(const Graph& graph, const std::function<void(const Node&)>& visit) {
  for (const auto& node : graph.nodes) {
    visit(*node);
    for (const auto& nested : nested_graphs(node->work)) for_each_node(*nested, visit);
  }
}

bool holds_memory_nodes(const Graph& graph) {
  bool found = false;
  for_each_node(graph, [&](const Node& node) {
    found |= std::holds_alternative<AllocWork>(node.work) || std::holds_alternative<FreeWork>(node.work);
  });
  return found;
}

bool holds_conditionals(const Graph& graph) {
  bool found = false;
  for_each_node(graph, [&](const Node& node) { found |= std::holds_alternative<ConditionalWork>(node.work); });
  return found;
}

// User objects.

namespace {

void drop(const std::shared_ptr<UserObject>& object, unsigned count) {
  object->references -= std::min(count, object->references);
  if (object->references || !driver().user_objects.remove(object->handle)) return;
  Callback guard;
  object->destroy(object->pointer);
}

}  // namespace

UserReferences::~UserReferences() {
  for (const auto& [object, count] : counts_) drop(object, count);
}

void UserReferences::add(const std::shared_ptr<UserObject>& object, unsigned count) { counts_[object] += count; }

void UserReferences::remove(const std::shared_ptr<UserObject>& object, unsigned count) {
  auto found = counts_.find(object);
  require(found != counts_.end() && found->second >= count);
  found->second -= count;
  if (!found->second) counts_.erase(found);
  drop(object, count);
}

std::shared_ptr<UserReferences> UserReferences::copy() const {
  auto twin = std::make_shared<UserReferences>();
  twin->counts_ = counts_;
  for (const auto& [object, count] : counts_) object->references += count;
  return twin;
}

}  // namespace emulated

using namespace emulated;

namespace {

/// Fills the user's array, or only tells how many there are when it is null.
template <class Source, class Get> void list(const Source& items, CUgraphNode* out, size_t* count, Get get) {
  require(count != nullptr);
  size_t room = out ? *count : 0, i = 0;
  for (; i < items.size() && i < room; ++i) out[i] = get(items[i]);
  for (size_t rest = i; rest < room; ++rest) out[rest] = nullptr;
  *count = out ? i : items.size();
}

struct FullEdge {
  CUgraphNode from, to;
  CUgraphEdgeData data;
};

std::vector<FullEdge> all_edges(const Graph& graph) {
  std::vector<FullEdge> edges;
  for (const auto& node : graph.nodes)
    for (const Edge& edge : node->in) edges.push_back({edge.from->handle, node->handle, edge.data});
  return edges;
}

std::vector<FullEdge> edges_out_of(const Node& node) {
  std::vector<FullEdge> out;
  for (const FullEdge& edge : all_edges(*node.graph))
    if (edge.from == node.handle) out.push_back(edge);
  return out;
}

bool plain(const CUgraphEdgeData& data) { return !data.from_port && !data.to_port && !data.type; }

template <class Edges> void give_data(const Edges& edges, bool wanted, CUgraphEdgeData* data, size_t count) {
  for (size_t i = 0; i < edges.size() && i < count; ++i) {
    require(data || !wanted || plain(edges[i].data), CUDA_ERROR_LOSSY_QUERY);
    if (data) data[i] = edges[i].data;
  }
}

void get_edges(CUgraph handle, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data, size_t* count) {
  auto graph = live(handle);
  require(!from == !to);
  auto edges = all_edges(*graph);
  size_t room = *count;
  list(edges, from, count, [](const FullEdge& edge) { return edge.from; });
  size_t given = *count;
  if (to) list(edges, to, &room, [](const FullEdge& edge) { return edge.to; });
  give_data(edges, from != nullptr, data, from ? given : 0);
}

void get_dependencies(CUgraphNode handle, CUgraphNode* out, CUgraphEdgeData* data, size_t* count) {
  auto node = live(handle);
  list(node->in, out, count, [](const Edge& edge) { return edge.from->handle; });
  give_data(node->in, out != nullptr, data, out ? *count : 0);
}

void get_dependents(CUgraphNode handle, CUgraphNode* out, CUgraphEdgeData* data, size_t* count) {
  auto edges = edges_out_of(*live(handle));
  list(edges, out, count, [](const FullEdge& edge) { return edge.to; });
  give_data(edges, out != nullptr, data, out ? *count : 0);
}

void add_edges(CUgraph handle, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* data,
               size_t count) {
  auto graph = live(handle);
  for (size_t i = 0; i < count; ++i) {
    auto source = live(from[i]), target = live(to[i]);
    require(source->graph == graph.get() && target->graph == graph.get() && source != target);
    for (const Edge& edge : target->in) require(edge.from != source.get());
    target->in.push_back({source.get(), data ? data[i] : CUgraphEdgeData{}});
  }
}

void remove_edges(CUgraph handle, const CUgraphNode* from, const CUgraphNode* to, size_t count) {
  auto graph = live(handle);
  require(!holds_memory_nodes(*graph));
  for (size_t i = 0; i < count; ++i) {
    auto source = live(from[i]), target = live(to[i]);
    auto is_edge = [&](const Edge& edge) { return edge.from == source.get(); };
    auto found = std::find_if(target->in.begin(), target->in.end(), is_edge);
    require(found != target->in.end());
    target->in.erase(found);
  }
}

void destroy_node(const std::shared_ptr<Node>& node) {
  Graph& graph = *node->graph;
  require(!holds_memory_nodes(graph));
  for (const auto& other : graph.nodes) {
    auto from_node = [&](const Edge& edge) { return edge.from == node.get(); };
    other->in.erase(std::remove_if(other->in.begin(), other->in.end(), from_node), other->in.end());
  }
  forget_node(*node);
  graph.nodes.erase(std::find(graph.nodes.begin(), graph.nodes.end(), node));
}

std::shared_ptr<Node> find_clone(CUgraphNode original, const Graph& graph) {
  for (const auto& node : graph.nodes)
    if (node->cloned_from == original) return node;
  fail(CUDA_ERROR_INVALID_VALUE);
}

}  // namespace

DRIVER_API cuGraphCreate(CUgraph* out, unsigned flags) {
  return call(__func__, Needs::Init, [&] {
    require(out && flags == 0);
    *out = make_graph()->handle;
  });
}

DRIVER_API cuGraphDestroy(CUgraph handle) {
  return call(__func__, Needs::Init, [&] {
    auto graph = live(handle);
    require(!graph->parent && !graph->capturing);
    forget_graph(*graph);
  });
}

DRIVER_API cuGraphClone(CUgraph* out, CUgraph original) {
  return call(__func__, Needs::Init, [&] {
    auto graph = live(original);
    require(out && !holds_memory_nodes(*graph) && !holds_conditionals(*graph));
    *out = clone_graph(*graph)->handle;
  });
}

DRIVER_API cuGraphNodeFindInClone(CUgraphNode* out, CUgraphNode original, CUgraph clone) {
  return call(__func__, Needs::Init, [&] { *out = find_clone(original, *live(clone))->handle; });
}

DRIVER_API cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType* type) {
  return call(__func__, Needs::Init, [&] { *type = type_of(live(node)->work); });
}

DRIVER_API cuGraphGetNodes(CUgraph handle, CUgraphNode* out, size_t* count) {
  return call(__func__, Needs::Init, [&] {
    list(live(handle)->nodes, out, count, [](const auto& node) { return node->handle; });
  });
}

DRIVER_API cuGraphGetRootNodes(CUgraph handle, CUgraphNode* out, size_t* count) {
  return call(__func__, Needs::Init, [&] {
    std::vector<CUgraphNode> roots;
    for (const auto& node : live(handle)->nodes)
      if (node->in.empty()) roots.push_back(node->handle);
    list(roots, out, count, [](CUgraphNode node) { return node; });
  });
}

DRIVER_API cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* count) {
  return call(__func__, Needs::Init, [&] { get_edges(graph, from, to, nullptr, count); });
}

DRIVER_API cuGraphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data,
                              size_t* count) {
  return call(__func__, Needs::Init, [&] { get_edges(graph, from, to, data, count); });
}

DRIVER_API cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode* out, size_t* count) {
  return call(__func__, Needs::Init, [&] { get_dependencies(node, out, nullptr, count); });
}

DRIVER_API cuGraphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode* out, CUgraphEdgeData* data, size_t* count) {
  return call(__func__, Needs::Init, [&] { get_dependencies(node, out, data, count); });
}

DRIVER_API cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode* out, size_t* count) {
  return call(__func__, Needs::Init, [&] { get_dependents(node, out, nullptr, count); });
}

DRIVER_API cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode* out, CUgraphEdgeData* data, size_t* count) {
  return call(__func__, Needs::Init, [&] { get_dependents(node, out, data, count); });
}

DRIVER_API cuGraphAddDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count) {
  return call(__func__, Needs::Init, [&] { add_edges(graph, from, to, nullptr, count); });
}

DRIVER_API cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                     const CUgraphEdgeData* data, size_t count) {
  return call(__func__, Needs::Init, [&] { add_edges(graph, from, to, data, count); });
}

DRIVER_API cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count) {
  return call(__func__, Needs::Init, [&] { remove_edges(graph, from, to, count); });
}

DRIVER_API cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                        const CUgraphEdgeData*, size_t count) {
  return call(__func__, Needs::Init, [&] { remove_edges(graph, from, to, count); });
}

DRIVER_API cuGraphDestroyNode(CUgraphNode handle) {
  return call(__func__, Needs::Init, [&] { destroy_node(live(handle)); });
}

DRIVER_API cuUserObjectCreate(CUuserObject* out, void* pointer, CUhostFn destroy, unsigned references,
                              unsigned flags) {
  return call(__func__, Needs::Init, [&] {
    require(out && destroy && references && flags == CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
    auto object = std::make_shared<UserObject>();
    object->pointer = pointer;
    object->destroy = destroy;
    object->references = references;
    object->handle = *out = driver().user_objects.add(object);
  });
}

DRIVER_API cuUserObjectRetain(CUuserObject handle, unsigned count) {
  return call(__func__, Needs::Init, [&] { live(handle)->references += count; });
}

DRIVER_API cuUserObjectRelease(CUuserObject handle, unsigned count) {
  return call(__func__, Needs::Init, [&] {
    auto object = live(handle);
    require(count && count <= object->references);
    drop(object, count);
  });
}

DRIVER_API cuGraphRetainUserObject(CUgraph handle, CUuserObject user, unsigned count, unsigned flags) {
  return call(__func__, Needs::Init, [&] {
    auto graph = live(handle);
    auto object = live(user);
    require(count && flags <= CU_GRAPH_USER_OBJECT_MOVE);
    if (flags != CU_GRAPH_USER_OBJECT_MOVE) object->references += count;
    graph->references->add(object, count);
  });
}

DRIVER_API cuGraphReleaseUserObject(CUgraph handle, CUuserObject user, unsigned count) {
  return call(__func__, Needs::Init, [&] { live(handle)->references->remove(live(user), count); });
}
