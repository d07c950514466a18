// Loads and stores with cache hints, fences, clocks, address spaces and dynamic shared memory.
#pragma once

#define CG_LOAD(name) \
  template <class T>  \
  CG_INLINE T name(const T* address) { return *address; }
CG_LOAD(__ldg) CG_LOAD(__ldcg) CG_LOAD(__ldca) CG_LOAD(__ldcs) CG_LOAD(__ldlu) CG_LOAD(__ldcv)
#undef CG_LOAD
// The value's type is not deduced: __stcs(float*, 1) converts, as CUDA's overloads do.
template <class T> struct cg_same { typedef T type; };
#define CG_STORE(name) \
  template <class T>   \
  CG_INLINE void name(T* address, typename cg_same<T>::type value) { *address = value; }
CG_STORE(__stwb) CG_STORE(__stcg) CG_STORE(__stcs) CG_STORE(__stwt)
#undef CG_STORE

CG_INLINE void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
CG_INLINE void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
CG_INLINE void __threadfence_block() { __asm__ volatile("" ::: "memory"); }

// Time advances by one per reading: kernels that measure themselves, or seed with it, stay deterministic.
static thread_local long long cg_ticks;
CG_INLINE long long clock64() { return ++cg_ticks; }
CG_INLINE clock_t clock() { return (clock_t)++cg_ticks; }
CG_INLINE unsigned long long __globaltimer() { return (unsigned long long)++cg_ticks; }
CG_INLINE void __nanosleep(unsigned) {}

CG_INLINE unsigned __isGlobal(const void*) { return 1; }
CG_INLINE size_t __cvta_generic_to_shared(const void* address) { return (size_t)address; }
CG_INLINE void* __cvta_shared_to_generic(size_t address) { return (void*)address; }
CG_INLINE size_t __cvta_generic_to_global(const void* address) { return (size_t)address; }
