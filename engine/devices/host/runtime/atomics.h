// Atomic operations. While one worker runs the whole launch (most launches are too small to be shared) a plain
// read-modify-write does the same for a fifth of the price; the compiler barriers around it keep loops over the threads
// from being vectorised or reordered across it.
#pragma once

template <class T, class Change>
CG_INLINE T cg_update(T* address, Change change) {
  T old;
  if (cg_alone) {
    __asm__ volatile("" ::: "memory");
    old = *address;
    *address = change(old);
    __asm__ volatile("" ::: "memory");
    return old;
  }
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  for (;;) {
    T next = change(old);
    if (__atomic_compare_exchange(address, &old, &next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return old;
  }
}

template <class T>
CG_INLINE T cg_fetch_add(T* address, T value) {
  if (cg_alone) return cg_update(address, [=](T old) { return (T)(old + value); });
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

// CUDA distinguishes who must see an operation: the GPU, the block, the system. On one CPU that is all the same.
#define CG_SCOPES(result, name, parameters, call)                    \
  CG_INLINE result name##_block parameters { return name call; }     \
  CG_INLINE result name##_system parameters { return name call; }
#define CG_ATOMIC(type, name, expression)                                             \
  CG_INLINE type name(type* address, type value) {                                    \
    return cg_update(address, [=](type old) -> type { return expression; });          \
  }                                                                                   \
  CG_SCOPES(type, name, (type* address, type value), (address, value))
#define CG_ATOMIC_ADD(type, unsigned_type)                                                                        \
  CG_INLINE type atomicAdd(type* address, type value) {                                                           \
    return (type)cg_fetch_add((unsigned_type*)address, (unsigned_type)value);                                     \
  }                                                                                                               \
  CG_SCOPES(type, atomicAdd, (type* address, type value), (address, value))                                       \
  CG_INLINE type atomicSub(type* address, type value) {                                                           \
    return (type)cg_fetch_add((unsigned_type*)address, (unsigned_type)(0 - (unsigned_type)value));                \
  }                                                                                                               \
  CG_SCOPES(type, atomicSub, (type* address, type value), (address, value))
#define CG_ATOMIC_INTEGER(type)                                                       \
  CG_ATOMIC(type, atomicMin, value < old ? value : old)                               \
  CG_ATOMIC(type, atomicMax, old < value ? value : old)                               \
  CG_ATOMIC(type, atomicAnd, old & value)                                             \
  CG_ATOMIC(type, atomicOr, old | value)                                              \
  CG_ATOMIC(type, atomicXor, old ^ value)
#define CG_ATOMIC_EXCHANGE(type) CG_ATOMIC(type, atomicExch, value)
#define CG_ATOMIC_COMPARE(type)                                                                            \
  CG_INLINE type atomicCAS(type* address, type compare, type value) {                                      \
    return cg_update(address, [=](type old) -> type { return old == compare ? value : old; });             \
  }                                                                                                        \
  CG_SCOPES(type, atomicCAS, (type* address, type compare, type value), (address, compare, value))

CG_ATOMIC_ADD(int, unsigned)
CG_ATOMIC_ADD(unsigned, unsigned)
CG_ATOMIC_ADD(unsigned long long, unsigned long long)
CG_ATOMIC(float, atomicAdd, old + value)
CG_ATOMIC(double, atomicAdd, old + value)
CG_ATOMIC_INTEGER(int)
CG_ATOMIC_INTEGER(unsigned)
CG_ATOMIC_INTEGER(long long)
CG_ATOMIC_INTEGER(unsigned long long)
CG_ATOMIC_EXCHANGE(int)
CG_ATOMIC_EXCHANGE(unsigned)
CG_ATOMIC_EXCHANGE(unsigned long long)
CG_ATOMIC_EXCHANGE(float)
CG_ATOMIC_COMPARE(int)
CG_ATOMIC_COMPARE(unsigned)
CG_ATOMIC_COMPARE(unsigned short)
CG_ATOMIC_COMPARE(unsigned long long)
CG_ATOMIC(unsigned, atomicInc, old >= value ? 0u : old + 1)
CG_ATOMIC(unsigned, atomicDec, old == 0 || old > value ? value : old - 1)
