// What the emulated libcudnn accepts: the rules of each kind of descriptor, and which graphs have engines.
#include <algorithm>
#include <functional>
#include <set>

#include "cudnn.h"

namespace cudnn {
namespace {

/// Collects the first thing that is wrong.
struct Checker {
  std::string& reason;
  Status status = success;

  void wants(bool condition, const char* what, Status otherwise = bad_param) {
    if (!condition && !status) status = otherwise, reason = what;
  }
};

bool known(int data) {
  return data == data_float || data == data_double || data == data_half || data == data_int32 || data == data_bfloat16;
}

bool is_tensor(const Shared& descriptor) { return descriptor && descriptor->kind == kind_tensor; }

void check_tensor(const Descriptor& t, Checker& c) {
  auto dims = t.dims(), strides = t.strides();
  c.wants(t.has(tensor_id) && t.has(tensor_type), "a tensor has an id and a type");
  c.wants(!dims.empty() && dims.size() == strides.size(), "as many strides as dimensions are wanted");
  c.wants(dims.size() <= 8, "a tensor has at most eight dimensions");
  c.wants(known(t.data()), "no such type", not_supported_type);
  for (int64_t length : dims) c.wants(length > 0, "lengths are positive");
  for (int64_t stride : strides) c.wants(stride >= 0, "strides are not negative");
  auto alignment = t.get<int64_t>(tensor_alignment, 1);
  c.wants(alignment > 0 && alignment % static_cast<int64_t>(std::max<size_t>(1, width_of(t.data()))) == 0,
          "the alignment is a multiple of the size of an element");
}

void check_convolution(const Descriptor& d, Checker& c) {
  auto rank = static_cast<size_t>(d.get<int64_t>(conv_dims));
  c.wants(rank == 2 || rank == 3, "two or three spatial dimensions are wanted");
  c.wants(d.has(conv_comp) && d.get<int>(conv_mode) == 1, "a cross correlation with a type of its sums is wanted");
  for (int attribute : {conv_dilations, conv_strides, conv_before, conv_after}) {
    auto values = d.list<int64_t>(attribute);
    c.wants(values.size() == rank, "one value per spatial dimension is wanted");
    int64_t low = attribute == conv_dilations || attribute == conv_strides;
    for (int64_t value : values) c.wants(value >= low, "a padding, stride or dilation is too small");
  }
}

void check_op_convolution(const Descriptor& d, Checker& c) {
  Shared x = d.one(op_conv_x), w = d.one(op_conv_w), y = d.one(op_conv_y), about = d.one(op_conv_desc);
  c.wants(is_tensor(x) && is_tensor(w) && is_tensor(y), "x, w and y are wanted");
  c.wants(about && about->kind == kind_convolution, "a convolution descriptor is wanted");
  c.wants(d.has(op_conv_alpha) && d.has(op_conv_beta), "alpha and beta are wanted");
  if (c.status) return;
  auto xs = x->dims(), ws = w->dims(), ys = y->dims();
  auto rank = static_cast<size_t>(about->get<int64_t>(conv_dims));
  c.wants(xs.size() == rank + 2 && ws.size() == rank + 2 && ys.size() == rank + 2, "the tensors have other ranks");
  if (c.status) return;
  bool groups = xs[1] % ws[1] == 0 && ws[0] % (xs[1] / ws[1]) == 0;
  c.wants(xs[0] == ys[0] && ws[0] == ys[1] && groups, "channels do not fit");
  auto before = about->list<int64_t>(conv_before), after = about->list<int64_t>(conv_after);
  auto stride = about->list<int64_t>(conv_strides), dilation = about->list<int64_t>(conv_dilations);
  for (size_t i = 0; i < rank; ++i) {
    int64_t room = xs[i + 2] + before[i] + after[i] - dilation[i] * (ws[i + 2] - 1) - 1;
    c.wants(room >= 0 && ys[i + 2] == room / stride[i] + 1, "y has other lengths than the window leaves");
  }
}

bool broadcasts(const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
  if (from.size() != to.size()) return false;
  for (size_t i = 0; i < to.size(); ++i)
    if (from[i] != 1 && from[i] != to[i]) return false;
  return true;
}

void check_op_pointwise(const Descriptor& d, Checker& c) {
  Shared x = d.one(op_pointwise_x), b = d.one(op_pointwise_b), y = d.one(op_pointwise_y);
  Shared about = d.one(op_pointwise_desc);
  c.wants(is_tensor(x) && is_tensor(y) && about && about->kind == kind_pointwise, "x, y and what to do are wanted");
  if (c.status) return;
  int mode = about->get<int>(pointwise_mode);
  c.wants(mode == mode_add || mode == mode_relu, "no such operation", not_supported_pattern);
  c.wants((mode == mode_add) == is_tensor(b), "an addition has two operands, an activation has one");
  c.wants(x->dims() == y->dims() && (!b || broadcasts(b->dims(), y->dims())), "the shapes do not fit");
}

void check_op_band(const Descriptor& d, Checker& c) {
  Shared x = d.one(op_band_x), y = d.one(op_band_y), b = d.one(op_band_b);
  c.wants(is_tensor(x) && is_tensor(y) && is_tensor(b) && d.has(op_band_mode), "x, y, b and the comparison are wanted");
  if (c.status) return;
  c.wants(x->dims().size() == 4 && x->dims() == y->dims(), "scores have four dimensions");
  c.wants(!(d.has(op_band_left) && d.has(op_band_shift)), "a band has a left or a right bound");
  int mode = d.get<int>(op_band_mode);
  int wanted = d.has(op_band_left) ? mode_greater : mode_greater_equal;
  c.wants(mode == wanted, "no such comparison", not_supported_pattern);
  for (int attribute : {op_band_keys, op_band_queries, op_band_left, op_band_shift}) {
    Shared bound = d.one(attribute);
    if (!bound) continue;
    c.wants(is_tensor(bound) && bound->is_by_value() && extent_of(*bound) == 1, "a bound is one number of the host");
    c.wants(bound->data() == (attribute == op_band_left ? data_float : data_int32), "a bound has another type");
  }
}

void check_op_attention(const Descriptor& d, Checker& c) {
  Shared q = d.one(op_attention_q), k = d.one(op_attention_k), v = d.one(op_attention_v), o = d.one(op_attention_o);
  c.wants(is_tensor(q) && is_tensor(k) && is_tensor(v) && is_tensor(o), "q, k, v and o are wanted");
  if (c.status) return;
  auto qs = q->dims(), ks = k->dims(), vs = v->dims(), os = o->dims();
  c.wants(qs.size() == 4 && ks.size() == 4 && vs.size() == 4 && os.size() == 4, "they have four dimensions");
  if (c.status) return;
  c.wants(qs[3] == ks[3] && ks[2] == vs[2] && ks[1] == vs[1] && qs[0] == ks[0] && qs[0] == vs[0], "q, k and v differ");
  c.wants(qs[1] % ks[1] == 0, "query heads are a multiple of key heads");
  c.wants(os == std::vector<int64_t>{qs[0], qs[1], qs[2], vs[3]}, "o has another shape");
  Shared scale = d.one(op_attention_scale);
  c.wants(!scale || (is_tensor(scale) && scale->dims() == std::vector<int64_t>(4, 1) && scale->data() == data_float),
          "the scale is one float");
  bool inner = d.has(op_attention_graph);
  bool whole = inner == d.has(op_attention_in) && inner == d.has(op_attention_out);
  c.wants(whole, "a graph inside of an attention has an input and an output");
}

void check_graph(const Descriptor& d, Checker& c) {
  c.wants(d.has(graph_ops), "a graph has operations");
  if (c.status) return;
  std::set<int64_t> written;
  std::map<int64_t, Shared> seen;
  for (const Shared& operation : d.all(graph_ops)) {
    Ports ports = ports_of(*operation);
    c.wants(ports.output != nullptr, "that is no operation");
    if (c.status) return;
    c.wants(written.insert(ports.output->id()).second, "two operations write one tensor");
    ports.inputs.push_back(ports.output);
    for (const Shared& tensor : ports.inputs) {
      auto [place, fresh] = seen.try_emplace(tensor->id(), tensor);
      bool same = place->second->dims() == tensor->dims() && place->second->data() == tensor->data();
      c.wants(fresh || same, "two tensors have one id");
    }
  }
  if (!d.has(graph_handle)) return;  // the graph inside of an attention, whose scores come from outside
  for (auto& [id, tensor] : seen)
    c.wants(!tensor->is_virtual() || written.count(id), "nothing writes a virtual tensor");
}

void check_plan(const Descriptor& d, Checker& c) {
  Shared config = d.one(plan_config);
  c.wants(config && config->kind == kind_config, "an engine configuration is wanted");
  c.wants(!d.has(plan_device), "plans for described devices are not emulated", not_supported);
}

void check_pack(const Descriptor& d, Checker& c) {
  auto ids = d.list<int64_t>(pack_ids);
  c.wants(!ids.empty() && ids.size() == d.list<void*>(pack_pointers).size(), "as many pointers as ids are wanted");
  c.wants(std::set<int64_t>(ids.begin(), ids.end()).size() == ids.size(), "an id is there twice");
}

Status refuse(Status status, const char* what, std::string& reason) {
  reason = what;
  return status;
}

/// The epilogue that fused engines know: nothing, or residual, bias and activation of which the bias is always there.
Status check_epilogue(const std::vector<Shared>& operations, std::string& reason) {
  size_t at = 1, additions = 0;
  Shared last;
  for (; at < operations.size() && operations[at]->one(op_pointwise_b); ++at, ++additions) last = operations[at];
  bool ends = at == operations.size() || at + 1 == operations.size();
  auto per_channel = [](const Descriptor& tensor) {
    auto dims = tensor.dims();
    return std::count(dims.begin(), dims.end(), 1) >= static_cast<int64_t>(dims.size()) - 1 && dims[0] == 1;
  };
  bool fused = ends && (additions == 1 || additions == 2) && per_channel(*last->one(op_pointwise_b));
  if (operations.size() == 1 || fused) return success;
  return refuse(not_supported_pattern, "no engine has this epilogue", reason);
}

Status convolution_engines(const std::vector<Shared>& operations, bool general, std::vector<Engine>& found,
                           std::string& reason) {
  const Descriptor& first = *operations[0];
  Shared x = first.one(op_conv_x), w = first.one(op_conv_w);
  int data = x->data();
  if (data == data_int32 || w->data() != data) return refuse(not_supported_type, "no engine has these types", reason);
  int sums = first.one(op_conv_desc)->get<int>(conv_comp);
  if (sums != (data == data_double ? data_double : data_float))
    return refuse(not_supported_type, "no engine sums in this type", reason);
  if (Status status = check_epilogue(operations, reason)) return status;
  if (general) {
    found = {{{}, 0, false}};
    return success;
  }
  if (x->dims()[1] != w->dims()[1]) return refuse(not_supported, "the model of speed knows no groups", reason);
  found = {{{note_nondeterministic}, 0, false}};
  if (data != data_double) found.push_back({{note_tensor_core}, 64 << 10, data == data_float});
  found.push_back({{}, 4 << 10, false});
  return success;
}

Status attention_engines(const Descriptor& operation, bool general, std::vector<Engine>& found, std::string& reason) {
  for (int attribute : {op_attention_q, op_attention_k, op_attention_v, op_attention_o}) {
    Shared tensor = operation.one(attribute);
    if (tensor->data() != data_half && tensor->data() != data_bfloat16)
      return refuse(not_supported_type, "attention works on 16-bit types", reason);
    if (tensor->dims()[3] % 8) return refuse(not_supported_shape, "the length of a head is a multiple of 8", reason);
    if (tensor->strides()[3] != 1) return refuse(not_supported, "the elements of a head lie beside each other", reason);
  }
  if (!general) found = {{{note_tensor_core}, 16 << 10, false}};
  return success;
}

}  // namespace

size_t width_of(int data) {
  switch (data) {
    case data_double: return 8;
    case data_float: case data_int32: return 4;
    case data_half: case data_bfloat16: return 2;
  }
  return 0;
}

int64_t extent_of(const Descriptor& tensor) {
  auto dims = tensor.dims(), strides = tensor.strides();
  int64_t extent = 1;
  for (size_t i = 0; i < dims.size(); ++i) extent += (dims[i] - 1) * strides[i];
  return extent;
}

Ports ports_of(const Descriptor& d) {
  auto given = [&](std::initializer_list<int> attributes) {
    std::vector<Shared> found;
    for (int attribute : attributes)
      if (Shared tensor = d.one(attribute)) found.push_back(tensor);
    return found;
  };
  switch (d.kind) {
    case kind_op_convolution: return {given({op_conv_x, op_conv_w}), d.one(op_conv_y)};
    case kind_op_pointwise: return {given({op_pointwise_x, op_pointwise_b}), d.one(op_pointwise_y)};
    case kind_op_band:
      return {given({op_band_x, op_band_keys, op_band_queries, op_band_left, op_band_shift, op_band_b}),
              d.one(op_band_y)};
    case kind_op_attention:
      return {given({op_attention_q, op_attention_k, op_attention_v, op_attention_scale}), d.one(op_attention_o)};
  }
  return {};
}

std::vector<Shared> tensors_of(const Descriptor& graph) {
  std::map<int64_t, Shared> found;
  for (const Shared& operation : graph.all(graph_ops)) {
    Ports ports = ports_of(*operation);
    ports.inputs.push_back(ports.output);
    if (Shared inner = operation->one(op_attention_graph))
      for (const Shared& tensor : tensors_of(*inner)) ports.inputs.push_back(tensor);
    for (const Shared& tensor : ports.inputs)
      if (!tensor->is_virtual()) found.try_emplace(tensor->id(), tensor);
  }
  std::vector<Shared> tensors;
  for (auto& [id, tensor] : found) tensors.push_back(tensor);
  return tensors;
}

Status check(const Descriptor& descriptor, std::string& reason) {
  static const std::map<int, std::function<void(const Descriptor&, Checker&)>> checks = {
      {kind_tensor, check_tensor},
      {kind_convolution, check_convolution},
      {kind_pointwise, [](const Descriptor& d, Checker& c) {
         c.wants(d.has(pointwise_mode) && d.has(pointwise_prec), "what to do, and in which type, is wanted");
       }},
      {kind_op_convolution, check_op_convolution},
      {kind_op_pointwise, check_op_pointwise},
      {kind_op_band, check_op_band},
      {kind_op_attention, check_op_attention},
      {kind_graph, check_graph},
      {kind_heuristic, [](const Descriptor& d, Checker& c) {
         c.wants(d.has(heur_graph) && d.has(heur_mode), "a graph and a mode are wanted");
       }},
      {kind_plan, check_plan},
      {kind_pack, check_pack}};
  Checker checker{reason};
  auto found = checks.find(descriptor.kind);
  checker.wants(found != checks.end(), "this kind of descriptor is made by the library");
  if (!checker.status) found->second(descriptor, checker);
  return checker.status;
}

Status engines_for(const Descriptor& graph, bool general, std::vector<Engine>& found, std::string& reason) {
  const auto& operations = graph.all(graph_ops);
  if (operations[0]->kind == kind_op_convolution) return convolution_engines(operations, general, found, reason);
  if (operations[0]->kind == kind_op_attention && operations.size() == 1)
    return attention_engines(*operations[0], general, found, reason);
  return refuse(not_supported_pattern, "no engine computes this graph", reason);
}

}  // namespace cudnn
