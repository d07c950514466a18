// Modules and launches through the host device's runtime library.
#include <abi.h>
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "memory.h"
#include "module.h"

namespace emulated {

namespace {

#if defined(__x86_64__)
constexpr unsigned own_machine = EM_X86_64;
#else
constexpr unsigned own_machine = EM_AARCH64;
#endif

struct Runtime {
  decltype(&cg_adopt) adopt;
  decltype(&cg_find) find;
  decltype(&cg_run_kernel) run;
};

/// The library is loaded on first use, so that the driver alone works without any.
const Runtime& runtime() {
  static const Runtime loaded = [] {
    const std::string& path = driver().settings.runtime;
    void* library = path.empty() ? nullptr : dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) std::fprintf(stderr, "[cuda] no host runtime at '%s'\n", path.c_str());
    require(library != nullptr, CUDA_ERROR_SYSTEM_NOT_READY);
    auto symbol = [&](const char* name) { return dlsym(library, name); };
    return Runtime{reinterpret_cast<decltype(&cg_adopt)>(symbol("cg_adopt")),
                   reinterpret_cast<decltype(&cg_find)>(symbol("cg_find")),
                   reinterpret_cast<decltype(&cg_run_kernel)>(symbol("cg_run_kernel"))};
  }();
  return loaded;
}

/// The size that an image tells about itself: up to the end of its section headers, which linkers write last.
size_t image_size(const void* image) {
  auto* header = static_cast<const Elf64_Ehdr*>(image);
  bool elf = std::memcmp(header->e_ident, ELFMAG, SELFMAG) == 0;
  bool ptx = !elf && std::strstr(static_cast<const char*>(image), ".version");
  require(!ptx, CUDA_ERROR_UNSUPPORTED_PTX_VERSION);  // PTX cannot run on a CPU
  require(elf, CUDA_ERROR_INVALID_IMAGE);
  require(header->e_machine == own_machine, CUDA_ERROR_NO_BINARY_FOR_GPU);
  return header->e_shoff + size_t{header->e_shentsize} * header->e_shnum;
}

/// A spelling of the file's path that no earlier image had: the loader takes equal paths for the same library.
std::string unique_path(int file, unsigned image) {
  std::string path = "/proc/self/fd/";
  for (int bit = 0; bit < 20; ++bit) path += image >> bit & 1 ? "./" : "/";
  return path + std::to_string(file);
}

void* open_image(const void* image, size_t bytes) {
  static unsigned images = 0;
  int file = memfd_create("cudagraph-module", MFD_CLOEXEC);
  require(file >= 0, CUDA_ERROR_OPERATING_SYSTEM);
  bool written = write(file, image, bytes) == static_cast<ssize_t>(bytes);
  std::string path = unique_path(file, ++images);
  void* opened = written ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (!opened) std::fprintf(stderr, "[cuda] %s\n", dlerror());
  close(file);
  require(opened != nullptr, CUDA_ERROR_INVALID_IMAGE);
  return opened;
}

cg_module* module_of(void* image) {
  cg_module* module = runtime().adopt(image);
  require(module != nullptr, CUDA_ERROR_INVALID_IMAGE);
  return module;
}

CUresult code_of(int fault) {
  switch (fault) {
    case CG_ASSERT: return CUDA_ERROR_ASSERT;
    case CG_OUT_OF_BOUNDS: return CUDA_ERROR_ILLEGAL_ADDRESS;
    case CG_DEADLOCK: return CUDA_ERROR_LAUNCH_TIMEOUT;
    case CG_BAD_LAUNCH: return CUDA_ERROR_INVALID_VALUE;
    default: return CUDA_ERROR_LAUNCH_FAILED;
  }
}

}  // namespace

void* load_image(const void* image) {
  size_t bytes = image_size(image);
  runtime();
  void* opened = open_image(image, bytes);
  module_of(opened);
  return opened;
}

bool find_kernel(void* image, const std::string& name, Function& function) {
  const cg_kernel* kernel = runtime().find(module_of(image), name.c_str());
  if (!kernel) return false;
  function.entry = kernel;
  function.sizes.assign(kernel->sizes, kernel->sizes + kernel->count);
  function.alignments.assign(kernel->alignments, kernel->alignments + kernel->count);
  return true;
}

std::vector<std::string> kernel_names(void* image) {
  const cg_module* module = module_of(image);
  std::vector<std::string> names;
  for (unsigned i = 0; i < module->kernel_count; ++i) names.emplace_back(module->kernels[i].name);
  return names;
}

void* find_variable(void* image, const std::string& name, size_t* bytes) {
  const cg_module* module = module_of(image);
  for (unsigned i = 0; i < module->variable_count; ++i) {
    const cg_variable& variable = module->variables[i];
    if (name != variable.name) continue;
    *bytes = variable.bytes;
    return variable.address;
  }
  return nullptr;
}

void run_kernel(const Function& function, const KernelWork& work, void** arguments) {
  if (function.native) return function.native(arguments);
  cg_launch launch{};
  std::copy(work.grid.begin(), work.grid.end(), launch.grid);
  std::copy(work.block.begin(), work.block.end(), launch.threads);
  launch.shared = work.shared;
  launch.schedule = CG_FORWARD;
  launch.arguments = arguments;
  cg_error error{};
  if (!runtime().run(static_cast<const cg_kernel*>(function.entry), &launch, &error)) return;
  fault(code_of(error.code), "kernel " + function.name + ": " + error.message);
}

}  // namespace emulated
