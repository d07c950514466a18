// Graphs as the user builds them: nodes, edges, nested graphs, user objects.
#pragma once

#include "driver.h"
#include "work.h"

namespace emulated {

struct Edge {
  Node* from = nullptr;
  CUgraphEdgeData data{};
};

struct Node {
  CUgraphNode handle{};
  Graph* graph = nullptr;
  Work work;
  std::vector<Edge> in;             // in the order in which the edges were added
  CUgraphNode cloned_from{};
  std::vector<void*> parameters;    // what GetParams points to
};

struct UserObject {
  CUuserObject handle{};
  void* pointer = nullptr;
  CUhostFn destroy = nullptr;
  unsigned references = 0;
};

/// References to user objects, given back when the last graph, executable or launch that shares them is gone.
class UserReferences {
 public:
  ~UserReferences();
  void add(const std::shared_ptr<UserObject>& object, unsigned count);
  void remove(const std::shared_ptr<UserObject>& object, unsigned count);
  std::shared_ptr<UserReferences> copy() const;
  bool empty() const { return counts_.empty(); }

 private:
  std::map<std::shared_ptr<UserObject>, unsigned> counts_;
};

struct Graph {
  CUgraph handle{};
  std::vector<std::shared_ptr<Node>> nodes;  // in the order of insertion
  std::vector<Conditional*> conditionals;
  std::shared_ptr<UserReferences> references = std::make_shared<UserReferences>();
  Node* parent = nullptr;     // the child or conditional node that owns this graph
  bool conditional_body = false;
  bool capturing = false;
  unsigned executables = 0;   // alive, made from this graph
};

std::shared_ptr<Graph> make_graph();
/// Forgets the handles of a graph, its nodes and everything nested in them.
void forget_graph(Graph& graph);
Node* add_node(Graph& graph, Work work, const std::vector<Edge>& dependencies);
/// The edges that an API call names; fails on a stranger or a duplicate.
std::vector<Edge> edges_from(const Graph& graph, const CUgraphNode* from, const CUgraphEdgeData* data, size_t count);

/// A deep copy; nodes remember what they were cloned from.
std::shared_ptr<Graph> clone_graph(const Graph& graph);
/// Calls `visit` for every node, those of nested graphs included.
void for_each_node(const Graph& graph, const std::function<void(const Node&)>& visit);
bool holds_memory_nodes(const Graph& graph);
bool holds_conditionals(const Graph& graph);
std::vector<std::shared_ptr<Graph>> nested_graphs(const Work& work);

// Params.cpp: between the API's structs and Work.

KernelWork kernel_from(const CUDA_KERNEL_NODE_PARAMS_v2& params);
CUDA_KERNEL_NODE_PARAMS_v2 kernel_params(Node& node);
FillWork fill_from(const CUDA_MEMSET_NODE_PARAMS_v2& params);
CUDA_MEMSET_NODE_PARAMS_v2 fill_params(const FillWork& work);
CopyWork copy_from(const CUDA_MEMCPY3D& params);
/// Any kind of node. `graph` is where it goes: allocations and conditionals check it; out-fields of `params` are set.
Work work_from(CUgraphNodeParams& params, Graph& graph);
void params_from(CUgraphNodeParams& params, Node& node);

}  // namespace emulated
