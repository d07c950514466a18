// cuGraphDebugDotPrint: one cluster per graph, nested graphs inside.
#include <cstdio>
#include <fstream>

#include "graph.h"
#include "memory.h"
#include "module.h"

namespace emulated {

namespace {

const char* type_name(const Work& work) {
  static const char* names[] = {"KERNEL",       "MEMCPY",     "MEMSET",      "HOST",      "EMPTY",   "GRAPH",
                                "EVENT_RECORD", "EVENT_WAIT", "CONDITIONAL", "MEM_ALLOC", "MEM_FREE"};
  return names[work.index()];
}

std::string label(const Node& node) {
  std::string text = type_name(node.work);
  if (auto* kernel = std::get_if<KernelWork>(&node.work)) text += "\\n" + kernel->function->name;
  return text;
}

std::string id(const Node& node) { return "node" + std::to_string(reinterpret_cast<uintptr_t>(node.handle)); }

void print(std::ostream& out, const Graph& graph, const std::string& indent) {
  std::string name = std::to_string(reinterpret_cast<uintptr_t>(graph.handle));
  out << indent << "subgraph cluster_" << name << " {\n" << indent << "  label=\"graph_" << name << "\";\n";
  for (const auto& node : graph.nodes) {
    out << indent << "  " << id(*node) << " [label=\"" << label(*node) << "\"];\n";
    for (const auto& nested : nested_graphs(node->work)) print(out, *nested, indent + "  ");
  }
  for (const auto& node : graph.nodes)
    for (const Edge& edge : node->in) out << indent << "  " << id(*edge.from) << " -> " << id(*node) << ";\n";
  out << indent << "}\n";
}

}  // namespace
}  // namespace emulated

using namespace emulated;

DRIVER_API cuGraphDebugDotPrint(CUgraph handle, const char* path, unsigned) {
  return call(__func__, Needs::Init, [&] {
    auto graph = live(handle);
    require(path != nullptr);
    std::ofstream file(path);
    require(file.is_open(), CUDA_ERROR_OPERATING_SYSTEM);
    file << "digraph dot {\n";
    print(file, *graph, "  ");
    file << "}\n";
  });
}
