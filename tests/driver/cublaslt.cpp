// An emulated libcublasLt: what nvmath's bindings need for a matrix product, run as a kernel of the emulated driver, so
// that a captured product is a kernel node and reads device scalars at each replay.
//
// Declared here, not included: the CUDA 12 wheels alone do not hold all headers that cublasLt.h asks for. The numbers
// are part of the library's binary interface.
#include <cuda.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#define LT_EXPORT extern "C" __attribute__((visibility("default")))
#define LT_API LT_EXPORT Status

extern "C" CUfunction cudagraph_driver_native(const char* name, void (*native)(void**), const size_t* sizes,
                                              size_t count);
extern "C" void cudagraph_driver_touch(const char* who, uint64_t address, uint64_t bytes);

namespace {

enum Status { success = 0, not_initialized = 1, invalid_value = 7, execution_failed = 13, not_supported = 15 };
enum DataType { r32f = 0, r64f = 1, r16f = 2, r16bf = 14 };
enum ComputeType { compute_16f = 64, compute_32f = 68, compute_64f = 70 };
enum DescAttribute { scale_type = 1, pointer_mode = 2, trans_a = 3, trans_b = 4, trans_c = 5, epilogue = 7,
                     bias_pointer = 8, bias_batch_stride = 10, bias_type = 26 };
enum LayoutAttribute { layout_type = 0, order = 1, rows = 2, cols = 3, leading = 4, batch_count = 5, batch_offset = 6 };
enum PreferenceAttribute { max_workspace = 1 };
enum Epilogue { plain = 1, relu = 2, with_bias = 4, gelu = 32 };

constexpr uint64_t own_algorithm = 0xE3;       // first word of an algorithm made here
constexpr size_t liked_workspace = 64 << 10;   // what the first algorithm asks for, where it may
constexpr size_t attribute_limit = 64;

/// Descriptors of all kinds: attributes by number, each with the size it was set with.
struct Attributes {
  std::map<int, std::vector<std::byte>> values;

  template <class T> void put(int attribute, T value) {
    auto* bytes = reinterpret_cast<const std::byte*>(&value);
    values[attribute].assign(bytes, bytes + sizeof value);
  }
  template <class T> T get(int attribute) const {
    T value{};
    auto found = values.find(attribute);
    if (found != values.end()) std::memcpy(&value, found->second.data(), std::min(sizeof value, found->second.size()));
    return value;
  }
};

Status set_attribute(Attributes* target, int attribute, const void* data, size_t bytes) {
  if (!target || !data || !bytes || bytes > attribute_limit) return invalid_value;
  auto& value = target->values[attribute];
  if (!value.empty() && value.size() != bytes) return invalid_value;
  value.assign(static_cast<const std::byte*>(data), static_cast<const std::byte*>(data) + bytes);
  return success;
}

Status get_attribute(const Attributes* source, int attribute, void* data, size_t bytes, size_t* written) {
  if (!source) return invalid_value;
  auto found = source->values.find(attribute);
  if (found == source->values.end()) return invalid_value;
  if (written) *written = found->second.size();
  if (!bytes && written) return success;
  if (!data || bytes < found->second.size()) return invalid_value;
  std::memcpy(data, found->second.data(), found->second.size());
  return success;
}

struct Algorithm {
  uint64_t words[8];
};

struct Heuristic {
  Algorithm algorithm;
  size_t workspace;
  Status state;
  float waves;
  int reserved[4];
};

struct Matrix {
  int type, row_major;
  uint64_t rows, cols;
  int64_t leading, batch_stride;

  size_t at(uint64_t row, uint64_t col) const { return row_major ? row * leading + col : col * leading + row; }
  size_t extent() const { return rows && cols ? at(rows - 1, cols - 1) + 1 : 0; }
};

/// Everything about a product but its addresses.
struct Problem {
  Matrix a, b, c, d;
  int compute, scale, device_scalars, transpose_a, transpose_b, epilogue, bias_type, batches;
  int64_t bias_stride;
  double alpha, beta;  // in host pointer mode
  uint64_t workspace_bytes;
};

size_t width(int type) { return type == r64f ? 8 : type == r32f ? 4 : 2; }

double load(int type, const void* base, size_t index) {
  switch (type) {
    case r64f: return static_cast<const double*>(base)[index];
    case r32f: return static_cast<const float*>(base)[index];
    case r16f: return static_cast<float>(static_cast<const _Float16*>(base)[index]);
    default: {
      uint32_t bits = uint32_t{static_cast<const uint16_t*>(base)[index]} << 16;
      float value;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
  }
}

uint16_t to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (std::isnan(value)) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);  // to nearest, ties to even
}

void store(int type, void* base, size_t index, double value) {
  switch (type) {
    case r64f: static_cast<double*>(base)[index] = value; break;
    case r32f: static_cast<float*>(base)[index] = static_cast<float>(value); break;
    case r16f: static_cast<_Float16*>(base)[index] = static_cast<_Float16>(static_cast<float>(value)); break;
    default: static_cast<uint16_t*>(base)[index] = to_bfloat16(static_cast<float>(value));
  }
}

double activate(int kind, double x) {
  if (kind & relu) return std::max(x, 0.0);
  if (kind & gelu) return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
  return x;
}

// The kernel.

enum Argument { at_problem, at_a, at_b, at_c, at_d, at_bias, at_alpha, at_beta, at_workspace, argument_count };

template <class T> T* pointer(void** arguments, int index) { return *static_cast<T**>(arguments[index]); }

void touch(const char* who, const Matrix& m, int batches, const void* base) {
  size_t elements = m.extent() + (batches - 1) * m.batch_stride;
  cudagraph_driver_touch(who, reinterpret_cast<uint64_t>(base), elements * width(m.type));
}

void touch_operands(const Problem& p, double beta, void** arguments) {
  touch("cublasLtMatmul: A", p.a, p.batches, pointer<void>(arguments, at_a));
  touch("cublasLtMatmul: B", p.b, p.batches, pointer<void>(arguments, at_b));
  if (beta != 0) touch("cublasLtMatmul: C", p.c, p.batches, pointer<void>(arguments, at_c));
  touch("cublasLtMatmul: D", p.d, p.batches, pointer<void>(arguments, at_d));
}

double scalar(const Problem& p, double host, const void* device, const char* who) {
  if (!p.device_scalars) return host;
  cudagraph_driver_touch(who, reinterpret_cast<uint64_t>(device), width(p.scale));
  return load(p.scale, device, 0);
}

struct Operands {
  const std::byte *a, *b, *c, *bias;
  std::byte* d;
};

double dot(const Problem& p, const Operands& o, uint64_t row, uint64_t col) {
  uint64_t inner = p.transpose_a ? p.a.rows : p.a.cols;
  double sum = 0;
  for (uint64_t k = 0; k < inner; ++k)
    sum += load(p.a.type, o.a, p.transpose_a ? p.a.at(k, row) : p.a.at(row, k)) *
           load(p.b.type, o.b, p.transpose_b ? p.b.at(col, k) : p.b.at(k, col));
  return sum;
}

void multiply(const Problem& p, const Operands& o, double alpha, double beta) {
  for (uint64_t col = 0; col < p.d.cols; ++col)
    for (uint64_t row = 0; row < p.d.rows; ++row) {
      double value = alpha * dot(p, o, row, col);
      if (beta != 0) value += beta * load(p.c.type, o.c, p.c.at(row, col));
      if (p.epilogue & with_bias) value += load(p.bias_type, o.bias, row);
      store(p.d.type, o.d, p.d.at(row, col), activate(p.epilogue, value));
    }
}

void run(void** arguments) {
  const auto& p = *static_cast<const Problem*>(arguments[at_problem]);
  double alpha = scalar(p, p.alpha, pointer<void>(arguments, at_alpha), "cublasLtMatmul: alpha");
  double beta = scalar(p, p.beta, pointer<void>(arguments, at_beta), "cublasLtMatmul: beta");
  touch_operands(p, beta, arguments);
  if (p.workspace_bytes) {  // a real algorithm leaves its intermediate sums there
    auto* workspace = pointer<void>(arguments, at_workspace);
    cudagraph_driver_touch("cublasLtMatmul: workspace", reinterpret_cast<uint64_t>(workspace), p.workspace_bytes);
    std::memset(workspace, 0xEE, p.workspace_bytes);
  }
  for (int i = 0; i < p.batches; ++i) {
    auto offset = [&](const Matrix& m) { return i * m.batch_stride * static_cast<int64_t>(width(m.type)); };
    auto bias_offset = i * p.bias_stride * static_cast<int64_t>(width(p.bias_type));
    const auto* bias = pointer<std::byte>(arguments, at_bias);
    multiply(p,
             {pointer<std::byte>(arguments, at_a) + offset(p.a), pointer<std::byte>(arguments, at_b) + offset(p.b),
              beta != 0 ? pointer<std::byte>(arguments, at_c) + offset(p.c) : nullptr,
              bias ? bias + bias_offset : nullptr, pointer<std::byte>(arguments, at_d) + offset(p.d)},
             alpha, beta);
  }
}

CUfunction kernel() {
  static const size_t sizes[argument_count] = {sizeof(Problem), 8, 8, 8, 8, 8, 8, 8, 8};
  static CUfunction function = cudagraph_driver_native("cublasLt_matmul", run, sizes, argument_count);
  return function;
}

// Checking.

Matrix matrix_of(const Attributes& layout) {
  return {layout.get<int>(layout_type),  layout.get<int>(order) == 1,      layout.get<uint64_t>(rows),
          layout.get<uint64_t>(cols),    layout.get<int64_t>(leading),     layout.get<int64_t>(batch_offset)};
}

int base_compute(int type) {
  if (type == 64 || type == 65) return compute_16f;
  if (type == 70 || type == 71) return compute_64f;
  return compute_32f;
}

bool types_fit(const Problem& p) {
  if (p.a.type != p.b.type || p.c.type != p.d.type) return false;
  if (p.compute == compute_64f) return p.scale == r64f && p.a.type == r64f && p.d.type == r64f;
  if (p.compute == compute_16f) return p.scale == r16f && p.a.type == r16f && p.d.type == r16f;
  bool inputs = p.a.type == r32f || p.a.type == r16f || p.a.type == r16bf;
  return p.scale == r32f && inputs && (p.d.type == r32f || p.d.type == p.a.type);
}

bool leading_fits(const Matrix& m) {
  return m.leading >= static_cast<int64_t>(m.row_major ? m.cols : m.rows);
}

bool shapes_fit(const Problem& p) {
  uint64_t m = p.transpose_a ? p.a.cols : p.a.rows, k = p.transpose_a ? p.a.rows : p.a.cols;
  uint64_t other_k = p.transpose_b ? p.b.cols : p.b.rows, n = p.transpose_b ? p.b.rows : p.b.cols;
  bool same = k == other_k && p.d.rows == m && p.d.cols == n && p.c.rows == m && p.c.cols == n;
  return same && leading_fits(p.a) && leading_fits(p.b) && leading_fits(p.c) && leading_fits(p.d);
}

Status make_problem(const Attributes* desc, const Attributes* a, const Attributes* b, const Attributes* c,
                    const Attributes* d, Problem& p) {
  if (!desc || !a || !b || !c || !d) return invalid_value;
  p = {};
  p.a = matrix_of(*a), p.b = matrix_of(*b), p.c = matrix_of(*c), p.d = matrix_of(*d);
  p.compute = base_compute(desc->get<int>(0));
  p.scale = desc->get<int>(scale_type);
  p.device_scalars = desc->get<int>(pointer_mode);
  p.transpose_a = desc->get<int>(trans_a), p.transpose_b = desc->get<int>(trans_b);
  p.epilogue = desc->get<int>(epilogue);
  p.bias_type = desc->values.count(bias_type) && desc->get<int>(bias_type) >= 0 ? desc->get<int>(bias_type) : p.d.type;
  p.bias_stride = desc->get<int64_t>(bias_batch_stride);
  p.batches = d->get<int>(batch_count);
  for (const Attributes* layout : {a, b, c})
    if (layout->get<int>(batch_count) != p.batches) return invalid_value;
  if (!shapes_fit(p) || p.batches < 1) return invalid_value;
  bool known_epilogue = !(p.epilogue & ~(plain | relu | with_bias | gelu));
  bool known = known_epilogue && p.device_scalars <= 1 && !desc->get<int>(trans_c);
  return known && types_fit(p) ? success : not_supported;
}

template <class Handle> Status create(Handle** out) {
  if (!out) return invalid_value;
  *out = new Handle;
  return success;
}

}  // namespace

struct Library {
  int unused = 0;
};

LT_API cublasLtCreate(Library** out) {
  CUcontext context = nullptr;
  if (cuCtxGetCurrent(&context) != CUDA_SUCCESS || !context) return not_initialized;
  return create(out);
}

LT_API cublasLtDestroy(Library* library) {
  delete library;
  return success;
}

LT_EXPORT size_t cublasLtGetVersion() { return CUDA_VERSION / 1000 * 10000 + 900; }
LT_EXPORT size_t cublasLtGetCudartVersion() { return CUDA_VERSION; }

LT_EXPORT const char* cublasLtGetStatusName(Status status) {
  switch (status) {
    case success: return "CUBLAS_STATUS_SUCCESS";
    case not_initialized: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case invalid_value: return "CUBLAS_STATUS_INVALID_VALUE";
    case execution_failed: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case not_supported: return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "CUBLAS_STATUS_UNKNOWN";
}

LT_EXPORT const char* cublasLtGetStatusString(Status status) {
  return cublasLtGetStatusName(status);
}

LT_API cublasLtGetProperty(int property, int* value) {
  if (!value || property < 0 || property > 2) return invalid_value;
  const int version[] = {CUDA_VERSION / 1000, 9, 0};
  *value = version[property];
  return success;
}

LT_API cublasLtMatmulDescCreate(Attributes** out, int compute, int scale) {
  if (create(out)) return invalid_value;
  (*out)->put(0, compute);
  (*out)->put(scale_type, scale);
  for (int attribute : {pointer_mode, trans_a, trans_b, trans_c}) (*out)->put(attribute, 0);
  (*out)->put(epilogue, static_cast<uint32_t>(plain));
  (*out)->put(bias_pointer, uint64_t{0});
  (*out)->put(bias_batch_stride, int64_t{0});
  (*out)->put(bias_type, -1);
  return success;
}

LT_API cublasLtMatrixLayoutCreate(Attributes** out, int type, uint64_t row_count, uint64_t col_count, int64_t ld) {
  if (create(out)) return invalid_value;
  (*out)->put(layout_type, type);
  (*out)->put(order, 0);
  (*out)->put(rows, row_count);
  (*out)->put(cols, col_count);
  (*out)->put(leading, ld);
  (*out)->put(batch_count, 1);
  (*out)->put(batch_offset, int64_t{0});
  return success;
}

LT_API cublasLtMatmulPreferenceCreate(Attributes** out) {
  if (create(out)) return invalid_value;
  (*out)->put(max_workspace, uint64_t{0});
  return success;
}

LT_API cublasLtMatmulDescDestroy(Attributes* desc) {
  delete desc;
  return success;
}

LT_API cublasLtMatrixLayoutDestroy(Attributes* layout) {
  delete layout;
  return success;
}

LT_API cublasLtMatmulPreferenceDestroy(Attributes* preference) {
  delete preference;
  return success;
}

LT_API cublasLtMatmulDescSetAttribute(Attributes* desc, int attribute, const void* data, size_t bytes) {
  return set_attribute(desc, attribute, data, bytes);
}

LT_API cublasLtMatmulDescGetAttribute(Attributes* desc, int attribute, void* data, size_t bytes, size_t* written) {
  return get_attribute(desc, attribute, data, bytes, written);
}

LT_API cublasLtMatrixLayoutSetAttribute(Attributes* layout, int attribute, const void* data, size_t bytes) {
  return set_attribute(layout, attribute, data, bytes);
}

LT_API cublasLtMatrixLayoutGetAttribute(Attributes* layout, int attribute, void* data, size_t bytes, size_t* written) {
  return get_attribute(layout, attribute, data, bytes, written);
}

LT_API cublasLtMatmulPreferenceSetAttribute(Attributes* preference, int attribute, const void* data, size_t bytes) {
  return set_attribute(preference, attribute, data, bytes);
}

LT_API cublasLtMatmulPreferenceGetAttribute(Attributes* preference, int attribute, void* data, size_t bytes,
                                            size_t* written) {
  return get_attribute(preference, attribute, data, bytes, written);
}

LT_API cublasLtMatmulAlgoGetHeuristic(Library* library, Attributes* desc, Attributes* a, Attributes* b, Attributes* c,
                                      Attributes* d, Attributes* preference, int wanted, Heuristic* results,
                                      int* found) {
  if (!library || !preference || !results || !found || wanted < 1) return invalid_value;
  *found = 0;
  Problem problem;
  if (Status status = make_problem(desc, a, b, c, d, problem)) return status;
  std::vector<uint64_t> workspaces{0};
  if (preference->get<uint64_t>(max_workspace) >= liked_workspace) workspaces = {liked_workspace, 0};
  for (uint64_t workspace : workspaces) {
    if (*found == wanted) break;
    results[(*found)++] = {{{own_algorithm, workspace}}, workspace, success, 1.0f, {}};
  }
  return success;
}

LT_API cublasLtMatmulAlgoCheck(Library* library, Attributes* desc, Attributes* a, Attributes* b, Attributes* c,
                               Attributes* d, const Algorithm* algorithm, Heuristic* result) {
  if (!library || !algorithm || !result || algorithm->words[0] != own_algorithm) return invalid_value;
  Problem problem;
  if (Status status = make_problem(desc, a, b, c, d, problem)) return status;
  *result = {*algorithm, algorithm->words[1], success, 1.0f, {}};
  return success;
}

LT_API cublasLtMatmul(Library* library, Attributes* desc, const void* alpha, const void* a, Attributes* a_layout,
                      const void* b, Attributes* b_layout, const void* beta, const void* c, Attributes* c_layout,
                      void* d, Attributes* d_layout, const Algorithm* algorithm, void* workspace,
                      size_t workspace_bytes, CUstream stream) {
  if (!library || !alpha || !beta || !a || !b || !d) return invalid_value;
  Problem problem;
  if (Status status = make_problem(desc, a_layout, b_layout, c_layout, d_layout, problem)) return status;
  if (algorithm && algorithm->words[0] != own_algorithm) return invalid_value;
  problem.workspace_bytes = algorithm ? algorithm->words[1] : std::min(workspace_bytes, liked_workspace);
  if (problem.workspace_bytes > workspace_bytes || (problem.workspace_bytes && !workspace)) return invalid_value;
  if (reinterpret_cast<uintptr_t>(workspace) % 16) return invalid_value;
  auto* bias = desc->get<void*>(bias_pointer);
  if ((problem.epilogue & with_bias) && !bias) return invalid_value;
  if (!problem.device_scalars) {
    problem.alpha = load(problem.scale, alpha, 0);
    problem.beta = load(problem.scale, beta, 0);
    if (problem.beta != 0 && !c) return invalid_value;
  }
  if (!(problem.epilogue & with_bias)) bias = nullptr;
  const void* none = nullptr;
  const void** from_alpha = problem.device_scalars ? &alpha : &none;
  const void** from_beta = problem.device_scalars ? &beta : &none;
  void* arguments[argument_count] = {&problem, &a, &b, &c, &d, &bias, from_alpha, from_beta, &workspace};
  CUresult code = cuLaunchKernel(kernel(), 1, 1, 1, 32, 1, 1, 0, stream, arguments, nullptr);
  return code == CUDA_SUCCESS ? success : execution_failed;
}

LT_API cublasLtHeuristicsCacheGetCapacity(size_t* capacity) {
  *capacity = 0;
  return success;
}

LT_API cublasLtHeuristicsCacheSetCapacity(size_t) { return success; }
LT_API cublasLtLoggerSetLevel(int) { return success; }
LT_API cublasLtLoggerSetMask(int) { return success; }
LT_API cublasLtLoggerForceDisable() { return success; }
