// The emulated libcudnn's interface: descriptors that are created, set, finalized and read.
#include "cudnn.h"

#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>

#define CUDNN_EXPORT extern "C" __attribute__((visibility("default")))
#define CUDNN_API CUDNN_EXPORT int

namespace cudnn {
namespace {

constexpr size_t version = 92800;
constexpr int64_t many = 1 << 20;

/// What an attribute of a kind takes: its type and at most how many.
struct Rule {
  int type;
  int64_t most;
};

const std::map<int, std::map<int, Rule>>& rules() {
  static const std::map<int, std::map<int, Rule>> table = {
      {kind_tensor,
       {{tensor_alignment, {type_int64, 1}}, {tensor_type, {type_data, 1}}, {tensor_dims, {type_int64, 9}},
        {tensor_strides, {type_int64, 9}}, {tensor_id, {type_int64, 1}}, {tensor_virtual, {type_bool, 1}},
        {tensor_by_value, {type_bool, 1}}}},
      {kind_convolution,
       {{conv_comp, {type_data, 1}}, {conv_mode, {type_conv_mode, 1}}, {conv_dilations, {type_int64, 6}},
        {conv_strides, {type_int64, 6}}, {conv_after, {type_int64, 6}}, {conv_before, {type_int64, 6}},
        {conv_dims, {type_int64, 1}}}},
      {kind_pointwise, {{pointwise_mode, {type_pointwise_mode, 1}}, {pointwise_prec, {type_data, 1}}}},
      {kind_op_convolution,
       {{op_conv_alpha, {type_scalar, 1}}, {op_conv_beta, {type_scalar, 1}}, {op_conv_desc, {type_descriptor, 1}},
        {op_conv_w, {type_descriptor, 1}}, {op_conv_x, {type_descriptor, 1}}, {op_conv_y, {type_descriptor, 1}}}},
      {kind_op_pointwise,
       {{op_pointwise_desc, {type_descriptor, 1}}, {op_pointwise_x, {type_descriptor, 1}},
        {op_pointwise_b, {type_descriptor, 1}}, {op_pointwise_y, {type_descriptor, 1}}}},
      {kind_op_attention,
       {{op_attention_q, {type_descriptor, 1}}, {op_attention_k, {type_descriptor, 1}},
        {op_attention_v, {type_descriptor, 1}}, {op_attention_o, {type_descriptor, 1}},
        {op_attention_scale, {type_descriptor, 1}}, {op_attention_graph, {type_descriptor, 1}},
        {op_attention_in, {type_int64, 1}}, {op_attention_out, {type_int64, 1}}}},
      {kind_op_band,
       {{op_band_x, {type_descriptor, 1}}, {op_band_keys, {type_descriptor, 1}},
        {op_band_queries, {type_descriptor, 1}}, {op_band_left, {type_descriptor, 1}},
        {op_band_shift, {type_descriptor, 1}}, {op_band_b, {type_descriptor, 1}}, {op_band_y, {type_descriptor, 1}},
        {op_band_mode, {type_pointwise_mode, 1}}}},
      {kind_graph, {{graph_handle, {type_handle, 1}}, {graph_ops, {type_descriptor, many}}}},
      {kind_heuristic,
       {{heur_mode, {type_heur_mode, 1}}, {heur_graph, {type_descriptor, 1}}, {heur_device, {type_descriptor, 1}}}},
      {kind_plan,
       {{plan_handle, {type_handle, 1}}, {plan_config, {type_descriptor, 1}}, {plan_device, {type_descriptor, 1}}}},
      {kind_pack,
       {{pack_ids, {type_int64, many}}, {pack_pointers, {type_pointer, many}}, {pack_workspace, {type_pointer, 1}}}},
      {kind_config, {}},
      {kind_engine, {}}};
  return table;
}

size_t size_of(int type) {
  switch (type) {
    case type_bool: case type_char: return 1;
    case type_handle: case type_int64: case type_double: case type_pointer: case type_descriptor: return 8;
    default: return 4;
  }
}

struct Handle {
  CUstream stream = nullptr;
};

std::recursive_mutex mutex;
std::map<Descriptor*, std::shared_ptr<Descriptor>> live;
std::set<Handle*> handles;
std::string last_reason;

Status fail(Status status, const std::string& reason) {
  last_reason = reason;
  return status;
}

Descriptor* find(void* pointer) {
  auto found = live.find(static_cast<Descriptor*>(pointer));
  return found == live.end() ? nullptr : found->second.get();
}

Status set(Descriptor& target, int attribute, int type, int64_t count, const void* data) {
  if (target.finalized) return fail(bad_param, "a finalized descriptor cannot be set");
  const auto& known = rules().at(target.kind);
  auto rule = known.find(attribute);
  if (rule == known.end()) return fail(bad_param, "this kind of descriptor has no such attribute");
  bool scalar = rule->second.type == type_scalar && (type == type_float || type == type_double);
  if (!scalar && rule->second.type != type) return fail(attribute_type, "the attribute has another type");
  if (count < 1 || count > rule->second.most) return fail(bad_param, "so many elements do not fit the attribute");
  Value value;
  value.type = type;
  if (type == type_descriptor) {
    for (int64_t i = 0; i < count; ++i) {
      Descriptor* given = find(static_cast<void* const*>(data)[i]);
      if (!given) return fail(bad_param, "a descriptor was destroyed, or never made");
      if (!given->finalized) return fail(not_finalized, "a descriptor has to be finalized before it is used");
      value.descriptors.push_back(std::make_shared<const Descriptor>(*given));
    }
  } else {
    auto* bytes = static_cast<const std::byte*>(data);
    value.bytes.assign(bytes, bytes + count * size_of(type));
  }
  target.values[attribute] = std::move(value);
  return success;
}

Status read(int type, int wanted, int64_t room, int64_t* count, void* data, const void* source, int64_t elements) {
  if (type != wanted) return fail(attribute_type, "the attribute has another type");
  if (count) *count = elements;
  if (data) std::memcpy(data, source, std::min(room, elements) * size_of(type));
  return success;
}

Status results(const Descriptor& heuristic, int type, int64_t room, int64_t* count, void* data) {
  if (type != type_descriptor) return fail(attribute_type, "results are descriptors");
  std::vector<Engine> found;
  std::string reason;
  Shared graph = heuristic.one(heur_graph);
  Status status = engines_for(*graph, heuristic.get<int>(heur_mode) == 2, found, reason);
  if (status) return fail(status, reason);
  if (count) *count = static_cast<int64_t>(found.size());
  for (int64_t i = 0; data && i < std::min<int64_t>(room, found.size()); ++i) {
    Descriptor* target = find(static_cast<void**>(data)[i]);
    if (!target || target->kind != kind_config) return fail(bad_param, "results go into engine configurations");
    target->finalized = true, target->graph = graph, target->engine = found[i];
  }
  return success;
}

Status get(const Descriptor& source, int attribute, int type, int64_t room, int64_t* count, void* data) {
  if (!source.finalized) return fail(not_initialized, "the descriptor is not finalized");
  if (source.kind == kind_heuristic && attribute == heur_results) return results(source, type, room, count, data);
  if (source.kind == kind_plan && attribute == plan_workspace)
    return read(type, type_int64, room, count, data, &source.engine.workspace, 1);
  if (source.kind == kind_engine && attribute == engine_note) {
    const auto& notes = source.engine.notes;
    return read(type, type_note, room, count, data, notes.data(), static_cast<int64_t>(notes.size()));
  }
  if (source.kind == kind_config && attribute == config_engine) {
    Descriptor* target = data && room == 1 ? find(*static_cast<void**>(data)) : nullptr;
    bool fits = type == type_descriptor && target && target->kind == kind_engine;
    if (!fits) return fail(bad_param, "one engine is wanted");
    target->finalized = true, target->graph = source.graph, target->engine = source.engine;
    if (count) *count = 1;
    return success;
  }
  auto found = source.values.find(attribute);
  if (found == source.values.end() || !found->second.descriptors.empty()) return fail(bad_param, "no such attribute");
  const auto& bytes = found->second.bytes;
  return read(type, found->second.type, room, count, data, bytes.data(), bytes.size() / size_of(type));
}

Status finalize(Descriptor& descriptor) {
  if (descriptor.finalized) return fail(bad_param, "it is finalized already");
  std::string reason;
  if (Status status = check(descriptor, reason)) return fail(status, reason);
  if (descriptor.kind == kind_plan) {
    if (!handles.count(descriptor.get<Handle*>(plan_handle))) return fail(bad_param, "a plan needs a handle");
    Shared config = descriptor.one(plan_config);
    descriptor.graph = config->graph, descriptor.engine = config->engine;
  }
  descriptor.finalized = true;
  return success;
}

}  // namespace
}  // namespace cudnn

using namespace cudnn;

CUDNN_EXPORT size_t cudnnGetVersion() { return version; }

CUDNN_EXPORT const char* cudnnGetErrorString(int status) {
  switch (status) {
    case success: return "CUDNN_STATUS_SUCCESS";
    case not_initialized: return "CUDNN_STATUS_NOT_INITIALIZED";
    case bad_param: return "CUDNN_STATUS_BAD_PARAM";
    case null_pointer: return "CUDNN_STATUS_BAD_PARAM_NULL_POINTER";
    case misaligned: return "CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER";
    case not_finalized: return "CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED";
    case attribute_type: return "CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE";
    case not_supported: return "CUDNN_STATUS_NOT_SUPPORTED";
    case not_supported_pattern: return "CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN";
    case not_supported_shape: return "CUDNN_STATUS_NOT_SUPPORTED_SHAPE";
    case not_supported_type: return "CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE";
    case host_allocation_failed: return "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED";
    case execution_failed: return "CUDNN_STATUS_EXECUTION_FAILED";
  }
  return "CUDNN_STATUS_UNKNOWN";
}

CUDNN_EXPORT void cudnnGetLastErrorString(char* message, size_t room) {
  std::lock_guard lock(mutex);
  std::snprintf(message, room, "%s", last_reason.c_str());
  last_reason.clear();
}

CUDNN_API cudnnCreate(Handle** out) {
  std::lock_guard lock(mutex);
  if (!out) return fail(null_pointer, "handle");
  CUcontext context = nullptr;
  if (cuCtxGetCurrent(&context) != CUDA_SUCCESS || !context) return fail(not_initialized, "no context is current");
  handles.insert(*out = new Handle);
  return success;
}

CUDNN_API cudnnDestroy(Handle* handle) {
  std::lock_guard lock(mutex);
  if (!handles.erase(handle)) return fail(bad_param, "no such handle");
  delete handle;
  return success;
}

CUDNN_API cudnnSetStream(Handle* handle, CUstream stream) {
  std::lock_guard lock(mutex);
  if (!handles.count(handle)) return fail(bad_param, "no such handle");
  handle->stream = stream;
  return success;
}

CUDNN_API cudnnBackendCreateDescriptor(int kind, Descriptor** out) {
  std::lock_guard lock(mutex);
  if (!out) return fail(null_pointer, "descriptor");
  if (!rules().count(kind)) return fail(host_allocation_failed, "no such kind of descriptor");
  auto made = std::make_shared<Descriptor>();
  made->kind = kind;
  live[*out = made.get()] = made;
  return success;
}

CUDNN_API cudnnBackendDestroyDescriptor(Descriptor* descriptor) {
  std::lock_guard lock(mutex);
  if (!descriptor) return fail(null_pointer, "descriptor");
  return live.erase(descriptor) ? success : fail(bad_param, "destroyed before, or never made");
}

CUDNN_API cudnnBackendSetAttribute(Descriptor* descriptor, int attribute, int type, int64_t count, const void* data) {
  std::lock_guard lock(mutex);
  if (!descriptor || !data) return fail(null_pointer, descriptor ? "arrayOfElements" : "descriptor");
  Descriptor* target = find(descriptor);
  return target ? set(*target, attribute, type, count, data) : fail(bad_param, "destroyed before, or never made");
}

CUDNN_API cudnnBackendGetAttribute(Descriptor* descriptor, int attribute, int type, int64_t room, int64_t* count,
                                   void* data) {
  std::lock_guard lock(mutex);
  Descriptor* source = find(descriptor);
  return source ? get(*source, attribute, type, room, count, data) : fail(bad_param, "destroyed before, or never made");
}

CUDNN_API cudnnBackendFinalize(Descriptor* descriptor) {
  std::lock_guard lock(mutex);
  if (!descriptor) return fail(null_pointer, "descriptor");
  Descriptor* target = find(descriptor);
  return target ? finalize(*target) : fail(bad_param, "destroyed before, or never made");
}

CUDNN_API cudnnBackendExecute(Handle* handle, Descriptor* plan, Descriptor* pack) {
  std::lock_guard lock(mutex);
  Descriptor *the_plan = find(plan), *the_pack = find(pack);
  bool known = handles.count(handle) && the_plan && the_pack;
  if (!known) return fail(bad_param, "a handle, a plan and a pack are wanted");
  if (!the_plan->finalized || !the_pack->finalized) return fail(not_finalized, "plan and pack have to be finalized");
  if (the_plan->get<Handle*>(plan_handle) != handle) return fail(bad_param, "the plan was made for another handle");
  std::string reason;
  Status status = launch(*the_plan, *the_pack, handle->stream, reason);
  return status ? fail(status, reason) : success;
}

/// For tests: how many descriptors and handles exist.
CUDNN_EXPORT size_t cudagraph_cudnn_live() {
  std::lock_guard lock(mutex);
  return live.size() + handles.size();
}
