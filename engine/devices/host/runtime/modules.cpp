// Loading compiled modules.
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

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
