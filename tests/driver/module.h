// Modules: images made by the host device's compiler, loaded from memory, and the kernels in them.
#pragma once

#include "driver.h"
#include "work.h"

namespace emulated {

struct Module {
  void* image = nullptr;  // dlopen handle
  CUcontext context{};
  std::map<std::string, CUkernel> kernels;
  std::map<std::string, CUfunction> functions;

  ~Module();
};

struct Function {
  std::string name;
  std::shared_ptr<Module> module;  // null for functions that belong to the emulation itself
  CUcontext context{};
  CUlibrary library{};
  std::vector<size_t> sizes, alignments;  // of the arguments, in bytes
  const void* entry = nullptr;  // the runtime's description of the kernel
  void (*native)(void** arguments) = nullptr;  // or a plain function, for emulated libraries
  size_t static_shared = 0;
  size_t dynamic_shared = 48 << 10;
  int max_threads = 1024;
  std::map<int, int> attributes;
};

/// The function behind a CUfunction, or behind a CUkernel that was cast to one.
std::shared_ptr<Function> function_of(CUfunction handle);
std::shared_ptr<Function> function_of(CUfunction function, CUkernel kernel);

/// Copies the arguments that `parameters` (or the packed buffer in `extra`) point to.
std::vector<std::vector<std::byte>> copy_arguments(const Function& function, void** parameters, void** extra);

/// Offset and size of one argument in the packed parameter buffer.
std::pair<size_t, size_t> argument_place(const Function& function, size_t index);

// Runtime.cpp: the host device's ABI.

/// Loads an image; fails with the code the driver has for an image of another architecture, or a broken one.
void* load_image(const void* image);
/// Fills entry and sizes of the kernel called `name`; false when the image has none.
bool find_kernel(void* image, const std::string& name, Function& function);
std::vector<std::string> kernel_names(void* image);
void* find_variable(void* image, const std::string& name, size_t* bytes);
/// Runs all blocks; an error of the kernel becomes a sticky fault.
void run_kernel(const Function& function, const KernelWork& work, void** arguments);

}  // namespace emulated
