// Atomic operations: always real ones. A plain read-modify-write where one thread runs the whole launch was tried: it
// is no faster on a current CPU, and a compiler would have to be kept from vectorising across it.
#pragma once

template <class T, class Change>
CG_INLINE T cg_update(T* address, Change change) {
  T old;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  for (;;) {
    T next = change(old);
    if (__atomic_compare_exchange(address, &old, &next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return old;
  }
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
    return (type)__atomic_fetch_add((unsigned_type*)address, (unsigned_type)value, __ATOMIC_RELAXED);             \
  }                                                                                                               \
  CG_SCOPES(type, atomicAdd, (type* address, type value), (address, value))                                       \
  CG_INLINE type atomicSub(type* address, type value) {                                                           \
    return (type)__atomic_fetch_sub((unsigned_type*)address, (unsigned_type)value, __ATOMIC_RELAXED);             \
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
