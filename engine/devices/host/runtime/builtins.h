// What each thread knows of itself, where dynamic shared memory is, and how to stop.
#pragma once

// Private to the module and never address-taken, so that an optimiser keeps them in registers inside of a kernel.
static thread_local uint3 threadIdx, blockIdx, blockDim, gridDim;

static thread_local cg_worker* cg_self;           // the calling OS thread's worker while a kernel runs on it
static thread_local const cg_launch* cg_current;  // the launch it works on
static const cg_runtime* cg_host;                 // set when the module is opened

[[noreturn]] CG_COLD void cg_fail(cg_i32 code, const char* message, const char* file = "", int line = 0) {
  const cg_u32 block[3] = {blockIdx.x, blockIdx.y, blockIdx.z};
  const cg_u32 thread[3] = {threadIdx.x, threadIdx.y, threadIdx.z};
  cg_host->fail(code, block, thread, message, file, line);
  __builtin_unreachable();
}

[[noreturn]] CG_INLINE void __trap() { cg_fail(CG_TRAP, "__trap() was called"); }
CG_INLINE void __brkpt() {}

#undef assert
#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define assert(condition) \
  ((condition) ? (void)0 : cg_fail(CG_ASSERT, "assert(" #condition ") failed", __FILE__, __LINE__))
#endif

extern "C" {
int printf(const char* format, ...);
void* memcpy(void* target, const void* source, size_t bytes);
void* memset(void* target, int value, size_t bytes);
void* memmove(void* target, const void* source, size_t bytes);
int memcmp(const void* a, const void* b, size_t bytes);
size_t strlen(const char* text);
int strcmp(const char* a, const char* b);
void* malloc(size_t bytes);
void free(void* memory);
}

// The engine's regions: on the host a conditional handle is the address of the flag.
typedef unsigned long long cudaGraphConditionalHandle;
CG_INLINE void cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned value) {
  __atomic_store_n((unsigned*)handle, value, __ATOMIC_RELAXED);
}
