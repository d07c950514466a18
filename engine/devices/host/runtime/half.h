// <cuda_fp16.h>: 16-bit floats, with the compiler's _Float16 where it has one and in software where it has not.
#pragma once

#if defined(__FLT16_MANT_DIG__) && !defined(CG_SOFTWARE_HALF)
CG_INLINE unsigned short cg_half_bits(float x) { return cg_bits<unsigned short>((_Float16)x); }
CG_INLINE float cg_half_value(unsigned short bits) { return (float)cg_bits<_Float16>(bits); }
#else
// Adding and subtracting powers of two lets the float unit do the rounding (M. Dukhan's FP16 library).
CG_INLINE unsigned short cg_half_bits(float x) {
  unsigned bits = cg_bits<unsigned>(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  float scaled = (__builtin_fabsf(x) * cg_bits<float>(0x77800000u)) * cg_bits<float>(0x08800000u);
  unsigned bias = bits + bits & 0xff000000u;
  bias = bias < 0x71000000u ? 0x71000000u : bias;
  unsigned rounded = cg_bits<unsigned>(cg_bits<float>((bias >> 1) + 0x07800000u) + scaled);
  unsigned result = (rounded >> 13 & 0x7c00u) + (rounded & 0x0fffu);
  return (unsigned short)(sign | (magnitude > 0x7f800000u ? 0x7e00u : result));
}
CG_INLINE float cg_half_value(unsigned short bits) {
  unsigned wide = (unsigned)bits << 16, sign = wide & 0x80000000u, twice = wide + wide;
  float normal = cg_bits<float>((twice >> 4) + 0x70000000u) * cg_bits<float>(0x07800000u);
  float denormal = cg_bits<float>(twice >> 17 | 0x3f000000u) - 0.5f;
  return cg_bits<float>(sign | cg_bits<unsigned>(twice < 0x08000000u ? denormal : normal));
}
#endif

struct alignas(2) __half {
  unsigned short bits;
  __half() = default;
  CG_MEMBER __half(float x) : bits(cg_half_bits(x)) {}
  CG_MEMBER __half(double x) : bits(cg_half_bits((float)x)) {}
  CG_MEMBER __half(int x) : bits(cg_half_bits((float)x)) {}
  CG_MEMBER __half(unsigned x) : bits(cg_half_bits((float)x)) {}
  CG_MEMBER __half(long x) : bits(cg_half_bits((float)x)) {}
  CG_MEMBER __half(unsigned long x) : bits(cg_half_bits((float)x)) {}
  CG_MEMBER __half(long long x) : bits(cg_half_bits((float)x)) {}
  CG_MEMBER __half(unsigned long long x) : bits(cg_half_bits((float)x)) {}
  CG_MEMBER operator float() const { return cg_half_value(bits); }
};
struct alignas(4) __half2 {
  __half x, y;
  __half2() = default;
  CG_MEMBER __half2(__half x, __half y) : x(x), y(y) {}
};
typedef __half half;
typedef __half2 half2;
struct __half_raw { unsigned short x; };

#define CG_H __half
#define CG_H2 __half2
#include "narrow.h"
#undef CG_H
#undef CG_H2

CG_INLINE __half __ushort_as_half(unsigned short bits) { return cg_bits<__half>(bits); }
CG_INLINE unsigned short __half_as_ushort(__half h) { return h.bits; }
CG_INLINE __half __short_as_half(short bits) { return cg_bits<__half>(bits); }
CG_INLINE short __half_as_short(__half h) { return (short)h.bits; }

CG_INLINE __half __float2half(float x) { return x; }
CG_INLINE __half __float2half_rn(float x) { return x; }
CG_INLINE __half __double2half(double x) { return x; }
CG_INLINE float __half2float(__half h) { return h; }
CG_INLINE __half2 __float2half2_rn(float x) { return {x, x}; }
CG_INLINE __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
CG_INLINE __half2 __float22half2_rn(float2 v) { return {v.x, v.y}; }
CG_INLINE float2 __half22float2(__half2 v) { return {v.x, v.y}; }
CG_INLINE float __low2float(__half2 v) { return v.x; }
CG_INLINE float __high2float(__half2 v) { return v.y; }
CG_INLINE __half __low2half(__half2 v) { return v.x; }
CG_INLINE __half __high2half(__half2 v) { return v.y; }
CG_INLINE __half2 __low2half2(__half2 v) { return {v.x, v.x}; }
CG_INLINE __half2 __high2half2(__half2 v) { return {v.y, v.y}; }
CG_INLINE __half2 __lows2half2(__half2 a, __half2 b) { return {a.x, b.x}; }
CG_INLINE __half2 __highs2half2(__half2 a, __half2 b) { return {a.y, b.y}; }
CG_INLINE __half2 __lowhigh2highlow(__half2 v) { return {v.y, v.x}; }
CG_INLINE __half2 __half2half2(__half h) { return {h, h}; }
CG_INLINE __half2 __halves2half2(__half a, __half b) { return {a, b}; }
CG_INLINE __half2 make_half2(__half x, __half y) { return {x, y}; }
CG_INLINE int __half2int_rn(__half h) { return __float2int_rn(h); }
CG_INLINE int __half2int_rz(__half h) { return __float2int_rz(h); }
CG_INLINE int __half2int_rd(__half h) { return __float2int_rd(h); }
CG_INLINE int __half2int_ru(__half h) { return __float2int_ru(h); }
CG_INLINE unsigned __half2uint_rn(__half h) { return __float2uint_rn(h); }
CG_INLINE short __half2short_rn(__half h) { return (short)cg_to_integer<int>(rintf(h), -32768, 32767); }
CG_INLINE __half __int2half_rn(int x) { return x; }
CG_INLINE __half __uint2half_rn(unsigned x) { return x; }
CG_INLINE __half __short2half_rn(short x) { return (int)x; }
#define CUDART_INF_FP16 __ushort_as_half(0x7c00u)
#define CUDART_NAN_FP16 __ushort_as_half(0x7fffu)
#define CUDART_ZERO_FP16 __ushort_as_half(0x0000u)
#define CUDART_ONE_FP16 __ushort_as_half(0x3c00u)
#define CUDART_MAX_NORMAL_FP16 __ushort_as_half(0x7bffu)
