// Sanitizer builds: the functions that the compiler calls before each access to memory. They ask the runtime.
#pragma once

#if CG_SANITIZE
extern "C" CG_UNCHECKED void cg_check(cg_u64 address, cg_u64 bytes, cg_i32 write, const void* code) {
  const cg_u32 block[3] = {blockIdx.x, blockIdx.y, blockIdx.z};
  const cg_u32 thread[3] = {threadIdx.x, threadIdx.y, threadIdx.z};
  cg_host->check(cg_current, address, bytes, write, code, block, thread);
}
#define CG_CHECKED(kind, write, suffix, bytes)                                       \
  extern "C" CG_UNCHECKED void __asan_##kind##suffix##_noabort(cg_u64 address) {     \
    cg_check(address, bytes, write, __builtin_return_address(0));                    \
  }
#define CG_CHECKED_SIZES(kind, write)                                                             \
  CG_CHECKED(kind, write, 1, 1) CG_CHECKED(kind, write, 2, 2) CG_CHECKED(kind, write, 4, 4)       \
  CG_CHECKED(kind, write, 8, 8) CG_CHECKED(kind, write, 16, 16)                                   \
  extern "C" CG_UNCHECKED void __asan_##kind##N_noabort(cg_u64 address, cg_u64 bytes) {           \
    cg_check(address, bytes, write, __builtin_return_address(0));                                 \
  }
CG_CHECKED_SIZES(load, 0)
CG_CHECKED_SIZES(store, 1)
#undef CG_CHECKED_SIZES
#undef CG_CHECKED
extern "C" CG_UNCHECKED void __asan_handle_no_return() {}
#define CG_CHECKED_COPY(name)                                                                          \
  extern "C" CG_UNCHECKED void* __asan_##name(void* target, const void* source, size_t bytes) {        \
    cg_check((cg_u64)source, bytes, 0, __builtin_return_address(0));                                   \
    cg_check((cg_u64)target, bytes, 1, __builtin_return_address(0));                                   \
    return name(target, source, bytes);                                                                \
  }
CG_CHECKED_COPY(memcpy)
CG_CHECKED_COPY(memmove)
#undef CG_CHECKED_COPY
extern "C" CG_UNCHECKED void* __asan_memset(void* target, int value, size_t bytes) {
  cg_check((cg_u64)target, bytes, 1, __builtin_return_address(0));
  return memset(target, value, bytes);
}
#endif
