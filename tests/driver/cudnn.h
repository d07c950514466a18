// An emulated libcudnn: the backend interface of cuDNN 9 as far as convolutions and attention need it. Graphs are
// checked as the library checks them (what it answers was tried with 9.28) and run as one kernel of the emulated
// driver, so that they are stream-ordered, captured and replayed.
//
// Declared here, not included: the wheels that the tests need do not bring cuDNN's headers. The numbers are part of the
// library's binary interface.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cudnn {

enum Status {
  success = 0, not_initialized = 1001, bad_param = 2000, null_pointer = 2002, misaligned = 2003, not_finalized = 2004,
  attribute_type = 2010, not_supported = 3000, not_supported_pattern = 3001, not_supported_shape = 3002,
  not_supported_type = 3003, host_allocation_failed = 4003, execution_failed = 5000
};

enum Type {
  type_handle = 0, type_data = 1, type_bool = 2, type_int64 = 3, type_float = 4, type_double = 5, type_pointer = 6,
  type_conv_mode = 7, type_heur_mode = 8, type_note = 11, type_pointwise_mode = 14, type_descriptor = 15,
  type_char = 24, type_scalar = -1  // float or double
};

enum Data { data_float = 0, data_double = 1, data_half = 2, data_int32 = 4, data_bfloat16 = 9 };

enum Kind {
  kind_pointwise = 0, kind_convolution = 1, kind_engine = 2, kind_config = 3, kind_heuristic = 4, kind_plan = 5,
  kind_op_convolution = 10, kind_op_pointwise = 13, kind_graph = 15, kind_pack = 16, kind_tensor = 17,
  kind_device = 38, kind_op_attention = 41, kind_op_band = 44
};

enum Attribute {
  pointwise_mode = 0, pointwise_prec = 1,
  conv_comp = 100, conv_mode, conv_dilations, conv_strides, conv_after, conv_before, conv_dims,
  heur_mode = 200, heur_graph, heur_results, heur_device = 204,
  config_engine = 300,
  plan_handle = 400, plan_config, plan_workspace, plan_device = 407,
  op_conv_alpha = 700, op_conv_beta, op_conv_desc, op_conv_w, op_conv_x, op_conv_y,
  op_pointwise_desc = 750, op_pointwise_x, op_pointwise_b, op_pointwise_y,
  graph_handle = 800, graph_ops,
  tensor_alignment = 900, tensor_type, tensor_dims, tensor_strides, tensor_id = 906, tensor_virtual, tensor_by_value,
  pack_ids = 1000, pack_pointers, pack_workspace = 1003,
  engine_note = 1303,
  op_attention_q = 2800, op_attention_k, op_attention_v, op_attention_o, op_attention_scale = 2805,
  op_attention_graph = 2811, op_attention_in, op_attention_out,
  op_band_x = 3000, op_band_keys, op_band_queries, op_band_left, op_band_shift, op_band_b, op_band_y, op_band_mode
};

enum Mode { mode_add = 0, mode_relu = 100, mode_greater = 302, mode_greater_equal = 303 };
enum Note { note_tensor_core = 0, note_nondeterministic = 4 };

struct Descriptor;
using Shared = std::shared_ptr<const Descriptor>;

struct Value {
  int type = 0;
  std::vector<std::byte> bytes;
  std::vector<Shared> descriptors;  // as they were when they were set: the library copies them
};

/// A way to compute a graph: what it does to numbers, and the memory it asks for.
struct Engine {
  std::vector<int> notes;
  int64_t workspace = 0;
  bool rounds_to_tf32 = false;
};

struct Descriptor {
  int kind = 0;
  bool finalized = false;
  std::map<int, Value> values;
  Shared graph;  // of an engine, its configuration and plan
  Engine engine;

  bool has(int attribute) const { return values.count(attribute) != 0; }
  Shared one(int attribute) const { return has(attribute) ? values.at(attribute).descriptors.at(0) : nullptr; }
  const std::vector<Shared>& all(int attribute) const { return values.at(attribute).descriptors; }
  template <class T> std::vector<T> list(int attribute) const {
    auto found = values.find(attribute);
    if (found == values.end()) return {};
    auto* data = reinterpret_cast<const T*>(found->second.bytes.data());
    return std::vector<T>(data, data + found->second.bytes.size() / sizeof(T));
  }
  template <class T> T get(int attribute, T otherwise = {}) const {
    auto found = list<T>(attribute);
    return found.empty() ? otherwise : found[0];
  }
  std::vector<int64_t> dims() const { return list<int64_t>(tensor_dims); }
  std::vector<int64_t> strides() const { return list<int64_t>(tensor_strides); }
  int64_t id() const { return get<int64_t>(tensor_id); }
  bool is_virtual() const { return get<bool>(tensor_virtual); }
  bool is_by_value() const { return get<bool>(tensor_by_value); }
  int data() const { return get<int>(tensor_type); }
};

/// The tensors of an operation: what it reads, and what it writes.
struct Ports {
  std::vector<Shared> inputs;
  Shared output;
};

Ports ports_of(const Descriptor& operation);
size_t width_of(int data);
/// One past the last element, counted from the first.
int64_t extent_of(const Descriptor& tensor);
/// Every tensor in memory, or by value, of the graph and the graphs inside of it.
std::vector<Shared> tensors_of(const Descriptor& graph);

/// What is wrong with a descriptor that is to be finalized; `reason` says it in words.
Status check(const Descriptor& descriptor, std::string& reason);
/// The engines that a graph has, best first; `general`: those that take anything, not those of the model of speed.
Status engines_for(const Descriptor& graph, bool general, std::vector<Engine>& found, std::string& reason);
/// Queues the plan on a stream.
Status launch(const Descriptor& plan, const Descriptor& pack, CUstream stream, std::string& reason);

}  // namespace cudnn
