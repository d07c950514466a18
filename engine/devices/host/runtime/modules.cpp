// Loading compiled modules, and the memory that kernels work on.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime.h"

cg_module* cg_adopt(void* image) {
  auto open = reinterpret_cast<cg_module_open_function>(dlsym(image, CG_MODULE_OPEN));
  cg_module* module = open ? open(runtime_table()) : nullptr;
  return module && module->version == CG_ABI_VERSION ? module : nullptr;
}

cg_module* cg_open(const char* path, char* message, cg_u64 size) {
  void* image = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!image) {
    const char* reason = dlerror();
    snprintf(message, size, "%s", reason ? reason : "unknown reason");
    return nullptr;
  }
  cg_module* module = cg_adopt(image);
  if (!module) {
    snprintf(message, size, "it is no kernel module of this version");
    dlclose(image);
    return nullptr;
  }
  module->image = image;
  return module;
}

void cg_close(cg_module* module) {
  if (module && module->image) dlclose(module->image);
}

const cg_kernel* cg_find(const cg_module* module, const char* name) {
  for (cg_u32 i = 0; i < module->kernel_count; i++)
    if (strcmp(module->kernels[i].name, name) == 0) return &module->kernels[i];
  return nullptr;
}

// Large buffers lie on huge pages where the system has them: kernels gather from all over them.
void* cg_allocate(cg_u64 bytes) {
  constexpr cg_u64 huge_page = 2 << 20;
  bool large = bytes >= 2 * huge_page;
  void* memory = nullptr;
  if (posix_memalign(&memory, large ? huge_page : 256, bytes ? bytes : 1) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  if (large) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return memory;
}

void cg_free(void* memory) { free(memory); }
