// Executable graphs: the structure is fixed when they are made, the work of each node can be replaced.
#pragma once

#include "graph.h"

namespace emulated {

struct ExecNode {
  Work work;
  bool enabled = true;
};

/// One graph of an executable, nested ones included. Indices are into `nodes`.
struct ExecGraph {
  struct Place {
    size_t slot = 0;                   // into Exec::slots
    CUgraphNodeType type{};
    std::vector<size_t> in;            // in edge order
    std::vector<ExecGraph> nested;     // of a child graph or conditional node
  };
  std::vector<Place> nodes;            // in the order of insertion
  std::vector<size_t> order;           // in which they run
};

/// What a launch needs to keep: later changes of the executable make a new one.
struct ExecState {
  std::vector<ExecNode> nodes;
  std::shared_ptr<UserReferences> references;
};

struct Exec {
  CUgraphExec handle{};
  uint64_t flags = 0;
  std::weak_ptr<Graph> source;
  std::shared_ptr<const ExecGraph> structure;
  std::map<CUgraphNode, size_t> slots;  // by the node of the definition
  std::shared_ptr<ExecState> state;
  Mark last;  // the newest launch: the next one waits for it

  /// The state to change: a copy when a queued launch still uses the present one.
  ExecState& writable();
};

struct Refusal {
  CUgraphExecUpdateResult reason{};
  CUgraphNode node{};
  CUgraphNode from{};
};

std::shared_ptr<Exec> instantiate(const std::shared_ptr<Graph>& graph, uint64_t flags, CUgraphNode* offender);
void launch(const std::shared_ptr<Exec>& exec, const std::shared_ptr<Stream>& stream);

/// Why `next` may not replace `old` in an executable; SUCCESS when it may.
CUgraphExecUpdateResult refusal(const Work& old, const Work& next, uint64_t flags);
/// Replaces all work of `structure` by that of `graph`, or changes nothing and says why.
Refusal update(Exec& exec, const ExecGraph& structure, const Graph& graph);

}  // namespace emulated
