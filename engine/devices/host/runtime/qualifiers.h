// CUDA's keywords as the host compiler's.
#pragma once

#define __CUDACC__ 1
#define CUDAGRAPH_HOST 1

#define __host__
#define __device__
#define __constant__
#define __managed__
#define __grid_constant__
#define __global__ inline __attribute__((always_inline))
#define __forceinline__ inline __attribute__((always_inline))
#define __inline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __maxnreg__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __builtin_align__(n) __attribute__((aligned(n)))

// A block runs on one OS thread from beginning to end, so a variable per OS thread is a variable per block.
#define __shared__ static thread_local

#define warpSize 32

// For this library's own functions: small ones that must vanish, and ones that must not.
#define CG_INLINE static inline __attribute__((always_inline))
#define CG_MEMBER inline __attribute__((always_inline))
#define CG_COLD static __attribute__((noinline, cold))
#define CG_LIKELY(x) __builtin_expect(!!(x), 1)
#define CG_UNLIKELY(x) __builtin_expect(!!(x), 0)

// Functions that the sanitizer leaves alone, because it is at work in them.
#if CG_SANITIZE
#define CG_UNCHECKED __attribute__((no_sanitize("kernel-address"), noinline, visibility("hidden"), used))
#else
#define CG_UNCHECKED
#endif
