// Symbol lookup: the newest version of a function that both the caller and this driver know.
#include <dlfcn.h>

#include "driver.h"

namespace emulated {

namespace {

struct Symbol {
  const char* name;
  int version;
  const char* symbol;
};

const Symbol symbols[] = {
#include "symbols.inc"
};

void* own_symbol(const char* symbol) {
  static void* self = [] {
    Dl_info info{};
    dladdr(reinterpret_cast<void*>(&own_symbol), &info);
    return dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  }();
  return dlsym(self, symbol);
}

struct Lookup {
  const Symbol* found = nullptr;
  bool too_new = false;
};

Lookup look_up(const std::string& name, int version) {
  Lookup lookup;
  for (const Symbol& entry : symbols) {
    if (name != entry.name) continue;
    if (entry.version > version || entry.version > driver().settings.version)
      lookup.too_new = true;
    else if (!lookup.found || entry.version >= lookup.found->version)
      lookup.found = &entry;
  }
  return lookup;
}

void find_symbol(const char* name, void** out, int version, CUdriverProcAddressQueryResult* status) {
  require(name && out);
  Lookup lookup = look_up(name, version);
  *out = lookup.found ? own_symbol(lookup.found->symbol) : nullptr;
  if (status)
    *status = *out              ? CU_GET_PROC_ADDRESS_SUCCESS
              : lookup.too_new ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                               : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
}

}  // namespace
}  // namespace emulated

using namespace emulated;

DRIVER_API cuGetProcAddress_v2(const char* name, void** out, int version, cuuint64_t,
                               CUdriverProcAddressQueryResult* status) {
  return call(__func__, Needs::Nothing, [&] { find_symbol(name, out, version, status); });
}

DRIVER_API cuGetProcAddress(const char* name, void** out, int version, cuuint64_t) {
  return call(__func__, Needs::Nothing, [&] {
    find_symbol(name, out, version, nullptr);
    require(*out != nullptr, CUDA_ERROR_NOT_FOUND);
  });
}
