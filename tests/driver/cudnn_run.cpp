// How the emulated libcudnn computes a graph: one kernel that walks its operations, in double precision.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cudnn.h"

extern "C" CUfunction cudagraph_driver_native(const char* name, void (*native)(void**), const size_t* sizes,
                                              size_t count);
extern "C" void cudagraph_driver_touch(const char* who, uint64_t address, uint64_t bytes);

namespace cudnn {
namespace {

using Shape = std::vector<int64_t>;
constexpr size_t most_tensors = 16;

/// What a launch is about. Programs stay: captured graphs run them after their plans are gone.
struct Program {
  Shared graph;
  Engine engine;
  std::vector<Shared> tensors;
};

/// The kernel's one argument: addresses, or numbers of the host, in the order of the program's tensors.
struct Arguments {
  const Program* program;
  std::byte* workspace;
  std::byte* address[most_tensors];
  double number[most_tensors];
};

double load(int data, const std::byte* base, int64_t index) {
  auto as = [&](auto value) {
    std::memcpy(&value, base + index * static_cast<int64_t>(sizeof value), sizeof value);
    return value;
  };
  switch (data) {
    case data_double: return as(double{});
    case data_float: return as(float{});
    case data_int32: return as(int32_t{});
    case data_half: return static_cast<float>(as(_Float16{}));
  }
  uint32_t bits = uint32_t{as(uint16_t{})} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void store(int data, std::byte* base, int64_t index, double wide) {
  auto put = [&](auto value) { std::memcpy(base + index * static_cast<int64_t>(sizeof value), &value, sizeof value); };
  auto value = static_cast<float>(wide);
  switch (data) {
    case data_double: return put(wide);
    case data_float: return put(value);
    case data_half: return put(static_cast<_Float16>(value));
  }
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  put(static_cast<uint16_t>(std::isnan(value) ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16));
}

/// What a tensor core reads of a float32.
double as_tf32(double wide) {
  auto value = static_cast<float>(wide);
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0xfff + (bits >> 13 & 1)) & ~uint32_t{0x1fff};
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

int64_t count_of(const Shape& dims) {
  int64_t count = 1;
  for (int64_t length : dims) count *= length;
  return count;
}

/// Place in memory of the element that has a number in the order of the dimensions; lengths of one are read again.
int64_t place(int64_t number, const Shape& dims, const Shape& lengths, const Shape& strides) {
  int64_t at = 0;
  for (size_t i = dims.size(); i-- > 0; number /= dims[i])
    if (lengths[i] != 1) at += number % dims[i] * strides[i];
  return at;
}

/// Runs operations one after the other; virtual tensors are arrays of doubles.
class Machine {
 public:
  explicit Machine(const Arguments& arguments) : given_(arguments) {}

  void run(const Descriptor& graph) {
    for (const Shared& operation : graph.all(graph_ops)) {
      switch (operation->kind) {
        case kind_op_convolution: convolve(*operation); break;
        case kind_op_pointwise: pointwise(*operation); break;
        case kind_op_band: band(*operation); break;
        case kind_op_attention: attend(*operation); break;
      }
    }
  }

 private:
  size_t slot(const Descriptor& tensor) const {
    const auto& known = given_.program->tensors;
    return std::find_if(known.begin(), known.end(), [&](auto& t) { return t->id() == tensor.id(); }) - known.begin();
  }

  /// All elements in the order of `dims`, which the tensor has or is repeated to.
  std::vector<double> read(const Descriptor& tensor, const Shape& dims) {
    if (tensor.is_virtual()) return virtual_.at(tensor.id());
    std::vector<double> values(count_of(dims));
    if (tensor.is_by_value()) {
      std::fill(values.begin(), values.end(), given_.number[slot(tensor)]);
      return values;
    }
    const std::byte* base = given_.address[slot(tensor)];
    Shape lengths = tensor.dims(), strides = tensor.strides();
    int data = tensor.data();
    for (size_t i = 0; i < values.size(); ++i) values[i] = load(data, base, place(i, dims, lengths, strides));
    return values;
  }

  std::vector<double> read(const Descriptor& tensor) { return read(tensor, tensor.dims()); }

  void write(const Descriptor& tensor, std::vector<double> values) {
    if (tensor.is_virtual()) {
      virtual_[tensor.id()] = std::move(values);
      return;
    }
    std::byte* base = given_.address[slot(tensor)];
    Shape dims = tensor.dims(), strides = tensor.strides();
    for (size_t i = 0; i < values.size(); ++i) store(tensor.data(), base, place(i, dims, dims, strides), values[i]);
  }

  double number(const Descriptor& operation, int attribute, double otherwise) {
    Shared tensor = operation.one(attribute);
    return tensor ? read(*tensor)[0] : otherwise;
  }

  void convolve(const Descriptor& operation);
  void pointwise(const Descriptor& operation);
  void band(const Descriptor& operation);
  void attend(const Descriptor& operation);

  const Arguments& given_;
  std::map<int64_t, std::vector<double>> virtual_;
};

/// A planar or cubic window; planes count as cubes of one layer.
struct Window {
  int64_t x[3] = {1, 1, 1}, w[3] = {1, 1, 1}, y[3] = {1, 1, 1}, before[3] = {0, 0, 0}, stride[3] = {1, 1, 1},
          dilation[3] = {1, 1, 1};

  Window(const Descriptor& about, const Shape& xs, const Shape& ws, const Shape& ys) {
    auto rank = static_cast<size_t>(about.get<int64_t>(conv_dims));
    for (size_t i = 0, at = 3 - rank; i < rank; ++i, ++at) {
      x[at] = xs[i + 2], w[at] = ws[i + 2], y[at] = ys[i + 2];
      before[at] = about.list<int64_t>(conv_before)[i];
      stride[at] = about.list<int64_t>(conv_strides)[i];
      dilation[at] = about.list<int64_t>(conv_dilations)[i];
    }
  }

  /// One output: the products of the window at `out`, over one channel.
  double sum(const double* plane, const double* taps, const int64_t* out) const {
    double total = 0;
    int64_t at[3], tap = 0;
    for (int64_t d = 0; d < w[0]; ++d)
      for (int64_t h = 0; h < w[1]; ++h)
        for (int64_t k = 0; k < w[2]; ++k, ++tap) {
          const int64_t step[3] = {d, h, k};
          bool inside = true;
          for (int i = 0; i < 3; ++i) {
            at[i] = out[i] * stride[i] - before[i] + step[i] * dilation[i];
            inside = inside && at[i] >= 0 && at[i] < x[i];
          }
          if (inside) total += taps[tap] * plane[(at[0] * x[1] + at[1]) * x[2] + at[2]];
        }
    return total;
  }
};

void Machine::convolve(const Descriptor& operation) {
  Shared x = operation.one(op_conv_x), w = operation.one(op_conv_w), y = operation.one(op_conv_y);
  Shape xs = x->dims(), ws = w->dims(), ys = y->dims();
  Window window(*operation.one(op_conv_desc), xs, ws, ys);
  auto image = read(*x), filter = read(*w);
  if (given_.program->engine.rounds_to_tf32) {
    for (double& value : image) value = as_tf32(value);
    for (double& value : filter) value = as_tf32(value);
  }
  int64_t plane = window.x[0] * window.x[1] * window.x[2], taps = window.w[0] * window.w[1] * window.w[2];
  int64_t outer = ws[0] / (xs[1] / ws[1]);
  std::vector<double> result;
  for (int64_t n = 0; n < ys[0]; ++n)
    for (int64_t o = 0; o < ys[1]; ++o)
      for (int64_t at = 0; at < window.y[0] * window.y[1] * window.y[2]; ++at) {
        const int64_t out[3] = {at / (window.y[1] * window.y[2]), at / window.y[2] % window.y[1], at % window.y[2]};
        double total = 0;
        for (int64_t c = 0; c < ws[1]; ++c) {
          const double* seen = image.data() + (n * xs[1] + o / outer * ws[1] + c) * plane;
          total += window.sum(seen, filter.data() + (o * ws[1] + c) * taps, out);
        }
        result.push_back(total);
      }
  write(*y, std::move(result));
}

void Machine::pointwise(const Descriptor& operation) {
  Shared y = operation.one(op_pointwise_y), b = operation.one(op_pointwise_b);
  auto values = read(*operation.one(op_pointwise_x));
  if (b) {
    auto other = read(*b, y->dims());
    for (size_t i = 0; i < values.size(); ++i) values[i] += other[i];
  } else {
    for (double& value : values) value = std::max(value, 0.0);
  }
  write(*y, std::move(values));
}

void Machine::band(const Descriptor& operation) {
  Shared x = operation.one(op_band_x);
  Shape dims = x->dims();
  auto values = read(*x);
  double outside = number(operation, op_band_b, 0), left = number(operation, op_band_left, 0);
  double row_shift = number(operation, op_band_keys, 0) - number(operation, op_band_queries, 0);
  bool has_left = operation.has(op_band_left);
  if (!has_left) row_shift += number(operation, op_band_shift, 0);
  for (size_t i = 0; i < values.size(); ++i) {
    auto row = static_cast<double>(i / dims[3] % dims[2]), column = static_cast<double>(i % dims[3]);
    bool kept = has_left ? column + left - row_shift > row : row + row_shift >= column;
    if (!kept) values[i] = outside;
  }
  write(*operation.one(op_band_y), std::move(values));
}

void Machine::attend(const Descriptor& operation) {
  Shared q = operation.one(op_attention_q), k = operation.one(op_attention_k), v = operation.one(op_attention_v);
  Shape qs = q->dims(), ks = k->dims(), vs = v->dims();
  auto queries = read(*q), keys = read(*k), values = read(*v);
  double scale = number(operation, op_attention_scale, 1);
  int64_t group = qs[1] / ks[1], rows = qs[0] * qs[1] * qs[2];
  auto head = [&](int64_t row) { return row / (qs[1] * qs[2]) * ks[1] + row / qs[2] % qs[1] / group; };
  std::vector<double> scores(rows * ks[2]);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t key = 0; key < ks[2]; ++key) {
      double total = 0;
      const double *one = &queries[row * qs[3]], *other = &keys[(head(row) * ks[2] + key) * ks[3]];
      for (int64_t d = 0; d < qs[3]; ++d) total += one[d] * other[d];
      scores[row * ks[2] + key] = scale * total;
    }
  if (Shared inner = operation.one(op_attention_graph)) {
    virtual_[operation.get<int64_t>(op_attention_in)] = std::move(scores);
    run(*inner);
    scores = virtual_.at(operation.get<int64_t>(op_attention_out));
  }
  std::vector<double> result(rows * vs[3]);
  for (int64_t row = 0; row < rows; ++row) {
    double* line = scores.data() + row * ks[2];
    double most = *std::max_element(line, line + ks[2]), total = 0;
    for (int64_t key = 0; key < ks[2]; ++key) total += line[key] = std::exp(line[key] - most);
    for (int64_t key = 0; key < ks[2]; ++key)
      for (int64_t e = 0; e < vs[3]; ++e)
        result[row * vs[3] + e] += line[key] / total * values[(head(row) * ks[2] + key) * vs[3] + e];
  }
  write(*operation.one(op_attention_o), std::move(result));
}

void kernel(void** arguments) {
  const auto& given = *static_cast<const Arguments*>(arguments[0]);
  const auto& tensors = given.program->tensors;
  for (size_t i = 0; i < tensors.size(); ++i)
    if (!tensors[i]->is_by_value())
      cudagraph_driver_touch(("cudnnBackendExecute: tensor " + std::to_string(tensors[i]->id())).c_str(),
                             reinterpret_cast<uint64_t>(given.address[i]),
                             extent_of(*tensors[i]) * width_of(tensors[i]->data()));
  if (int64_t bytes = given.program->engine.workspace) {  // a real engine leaves its intermediate sums there
    cudagraph_driver_touch("cudnnBackendExecute: workspace", reinterpret_cast<uint64_t>(given.workspace), bytes);
    std::memset(given.workspace, 0xEE, bytes);
  }
  Machine(given).run(*given.program->graph);
}

const Program* keep(const Descriptor& plan) {
  static std::vector<std::unique_ptr<Program>> kept;
  kept.push_back(std::make_unique<Program>(Program{plan.graph, plan.engine, tensors_of(*plan.graph)}));
  return kept.back().get();
}

}  // namespace

Status launch(const Descriptor& plan, const Descriptor& pack, CUstream stream, std::string& reason) {
  auto refuse = [&](Status status, const std::string& what) {
    reason = what;
    return status;
  };
  Arguments arguments{};
  arguments.program = keep(plan);
  const auto& tensors = arguments.program->tensors;
  auto ids = pack.list<int64_t>(pack_ids);
  auto pointers = pack.list<std::byte*>(pack_pointers);
  if (tensors.size() > most_tensors || ids.size() != tensors.size())
    return refuse(bad_param, std::to_string(tensors.size()) + " tensors are wanted");
  for (size_t i = 0; i < tensors.size(); ++i) {
    auto found = std::find(ids.begin(), ids.end(), tensors[i]->id());
    std::string name = "tensor " + std::to_string(tensors[i]->id());
    if (found == ids.end()) return refuse(bad_param, name + " has no pointer");
    std::byte* pointer = pointers[found - ids.begin()];
    if (!pointer) return refuse(null_pointer, name + " has no pointer");
    if (tensors[i]->is_by_value()) {
      arguments.number[i] = load(tensors[i]->data(), pointer, 0);
      continue;
    }
    if (reinterpret_cast<uintptr_t>(pointer) % tensors[i]->get<int64_t>(tensor_alignment))
      return refuse(misaligned, name + " is not aligned as it was said to be");
    arguments.address[i] = pointer;
  }
  arguments.workspace = pack.get<std::byte*>(pack_workspace);
  if (plan.engine.workspace && !arguments.workspace) return refuse(null_pointer, "the plan needs its workspace");
  static const size_t size = sizeof(Arguments);
  static CUfunction function = cudagraph_driver_native("cudnn_graph", kernel, &size, 1);
  void* packed[] = {&arguments};
  CUresult code = cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream, packed, nullptr);
  return code == CUDA_SUCCESS ? success : refuse(execution_failed, "the launch failed");
}

}  // namespace cudnn
