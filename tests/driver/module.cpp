#include "module.h"

#include <dlfcn.h>

#include <algorithm>

#include "capture.h"
#include "stream.h"

namespace emulated {

Module::~Module() {
  if (image) dlclose(image);
}

std::shared_ptr<Function> function_of(CUfunction handle) {
  if (auto function = driver().functions.find(handle)) return function;
  return live(reinterpret_cast<CUkernel>(handle), CUDA_ERROR_INVALID_HANDLE);
}

std::shared_ptr<Function> function_of(CUfunction function, CUkernel kernel) {
  require(function || kernel);
  require(!(function && kernel));
  return function ? function_of(function) : live(kernel, CUDA_ERROR_INVALID_HANDLE);
}

std::pair<size_t, size_t> argument_place(const Function& function, size_t index) {
  require(index < function.sizes.size());
  size_t offset = 0;
  for (size_t i = 0;; ++i) {
    size_t size = function.sizes[i], alignment = function.alignments[i];
    offset = (offset + alignment - 1) / alignment * alignment;
    if (i == index) return {offset, size};
    offset += size;
  }
}

namespace {

/// The {BUFFER_POINTER, p, BUFFER_SIZE, n, END} form of kernel arguments.
std::pair<const std::byte*, size_t> packed_arguments(void** extra) {
  const std::byte* buffer = nullptr;
  size_t bytes = 0;
  for (; *extra != CU_LAUNCH_PARAM_END; extra += 2) {
    if (*extra == CU_LAUNCH_PARAM_BUFFER_POINTER)
      buffer = static_cast<const std::byte*>(extra[1]);
    else if (*extra == CU_LAUNCH_PARAM_BUFFER_SIZE)
      bytes = *static_cast<size_t*>(extra[1]);
    else
      fail(CUDA_ERROR_INVALID_VALUE);
  }
  return {buffer, bytes};
}

std::shared_ptr<Module> load(const void* image) {
  require(image != nullptr);
  auto module = std::make_shared<Module>();
  module->image = load_image(image);
  module->context = current_context();
  return module;
}

std::shared_ptr<Function> make_function(const std::shared_ptr<Module>& module, const char* name) {
  require(name != nullptr);
  auto function = std::make_shared<Function>();
  function->name = name;
  function->module = module;
  function->context = module->context;
  require(find_kernel(module->image, name, *function), CUDA_ERROR_NOT_FOUND);
  return function;
}

CUkernel kernel_in(const std::shared_ptr<Module>& module, CUlibrary library, const char* name) {
  if (auto found = module->kernels.find(name); found != module->kernels.end()) return found->second;
  auto function = make_function(module, name);
  function->library = library;
  return module->kernels[name] = driver().kernels.add(function);
}

/// A function handle that shares its state with a kernel of a library.
CUfunction function_for(CUkernel kernel) {
  auto function = live(kernel, CUDA_ERROR_INVALID_HANDLE);
  auto& handles = function->module->functions;
  if (auto found = handles.find(function->name); found != handles.end()) return found->second;
  return handles[function->name] = driver().functions.add(function);
}

void forget(Module& module) {
  for (const auto& [name, handle] : module.functions) driver().functions.remove(handle);
  for (const auto& [name, handle] : module.kernels) driver().kernels.remove(handle);
}

int read_attribute(const Function& function, int attribute) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: return function.max_threads;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: return static_cast<int>(function.static_shared);
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: return static_cast<int>(function.dynamic_shared);
    case CU_FUNC_ATTRIBUTE_NUM_REGS: return 32;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION: return driver().settings.capability;
    default: {
      auto found = function.attributes.find(attribute);
      return found == function.attributes.end() ? 0 : found->second;
    }
  }
}

void write_attribute(Function& function, int attribute, int value) {
  if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
    require(value >= 0 && static_cast<size_t>(value) + function.static_shared <= 232448);
    function.dynamic_shared = value;
    return;
  }
  require(attribute >= CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT && attribute < CU_FUNC_ATTRIBUTE_MAX);
  function.attributes[attribute] = value;
}

int blocks_per_multiprocessor(int threads, size_t shared) {
  int by_threads = 2048 / ((threads + 31) / 32 * 32);
  size_t by_shared = shared ? (size_t{228} << 10) / (shared + 1024) : 32;
  return std::min<int>({by_threads, static_cast<int>(by_shared), 32});
}

}  // namespace

std::vector<std::vector<std::byte>> copy_arguments(const Function& function, void** parameters, void** extra) {
  require(!(parameters && extra));
  std::vector<std::vector<std::byte>> copies;
  std::pair<const std::byte*, size_t> packed{};
  if (extra) packed = packed_arguments(extra);
  for (size_t i = 0; i < function.sizes.size(); ++i) {
    auto [offset, size] = argument_place(function, i);
    require(extra ? packed.first && offset + size <= packed.second : parameters && parameters[i]);
    auto* from = extra ? packed.first + offset : static_cast<const std::byte*>(parameters[i]);
    copies.emplace_back(from, from + size);
  }
  return copies;
}

}  // namespace emulated

using namespace emulated;

DRIVER_API cuModuleLoadData(CUmodule* out, const void* image) {
  return call(__func__, Needs::Context, [&] {
    refuse_unsafe_call();
    *out = driver().modules.add(load(image));
  });
}

DRIVER_API cuModuleLoadDataEx(CUmodule* out, const void* image, unsigned, CUjit_option*, void**) {
  return call(__func__, Needs::Context, [&] {
    if (CUresult code = cuModuleLoadData(out, image)) fail(code);
  });
}

DRIVER_API cuModuleUnload(CUmodule handle) {
  return call(__func__, Needs::Context, [&] {
    auto module = live(handle, CUDA_ERROR_INVALID_HANDLE);
    run_everything();
    forget(*module);
    driver().modules.remove(handle);
  });
}

DRIVER_API cuModuleGetFunction(CUfunction* out, CUmodule handle, const char* name) {
  return call(__func__, Needs::Context, [&] {
    auto module = live(handle, CUDA_ERROR_INVALID_HANDLE);
    require(out && name);
    auto found = module->functions.find(name);
    if (found == module->functions.end())
      found = module->functions.emplace(name, driver().functions.add(make_function(module, name))).first;
    *out = found->second;
  });
}

DRIVER_API cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, CUmodule handle, const char* name) {
  return call(__func__, Needs::Context, [&] {
    size_t size = 0;
    void* found = find_variable(live(handle, CUDA_ERROR_INVALID_HANDLE)->image, name, &size);
    require(found != nullptr, CUDA_ERROR_NOT_FOUND);
    if (address) *address = reinterpret_cast<CUdeviceptr>(found);
    if (bytes) *bytes = size;
  });
}

DRIVER_API cuModuleGetFunctionCount(unsigned* count, CUmodule handle) {
  return call(__func__, Needs::Context, [&] {
    *count = static_cast<unsigned>(kernel_names(live(handle, CUDA_ERROR_INVALID_HANDLE)->image).size());
  });
}

DRIVER_API cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  return call(__func__, Needs::Init, [&] { *mode = CU_MODULE_EAGER_LOADING; });
}

DRIVER_API cuLibraryLoadData(CUlibrary* out, const void* image, CUjit_option*, void**, unsigned, CUlibraryOption*,
                             void**, unsigned) {
  return call(__func__, Needs::Context, [&] {
    refuse_unsafe_call();
    *out = driver().libraries.add(load(image));
  });
}

DRIVER_API cuLibraryUnload(CUlibrary handle) {
  return call(__func__, Needs::Context, [&] {
    auto module = live(handle, CUDA_ERROR_INVALID_HANDLE);
    run_everything();
    forget(*module);
    driver().libraries.remove(handle);
  });
}

DRIVER_API cuLibraryGetKernel(CUkernel* out, CUlibrary handle, const char* name) {
  return call(__func__, Needs::Context, [&] {
    require(out && name);
    *out = kernel_in(live(handle, CUDA_ERROR_INVALID_HANDLE), handle, name);
  });
}

DRIVER_API cuLibraryGetKernelCount(unsigned* count, CUlibrary handle) {
  return call(__func__, Needs::Context, [&] {
    *count = static_cast<unsigned>(kernel_names(live(handle, CUDA_ERROR_INVALID_HANDLE)->image).size());
  });
}

DRIVER_API cuLibraryEnumerateKernels(CUkernel* out, unsigned count, CUlibrary handle) {
  return call(__func__, Needs::Context, [&] {
    auto module = live(handle, CUDA_ERROR_INVALID_HANDLE);
    auto names = kernel_names(module->image);
    for (unsigned i = 0; i < count && i < names.size(); ++i) out[i] = kernel_in(module, handle, names[i].c_str());
  });
}

DRIVER_API cuLibraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary handle, const char* name) {
  return call(__func__, Needs::Context, [&] {
    size_t size = 0;
    void* found = find_variable(live(handle, CUDA_ERROR_INVALID_HANDLE)->image, name, &size);
    require(found != nullptr, CUDA_ERROR_NOT_FOUND);
    if (address) *address = reinterpret_cast<CUdeviceptr>(found);
    if (bytes) *bytes = size;
  });
}

DRIVER_API cuKernelGetFunction(CUfunction* out, CUkernel kernel) {
  return call(__func__, Needs::Context, [&] { *out = function_for(kernel); });
}

DRIVER_API cuKernelGetLibrary(CUlibrary* out, CUkernel kernel) {
  return call(__func__, Needs::Context, [&] { *out = live(kernel, CUDA_ERROR_INVALID_HANDLE)->library; });
}

DRIVER_API cuKernelGetName(const char** name, CUkernel kernel) {
  return call(__func__, Needs::Context, [&] { *name = live(kernel, CUDA_ERROR_INVALID_HANDLE)->name.c_str(); });
}

DRIVER_API cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel, CUdevice) {
  return call(__func__, Needs::Context, [&] {
    *value = read_attribute(*live(kernel, CUDA_ERROR_INVALID_HANDLE), attribute);
  });
}

DRIVER_API cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice) {
  return call(__func__, Needs::Context, [&] {
    write_attribute(*live(kernel, CUDA_ERROR_INVALID_HANDLE), attribute, value);
  });
}

DRIVER_API cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t* offset, size_t* size) {
  return call(__func__, Needs::Context, [&] {
    auto place = argument_place(*live(kernel, CUDA_ERROR_INVALID_HANDLE), index);
    *offset = place.first;
    if (size) *size = place.second;
  });
}

DRIVER_API cuKernelGetParamCount(CUkernel kernel, size_t* count) {
  return call(__func__, Needs::Context, [&] { *count = live(kernel, CUDA_ERROR_INVALID_HANDLE)->sizes.size(); });
}

DRIVER_API cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  return call(__func__, Needs::Context, [&] { *value = read_attribute(*function_of(handle), attribute); });
}

DRIVER_API cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  return call(__func__, Needs::Context, [&] { write_attribute(*function_of(handle), attribute, value); });
}

DRIVER_API cuFuncSetCacheConfig(CUfunction handle, CUfunc_cache) {
  return call(__func__, Needs::Context, [&] { function_of(handle); });
}

DRIVER_API cuFuncGetName(const char** name, CUfunction handle) {
  return call(__func__, Needs::Context, [&] { *name = function_of(handle)->name.c_str(); });
}

DRIVER_API cuFuncGetModule(CUmodule* out, CUfunction handle) {
  return call(__func__, Needs::Context, [&] {
    auto function = function_of(handle);
    for (const auto& [module, object] : driver().modules)
      if (object == function->module) return void(*out = module);
    fail(CUDA_ERROR_INVALID_HANDLE);
  });
}

DRIVER_API cuFuncGetParamInfo(CUfunction handle, size_t index, size_t* offset, size_t* size) {
  return call(__func__, Needs::Context, [&] {
    auto place = argument_place(*function_of(handle), index);
    *offset = place.first;
    if (size) *size = place.second;
  });
}

DRIVER_API cuFuncGetParamCount(CUfunction handle, size_t* count) {
  return call(__func__, Needs::Context, [&] { *count = function_of(handle)->sizes.size(); });
}

DRIVER_API cuFuncIsLoaded(CUfunctionLoadingState* state, CUfunction handle) {
  return call(__func__, Needs::Context, [&] {
    function_of(handle);
    *state = CU_FUNCTION_LOADING_STATE_LOADED;
  });
}

DRIVER_API cuFuncLoad(CUfunction handle) {
  return call(__func__, Needs::Context, [&] { function_of(handle); });
}

DRIVER_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction handle, int threads, size_t shared) {
  return call(__func__, Needs::Context, [&] {
    require(blocks && threads > 0 && threads <= 1024);
    *blocks = blocks_per_multiprocessor(threads, function_of(handle)->static_shared + shared);
  });
}

DRIVER_API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction handle, int threads,
                                                                size_t shared, unsigned) {
  return call(__func__, Needs::Context, [&] {
    require(blocks && threads > 0 && threads <= 1024);
    *blocks = blocks_per_multiprocessor(threads, function_of(handle)->static_shared + shared);
  });
}

DRIVER_API cuOccupancyMaxPotentialBlockSize(int* grid, int* threads, CUfunction handle, CUoccupancyB2DSize to_shared,
                                            size_t shared, int limit) {
  return call(__func__, Needs::Context, [&] {
    *threads = limit > 0 && limit < 1024 ? limit : 1024;
    if (to_shared) shared = to_shared(*threads);
    *grid = 132 * blocks_per_multiprocessor(*threads, function_of(handle)->static_shared + shared);
  });
}

DRIVER_API cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, CUfunction handle, int blocks, int threads) {
  return call(__func__, Needs::Context, [&] {
    require(bytes && blocks > 0 && threads > 0);
    *bytes = (size_t{228} << 10) / blocks - 1024 - function_of(handle)->static_shared;
  });
}
