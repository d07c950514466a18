// <cuda_bf16.h>: the upper half of a float, rounded to nearest even.
#pragma once

CG_INLINE unsigned short cg_bfloat16_bits(float x) {
  unsigned bits = cg_bits<unsigned>(x);
  unsigned rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return (unsigned short)((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded);
}
CG_INLINE float cg_bfloat16_value(unsigned short bits) { return cg_bits<float>((unsigned)bits << 16); }

struct alignas(2) __nv_bfloat16 {
  unsigned short bits;
  __nv_bfloat16() = default;
  CG_MEMBER __nv_bfloat16(float x) : bits(cg_bfloat16_bits(x)) {}
  CG_MEMBER __nv_bfloat16(double x) : bits(cg_bfloat16_bits((float)x)) {}
  CG_MEMBER __nv_bfloat16(int x) : bits(cg_bfloat16_bits((float)x)) {}
  CG_MEMBER __nv_bfloat16(unsigned x) : bits(cg_bfloat16_bits((float)x)) {}
  CG_MEMBER __nv_bfloat16(long x) : bits(cg_bfloat16_bits((float)x)) {}
  CG_MEMBER __nv_bfloat16(unsigned long x) : bits(cg_bfloat16_bits((float)x)) {}
  CG_MEMBER __nv_bfloat16(long long x) : bits(cg_bfloat16_bits((float)x)) {}
  CG_MEMBER __nv_bfloat16(unsigned long long x) : bits(cg_bfloat16_bits((float)x)) {}
  CG_MEMBER operator float() const { return cg_bfloat16_value(bits); }
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
  __nv_bfloat162() = default;
  CG_MEMBER __nv_bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) : x(x), y(y) {}
};
typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;
struct __nv_bfloat16_raw { unsigned short x; };

#define CG_H __nv_bfloat16
#define CG_H2 __nv_bfloat162
#include "narrow.h"
#undef CG_H
#undef CG_H2

CG_INLINE __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return cg_bits<__nv_bfloat16>(bits); }
CG_INLINE unsigned short __bfloat16_as_ushort(__nv_bfloat16 h) { return h.bits; }

CG_INLINE __nv_bfloat16 __float2bfloat16(float x) { return x; }
CG_INLINE __nv_bfloat16 __float2bfloat16_rn(float x) { return x; }
CG_INLINE __nv_bfloat16 __double2bfloat16(double x) { return x; }
CG_INLINE float __bfloat162float(__nv_bfloat16 h) { return h; }
CG_INLINE __nv_bfloat162 __float2bfloat162_rn(float x) { return {x, x}; }
CG_INLINE __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {x, y}; }
CG_INLINE __nv_bfloat162 __float22bfloat162_rn(float2 v) { return {v.x, v.y}; }
CG_INLINE float2 __bfloat1622float2(__nv_bfloat162 v) { return {v.x, v.y}; }
CG_INLINE float __low2float(__nv_bfloat162 v) { return v.x; }
CG_INLINE float __high2float(__nv_bfloat162 v) { return v.y; }
CG_INLINE __nv_bfloat16 __low2bfloat16(__nv_bfloat162 v) { return v.x; }
CG_INLINE __nv_bfloat16 __high2bfloat16(__nv_bfloat162 v) { return v.y; }
CG_INLINE __nv_bfloat162 __low2bfloat162(__nv_bfloat162 v) { return {v.x, v.x}; }
CG_INLINE __nv_bfloat162 __high2bfloat162(__nv_bfloat162 v) { return {v.y, v.y}; }
CG_INLINE __nv_bfloat162 __lowhigh2highlow(__nv_bfloat162 v) { return {v.y, v.x}; }
CG_INLINE __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 h) { return {h, h}; }
CG_INLINE __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return {a, b}; }
CG_INLINE __nv_bfloat162 make_bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) { return {x, y}; }
CG_INLINE int __bfloat162int_rn(__nv_bfloat16 h) { return __float2int_rn(h); }
CG_INLINE int __bfloat162int_rz(__nv_bfloat16 h) { return __float2int_rz(h); }
CG_INLINE __nv_bfloat16 __int2bfloat16_rn(int x) { return x; }
CG_INLINE __nv_bfloat16 __uint2bfloat16_rn(unsigned x) { return x; }
#define CUDART_INF_BF16 __ushort_as_bfloat16(0x7f80u)
#define CUDART_NAN_BF16 __ushort_as_bfloat16(0x7fffu)
#define CUDART_ZERO_BF16 __ushort_as_bfloat16(0x0000u)
#define CUDART_ONE_BF16 __ushort_as_bfloat16(0x3f80u)
