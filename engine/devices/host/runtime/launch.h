// From a __global__ function to a cg_kernel: a loop over the threads of a block, or a fiber for each of them.
#pragma once

#if defined(__clang__)
#define CG_INDEPENDENT _Pragma("clang loop vectorize(assume_safety) interleave(enable)")
#else
#define CG_INDEPENDENT _Pragma("GCC ivdep")
#endif

// Dynamic shared memory, as `extern __shared__` declares it.
template <class T>
CG_INLINE T* cg_dynamic_shared() {
  return (T*)__builtin_assume_aligned(cg_self->shared, 128);
}

template <class T>
CG_INLINE T cg_argument(const void* bytes) {  // the caller's bytes need not be aligned
  T value;
  __builtin_memcpy((void*)&value, bytes, sizeof value);
  return value;
}

// The first thing on a thread: its last launch may be gone, and every checked access asks the launch that is current.
static CG_UNCHECKED void cg_begin(const cg_launch* launch) { cg_current = launch; }

CG_INLINE void cg_enter(const cg_launch* launch) {
  cg_worker* w = cg_host->worker();
  cg_self = w;
  w->schedule = launch->schedule;
  w->warps = 0;
  blockDim = {launch->threads[0], launch->threads[1], launch->threads[2]};
  gridDim = {launch->grid[0], launch->grid[1], launch->grid[2]};
}

// A stride that shares no factor with `count`: walking by it meets every position once.
CG_COLD cg_i64 cg_stride(cg_i64 count) {
  for (cg_i64 stride = count * 618 / 1000 + 1;; stride++) {
    cg_i64 a = stride, b = count;
    while (b) {
      cg_i64 rest = a % b;
      a = b, b = rest;
    }
    if (a == 1) return stride;
  }
}

// Position `step` in another order than 0, 1, 2...
CG_COLD cg_i64 cg_otherwise(cg_u32 schedule, cg_i64 step, cg_i64 count, cg_i64 stride) {
  if (schedule == CG_FORWARD) return step;
  return schedule == CG_REVERSE ? count - 1 - step : (cg_i64)(((__int128)step * stride + count / 3) % count);
}

CG_INLINE void cg_place_block(const cg_launch* launch, cg_i64 step) {
  cg_i64 block = step;
  if (CG_UNLIKELY(launch->schedule != CG_FORWARD)) {
    cg_i64 blocks = (cg_i64)launch->grid[0] * launch->grid[1] * launch->grid[2];
    block = cg_otherwise(launch->schedule, step, blocks, cg_stride(blocks));
  }
  blockIdx.x = (unsigned)(block % gridDim.x);
  block /= gridDim.x;
  blockIdx.y = (unsigned)(block % gridDim.y);
  blockIdx.z = (unsigned)(block / gridDim.y);
}

template <auto kernel, class... A>
static __attribute__((noinline)) void cg_one_thread(A... a) {
  kernel(a...);
}

template <auto kernel, class... A>
static __attribute__((noinline)) void cg_threads_otherwise(const cg_launch* launch, A... a) {
  cg_i64 threads = (cg_i64)blockDim.x * blockDim.y * blockDim.z, stride = cg_stride(threads);
  for (cg_i64 step = 0; step < threads; step++) {
    cg_place_thread((unsigned)cg_otherwise(launch->schedule, step, threads, stride));
    cg_one_thread<kernel, A...>(a...);
  }
}

// The loop runs over the index in the whole grid, so that blockIdx.x * blockDim.x + threadIdx.x becomes the loop's own
// variable and accesses to x[i] become vector loads instead of gathers.
template <auto kernel, class... A>
static __attribute__((noinline)) void cg_loop(const cg_launch* launch, cg_i64 first, cg_i64 last, A... a) {
  cg_enter(launch);
  for (cg_i64 step = first; step < last; step++) {
    cg_place_block(launch, step);
    const unsigned offset = blockIdx.x * blockDim.x;
    if (CG_UNLIKELY(launch->schedule != CG_FORWARD || offset > 0x7fffffffu - blockDim.x)) {
      cg_threads_otherwise<kernel, A...>(launch, a...);
      continue;
    }
    const int begin = (int)offset, end = begin + (int)launch->threads[0];
    for (unsigned z = 0; z < launch->threads[2]; z++) {
      for (unsigned y = 0; y < launch->threads[1]; y++) {
        threadIdx.y = y;
        threadIdx.z = z;
        CG_INDEPENDENT
        for (int index = begin; index < end; index++) {
          threadIdx.x = (unsigned)index - offset;
          kernel(a...);
        }
      }
    }
  }
}

template <int... I> struct cg_indices {};
template <int N, int... I> struct cg_count_to : cg_count_to<N - 1, N - 1, I...> {};
template <int... I> struct cg_count_to<0, I...> { typedef cg_indices<I...> type; };

template <auto kernel, class Signature> struct cg_entry;
template <auto kernel, class... A>
struct cg_entry<kernel, void (*)(A...)> {
  typedef typename cg_count_to<sizeof...(A)>::type indices;
  static constexpr cg_u32 count = sizeof...(A);
  static constexpr cg_u32 sizes[sizeof...(A) + 1] = {(cg_u32)sizeof(A)..., 0};
  static constexpr cg_u32 alignments[sizeof...(A) + 1] = {(cg_u32)alignof(A)..., 0};

  template <int... I>
  static void call_loop(const cg_launch* launch, cg_i64 first, cg_i64 last, cg_indices<I...>) {
    cg_loop<kernel, A...>(launch, first, last, cg_argument<A>(launch->arguments[I])...);
  }
  template <int... I>
  CG_INLINE void call_thread(void** arguments, cg_indices<I...>) {
    kernel(cg_argument<A>(arguments[I])...);
  }
  static void thread(void** arguments) { call_thread(arguments, indices()); }

  static void run(const cg_launch* launch, cg_i64 first, cg_i64 last) {
    cg_begin(launch);
    if constexpr (!CG_FIBERS) return call_loop(launch, first, last, indices());
    cg_enter(launch);
    cg_worker* w = cg_self;
    w->body = thread;
    w->arguments = launch->arguments;
    for (cg_i64 step = first; step < last; step++) {
      cg_place_block(launch, step);
      cg_run_block(w, (int)(blockDim.x * blockDim.y * blockDim.z), (cg_u32)step);
    }
  }
};

#define CG_ENTRY_OF(function) cg_entry<&function, decltype(&function)>
#define CG_KERNEL_ENTRY(function)                                                                        \
  {#function, CG_ENTRY_OF(function)::run, CG_ENTRY_OF(function)::sizes, CG_ENTRY_OF(function)::alignments, \
   CG_ENTRY_OF(function)::count, CG_FIBERS}
#define CG_VARIABLE_ENTRY(variable) {#variable, (void*)&variable, sizeof(variable)}

// The end of every module, after its tables cg_kernels and cg_variables: the one symbol that it exports.
#define CG_MODULE()                                                                                      \
  static cg_module cg_this_module = {CG_ABI_VERSION, sizeof cg_kernels / sizeof *cg_kernels, cg_kernels, \
                                     cg_variables, sizeof cg_variables / sizeof *cg_variables - 1, 0, 0}; \
  CG_EXPORT cg_module* cg_module_open(const cg_runtime* runtime) {                                       \
    cg_host = runtime;                                                                                   \
    return &cg_this_module;                                                                              \
  }
