// Fixed-width integers, limits and CUDA's vector types.
#pragma once

typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
typedef long long intptr_t;
typedef unsigned long long uintptr_t;
typedef long clock_t;

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;

#define NULL 0
#define offsetof(type, member) __builtin_offsetof(type, member)

#define CHAR_BIT 8
#define INT8_MIN (-128)
#define INT8_MAX 127
#define UINT8_MAX 255
#define INT16_MIN (-32768)
#define INT16_MAX 32767
#define UINT16_MAX 65535
#define INT32_MIN (-2147483647 - 1)
#define INT32_MAX 2147483647
#define UINT32_MAX 4294967295u
#define INT64_MIN (-9223372036854775807LL - 1)
#define INT64_MAX 9223372036854775807LL
#define UINT64_MAX 18446744073709551615ULL
#define SIZE_MAX __SIZE_MAX__
#define SCHAR_MIN INT8_MIN
#define SCHAR_MAX INT8_MAX
#define UCHAR_MAX UINT8_MAX
#define SHRT_MIN INT16_MIN
#define SHRT_MAX INT16_MAX
#define USHRT_MAX UINT16_MAX
#define INT_MIN INT32_MIN
#define INT_MAX INT32_MAX
#define UINT_MAX UINT32_MAX
#define LLONG_MIN INT64_MIN
#define LLONG_MAX INT64_MAX
#define ULLONG_MAX UINT64_MAX

#define INFINITY (__builtin_inff())
#define NAN (__builtin_nanf(""))
#define HUGE_VALF (__builtin_inff())
#define HUGE_VAL (__builtin_inf())
#define FLT_DIG 6
#define FLT_MANT_DIG 24
#define FLT_EPSILON 1.19209290e-7f
#define FLT_MIN 1.17549435e-38f
#define FLT_MAX 3.40282347e+38f
#define DBL_DIG 15
#define DBL_MANT_DIG 53
#define DBL_EPSILON 2.2204460492503131e-16
#define DBL_MIN 2.2250738585072014e-308
#define DBL_MAX 1.7976931348623157e+308

#define CUDART_INF_F (__builtin_inff())
#define CUDART_NAN_F (__builtin_nanf(""))
#define CUDART_INF (__builtin_inf())
#define CUDART_NAN (__builtin_nan(""))
#define CUDART_PI_F 3.141592654f
#define CUDART_PI 3.1415926535897931e+0

#define M_E 2.71828182845904523536
#define M_LOG2E 1.44269504088896340736
#define M_LOG10E 0.434294481903251827651
#define M_LN2 0.693147180559945309417
#define M_LN10 2.30258509299404568402
#define M_PI 3.14159265358979323846
#define M_PI_2 1.57079632679489661923
#define M_PI_4 0.785398163397448309616
#define M_1_PI 0.318309886183790671538
#define M_2_PI 0.636619772367581343076
#define M_2_SQRTPI 1.12837916709551257390
#define M_SQRT2 1.41421356237309504880
#define M_SQRT1_2 0.707106781186547524401

// CUDA aligns pairs and quadruples to their size, up to 16 bytes; triples like their element.
#define CG_VECTOR(element, name, align2, align4)                                                             \
  struct name##1 { element x; };                                                                             \
  struct __attribute__((aligned(align2))) name##2 { element x, y; };                                         \
  struct name##3 { element x, y, z; };                                                                       \
  struct __attribute__((aligned(align4))) name##4 { element x, y, z, w; };                                   \
  CG_INLINE name##1 make_##name##1(element x) { return {x}; }                                                \
  CG_INLINE name##2 make_##name##2(element x, element y) { return {x, y}; }                                  \
  CG_INLINE name##3 make_##name##3(element x, element y, element z) { return {x, y, z}; }                    \
  CG_INLINE name##4 make_##name##4(element x, element y, element z, element w) { return {x, y, z, w}; }

CG_VECTOR(signed char, char, 2, 4)
CG_VECTOR(unsigned char, uchar, 2, 4)
CG_VECTOR(short, short, 4, 8)
CG_VECTOR(unsigned short, ushort, 4, 8)
CG_VECTOR(int, int, 8, 16)
CG_VECTOR(unsigned int, uint, 8, 16)
CG_VECTOR(long, long, 16, 16)
CG_VECTOR(unsigned long, ulong, 16, 16)
CG_VECTOR(long long, longlong, 16, 16)
CG_VECTOR(unsigned long long, ulonglong, 16, 16)
CG_VECTOR(float, float, 8, 16)
CG_VECTOR(double, double, 16, 16)
#undef CG_VECTOR

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
