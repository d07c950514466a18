// The C interface between compiled kernels, the runtime library that executes them, and whoever launches them.
//
// A *module* is a shared object made from one CUDA C++ source. It exports one symbol, `cg_module_open`, and needs none:
// what it wants of the runtime it gets as a table of functions. The *runtime library* exports the cg_* functions at
// the end of this file. Both are built from the same files, so a module is only ever run by a runtime of equal version.
//
// To run a kernel: cg_open() a module file, cg_find() its kernel, fill a cg_launch, call cg_run_kernel(). Several
// threads may do so at once. All structures are plain C with fixed layout.
#pragma once

typedef unsigned char cg_u8;
typedef unsigned int cg_u32;
typedef int cg_i32;
typedef long long cg_i64;
typedef unsigned long long cg_u64;

#define CG_ABI_VERSION 1u
#define CG_EXPORT extern "C" __attribute__((visibility("default")))

enum cg_limit {
  CG_MAX_THREADS = 1024,            // threads per block
  CG_MAX_SHARED = 232448,           // bytes of dynamic shared memory: what an H100 grants a block
  CG_MAX_ARGUMENT_BYTES = 32764,    // of one launch, as CUDA 12.1 and later allow
};

// In which order blocks, warps and threads run. A correct kernel gives the same result with each.
enum cg_schedule { CG_FORWARD = 0, CG_REVERSE = 1, CG_RANDOM = 2 };

// What can go wrong in a launch. The names are what the kernel did, not what the runtime did about it.
enum cg_fault {
  CG_OK = 0,
  CG_DEADLOCK = 1,        // threads of a block wait at barriers that can never be complete
  CG_BARRIER_IN_LOOP = 2, // a barrier in a kernel that was compiled as one without any
  CG_BAD_MASK = 3,        // a warp collective whose mask cannot be
  CG_TRAP = 4,            // __trap()
  CG_ASSERT = 5,          // assert() of the kernel failed
  CG_STACK_OVERFLOW = 6,  // a thread's stack overflowed
  CG_OUT_OF_BOUNDS = 7,   // sanitizer build: an access outside of the arguments' buffers
  CG_BAD_LAUNCH = 8,      // the launch itself: too many threads, too much shared memory, ...
};

// A buffer that a kernel may touch; sanitizer builds check every access against these.
typedef struct cg_range {
  cg_u64 begin, end;
  const char* name;       // of the buffer, for messages
  cg_u32 argument;        // position in the kernel's arguments
  cg_u32 item_bytes;      // of one element
} cg_range;

// One launch. `arguments` has one pointer per kernel argument, each to the argument's bytes.
typedef struct cg_launch {
  cg_u32 grid[3];
  cg_u32 threads[3];
  cg_u32 shared;          // dynamic shared memory in bytes
  cg_u32 schedule;        // enum cg_schedule
  void** arguments;
  const cg_range* ranges; // null: nothing is checked
  cg_u32 range_count;
  cg_u32 reserved;
} cg_launch;

// One kernel of a module. `run` executes blocks first..last-1 of a launch on the calling thread.
typedef struct cg_kernel {
  const char* name;
  void (*run)(const cg_launch* launch, cg_i64 first, cg_i64 last);
  const cg_u32* sizes;    // bytes of each argument
  const cg_u32* alignments;
  cg_u32 count;           // of arguments
  cg_u32 fibers;          // 1: threads of a block are fibers; 0: a loop over them
} cg_kernel;

// A __device__ or __constant__ variable of a module.
typedef struct cg_variable {
  const char* name;
  void* address;
  cg_u64 bytes;
} cg_variable;

typedef struct cg_module {
  cg_u32 version;         // CG_ABI_VERSION
  cg_u32 kernel_count;
  const cg_kernel* kernels;
  const cg_variable* variables;
  cg_u32 variable_count;
  cg_u32 reserved;
  void* image;            // set by cg_open: the loader's handle
} cg_module;

// A fault of a launch. `message` is complete but for the kernel's name; `address` is the code address of a bad access
// relative to the module's load address (sanitizer builds), to be looked up in its line table.
typedef struct cg_error {
  cg_i32 code;            // enum cg_fault
  cg_i32 line;            // of an assert; 0 where unknown
  cg_u32 block[3];
  cg_u32 thread[3];
  cg_u64 address;
  char message[400];
  char file[400];         // of an assert; empty where unknown
} cg_error;

struct cg_worker;

// What a module gets from the runtime.
typedef struct cg_runtime {
  cg_u32 version;
  cg_u32 reserved;
  struct cg_worker* (*worker)(void);                   // the calling thread's; made on first use
  // Ends the launch with a fault. Never returns: the block is abandoned.
  void (*fail)(cg_i32 code, const cg_u32 block[3], const cg_u32 thread[3], const char* message, const char* file,
               cg_i32 line);
  // Sanitizer builds: may this launch touch these bytes? Does not return where it may not.
  void (*check)(const cg_launch* launch, cg_u64 address, cg_u64 bytes, cg_i32 write, const void* code,
                const cg_u32 block[3], const cg_u32 thread[3]);
} cg_runtime;

// The one symbol of a module.
typedef cg_module* (*cg_module_open_function)(const cg_runtime*);
#define CG_MODULE_OPEN "cg_module_open"

// Pieces of a frame, run in order by one call.
enum cg_node_kind { CG_KERNEL = 0, CG_COPY = 1, CG_FILL = 2 };

typedef struct cg_node {
  cg_u32 kind;            // enum cg_node_kind
  cg_u32 value;           // CG_FILL: the byte
  const cg_kernel* kernel;
  cg_launch launch;
  cg_u64 target, source;  // CG_COPY, CG_FILL: addresses
  cg_u64 bytes;
} cg_node;

// ---- exported by the runtime library ----
#ifdef __cplusplus
// Loads a module file. Null on failure, with the reason in `message`.
CG_EXPORT cg_module* cg_open(const char* path, char* message, cg_u64 size);
// Prepares a module whose image the caller has loaded itself (dlopen): calls its cg_module_open. Null: wrong version.
CG_EXPORT cg_module* cg_adopt(void* image);
// Unloads a module that cg_open loaded. No launch of its kernels may be running.
CG_EXPORT void cg_close(cg_module* module);
CG_EXPORT const cg_kernel* cg_find(const cg_module* module, const char* name);

// Runs one launch to its end on all cores. Returns error->code.
CG_EXPORT cg_i32 cg_run_kernel(const cg_kernel* kernel, const cg_launch* launch, cg_error* error);
// Runs nodes in order. Returns `count`, or the index of the node that failed. `times` is null, or gets start and end
// of each node in milliseconds since `origin` (a value of cg_now).
CG_EXPORT cg_u32 cg_run_nodes(const cg_node* nodes, cg_u32 count, double* times, double origin, cg_error* error);
// Milliseconds of the monotonic clock.
CG_EXPORT double cg_now(void);

// Memory of the device, aligned to 256 bytes and more; null when there is none left.
CG_EXPORT void* cg_allocate(cg_u64 bytes);
CG_EXPORT void cg_free(void* memory);

// How many threads a launch may use, the caller's included; 0 stands for all cores.
CG_EXPORT void cg_set_workers(cg_u32 workers);
CG_EXPORT cg_u32 cg_get_workers(void);
#endif
