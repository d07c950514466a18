// CUDA's mathematical functions: libm's under their own names, overloads for float, and the intrinsics.
#pragma once

#define CG_UNARY(name)                            \
  extern "C" double name(double);                 \
  extern "C" float name##f(float);                \
  CG_INLINE float name(float x) { return name##f(x); }
#define CG_BINARY(name)                           \
  extern "C" double name(double, double);         \
  extern "C" float name##f(float, float);         \
  CG_INLINE float name(float x, float y) { return name##f(x, y); }
#define CG_UNARY_OWN(name)                        \
  extern "C" double name(double);                 \
  CG_INLINE float name(float x) { return name##f(x); }

CG_UNARY_OWN(exp) CG_UNARY_OWN(exp2) CG_UNARY_OWN(log) CG_UNARY_OWN(tanh)
CG_UNARY(acos) CG_UNARY(acosh) CG_UNARY(asin) CG_UNARY(asinh) CG_UNARY(atan) CG_UNARY(atanh) CG_UNARY(cbrt)
CG_UNARY(ceil) CG_UNARY(cos) CG_UNARY(cosh) CG_UNARY(erf) CG_UNARY(erfc) CG_UNARY(expm1) CG_UNARY(fabs)
CG_UNARY(floor) CG_UNARY(lgamma) CG_UNARY(log10) CG_UNARY(log1p) CG_UNARY(log2) CG_UNARY(logb)
CG_UNARY(nearbyint) CG_UNARY(rint) CG_UNARY(round) CG_UNARY(sin) CG_UNARY(sinh) CG_UNARY(sqrt) CG_UNARY(tan)
CG_UNARY(tgamma) CG_UNARY(trunc)
CG_BINARY(atan2) CG_BINARY(copysign) CG_BINARY(fdim) CG_BINARY(fmod) CG_BINARY(hypot) CG_BINARY(nextafter)
CG_BINARY(pow) CG_BINARY(remainder)
#undef CG_UNARY
#undef CG_BINARY
#undef CG_UNARY_OWN

extern "C" {
double fma(double, double, double);
float fmaf(float, float, float);
double ldexp(double, int);
float ldexpf(float, int);
double scalbn(double, int);
float scalbnf(float, int);
double frexp(double, int*);
float frexpf(float, int*);
double modf(double, double*);
float modff(float, float*);
double remquo(double, double, int*);
float remquof(float, float, int*);
int ilogb(double);
int ilogbf(float);
long lround(double);
long lroundf(float);
long lrint(double);
long lrintf(float);
long long llround(double);
long long llroundf(float);
long long llrint(double);
long long llrintf(float);
double j0(double);
double j1(double);
double y0(double);
double y1(double);
}
CG_INLINE float fma(float a, float b, float c) { return fmaf(a, b, c); }
CG_INLINE float ldexp(float x, int n) { return ldexpf(x, n); }
CG_INLINE float scalbn(float x, int n) { return scalbnf(x, n); }
CG_INLINE float frexp(float x, int* n) { return frexpf(x, n); }
CG_INLINE float modf(float x, float* whole) { return modff(x, whole); }
CG_INLINE float pow(float x, int n) { return powf(x, (float)n); }
CG_INLINE double pow(double x, int n) { return pow(x, (double)n); }
CG_INLINE float j0f(float x) { return (float)j0(x); }
CG_INLINE float j1f(float x) { return (float)j1(x); }

// ---- min, max, abs, classification ----
// Written out: fmaxf() is a call unless NaNs are ruled out. One NaN gives the other operand, as in CUDA.
CG_INLINE float fmaxf(float a, float b) { return a > b || b != b ? a : b; }
CG_INLINE float fminf(float a, float b) { return a < b || b != b ? a : b; }
CG_INLINE double fmax(double a, double b) { return a > b || b != b ? a : b; }
CG_INLINE double fmin(double a, double b) { return a < b || b != b ? a : b; }
CG_INLINE float fmax(float a, float b) { return fmaxf(a, b); }
CG_INLINE float fmin(float a, float b) { return fminf(a, b); }

#define CG_ORDER(type)                                                 \
  CG_INLINE type min(type a, type b) { return b < a ? b : a; }         \
  CG_INLINE type max(type a, type b) { return a < b ? b : a; }
CG_ORDER(int) CG_ORDER(unsigned) CG_ORDER(long) CG_ORDER(unsigned long)
CG_ORDER(long long) CG_ORDER(unsigned long long)
#undef CG_ORDER
#define CG_MIXED_ORDER(narrow, wide)                                                \
  CG_INLINE wide min(narrow a, wide b) { return min((wide)a, b); }                  \
  CG_INLINE wide min(wide a, narrow b) { return min(a, (wide)b); }                  \
  CG_INLINE wide max(narrow a, wide b) { return max((wide)a, b); }                  \
  CG_INLINE wide max(wide a, narrow b) { return max(a, (wide)b); }
CG_MIXED_ORDER(int, unsigned) CG_MIXED_ORDER(long, unsigned long) CG_MIXED_ORDER(long long, unsigned long long)
#undef CG_MIXED_ORDER
CG_INLINE float min(float a, float b) { return fminf(a, b); }
CG_INLINE float max(float a, float b) { return fmaxf(a, b); }
CG_INLINE double min(double a, double b) { return fmin(a, b); }
CG_INLINE double max(double a, double b) { return fmax(a, b); }
CG_INLINE double min(float a, double b) { return fmin((double)a, b); }
CG_INLINE double min(double a, float b) { return fmin(a, (double)b); }
CG_INLINE double max(float a, double b) { return fmax((double)a, b); }
CG_INLINE double max(double a, float b) { return fmax(a, (double)b); }
CG_INLINE int umin(unsigned a, unsigned b) { return (int)min(a, b); }
CG_INLINE int umax(unsigned a, unsigned b) { return (int)max(a, b); }

CG_INLINE int abs(int x) { return x < 0 ? -x : x; }
CG_INLINE long abs(long x) { return x < 0 ? -x : x; }
CG_INLINE long long abs(long long x) { return x < 0 ? -x : x; }
CG_INLINE long labs(long x) { return abs(x); }
CG_INLINE long long llabs(long long x) { return abs(x); }
CG_INLINE float abs(float x) { return __builtin_fabsf(x); }
CG_INLINE double abs(double x) { return __builtin_fabs(x); }

CG_INLINE bool isnan(float x) { return __builtin_isnan(x); }
CG_INLINE bool isnan(double x) { return __builtin_isnan(x); }
CG_INLINE bool isinf(float x) { return __builtin_isinf(x); }
CG_INLINE bool isinf(double x) { return __builtin_isinf(x); }
CG_INLINE bool isfinite(float x) { return __builtin_isfinite(x); }
CG_INLINE bool isfinite(double x) { return __builtin_isfinite(x); }
CG_INLINE bool signbit(float x) { return __builtin_signbit(x); }
CG_INLINE bool signbit(double x) { return __builtin_signbit(x); }

// ---- functions that C does not have ----
CG_INLINE float rsqrtf(float x) { return 1.0f / __builtin_sqrtf(x); }
CG_INLINE double rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }
CG_INLINE float rsqrt(float x) { return rsqrtf(x); }
CG_INLINE float rcbrtf(float x) { return 1.0f / cbrtf(x); }
CG_INLINE double rcbrt(double x) { return 1.0 / cbrt(x); }
CG_INLINE double exp10(double x) { return pow(10.0, x); }
CG_INLINE float exp10f(float x) { return powf(10.0f, x); }
CG_INLINE float exp10(float x) { return exp10f(x); }
CG_INLINE double cg_reduce_pi(double x) { return x - 2.0 * rint(x * 0.5); }  // exact: sin(pi x) has period 2
CG_INLINE double sinpi(double x) { return sin(M_PI * cg_reduce_pi(x)); }
CG_INLINE double cospi(double x) { return cos(M_PI * cg_reduce_pi(x)); }
CG_INLINE float sinpif(float x) { return (float)sinpi((double)x); }
CG_INLINE float cospif(float x) { return (float)cospi((double)x); }
CG_INLINE void sincos(double x, double* s, double* c) { *s = sin(x), *c = cos(x); }
CG_INLINE void sincosf(float x, float* s, float* c) { *s = sinf(x), *c = cosf(x); }
CG_INLINE void sincos(float x, float* s, float* c) { sincosf(x, s, c); }
CG_INLINE void sincospi(double x, double* s, double* c) { *s = sinpi(x), *c = cospi(x); }
CG_INLINE void sincospif(float x, float* s, float* c) { *s = sinpif(x), *c = cospif(x); }
CG_INLINE float normcdff(float x) { return 0.5f * erfcf(-x * 0.707106781f); }
CG_INLINE double normcdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
CG_INLINE float norm3df(float a, float b, float c) { return sqrtf(a * a + b * b + c * c); }
CG_INLINE double norm3d(double a, double b, double c) { return sqrt(a * a + b * b + c * c); }
CG_INLINE float rnorm3df(float a, float b, float c) { return 1.0f / norm3df(a, b, c); }
CG_INLINE float norm4df(float a, float b, float c, float d) { return sqrtf(a * a + b * b + c * c + d * d); }
CG_INLINE float rhypotf(float a, float b) { return 1.0f / hypotf(a, b); }
CG_INLINE double rhypot(double a, double b) { return 1.0 / hypot(a, b); }

// ---- fast-math intrinsics ----
CG_INLINE float __expf(float x) { return expf(x); }
CG_INLINE float __exp10f(float x) { return exp2f(x * 3.321928095f); }
CG_INLINE float __logf(float x) { return logf(x); }
CG_INLINE float __log2f(float x) { return logf(x) * 1.442695041f; }
CG_INLINE float __log10f(float x) { return logf(x) * 0.4342944819f; }
CG_INLINE float __powf(float x, float y) { return exp2f(y * __log2f(x)); }
CG_INLINE float __fdividef(float a, float b) { return a / b; }
CG_INLINE float fdividef(float a, float b) { return a / b; }
CG_INLINE float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
CG_INLINE float __frsqrt_rn(float x) { return rsqrtf(x); }
CG_INLINE float __tanhf(float x) { return tanhf(x); }

// Round-to-nearest operations that a compiler must not fuse with their neighbours.
#if defined(__x86_64__)
#define CG_FLOAT_REGISTER "+x"
#else
#define CG_FLOAT_REGISTER "+w"
#endif
template <class T>
CG_INLINE T cg_rounded(T x) {
  __asm__("" : CG_FLOAT_REGISTER(x));
  return x;
}
CG_INLINE float __fadd_rn(float a, float b) { return cg_rounded(a + b); }
CG_INLINE float __fsub_rn(float a, float b) { return cg_rounded(a - b); }
CG_INLINE float __fmul_rn(float a, float b) { return cg_rounded(a * b); }
CG_INLINE float __fdiv_rn(float a, float b) { return a / b; }
CG_INLINE float __frcp_rn(float x) { return 1.0f / x; }
CG_INLINE float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
CG_INLINE float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
CG_INLINE double __dadd_rn(double a, double b) { return cg_rounded(a + b); }
CG_INLINE double __dsub_rn(double a, double b) { return cg_rounded(a - b); }
CG_INLINE double __dmul_rn(double a, double b) { return cg_rounded(a * b); }
CG_INLINE double __ddiv_rn(double a, double b) { return a / b; }
CG_INLINE double __drcp_rn(double x) { return 1.0 / x; }
CG_INLINE double __dsqrt_rn(double x) { return __builtin_sqrt(x); }
CG_INLINE double __fma_rn(double a, double b, double c) { return fma(a, b, c); }

// ---- conversions ----
// A GPU saturates and turns NaN into 0, where C++ leaves the result undefined.
template <class To, class From>
CG_INLINE To cg_to_integer(From x, To low, To high) {
  if (x != x) return 0;
  if (x <= (From)low) return low;
  return x >= (From)high ? high : (To)x;
}
#define CG_ROUNDINGS(prefix, target, source, type, low, high)                                                     \
  CG_INLINE type __##prefix##2##target##_rn(source x) { return cg_to_integer<type>(rint(x), low, high); }        \
  CG_INLINE type __##prefix##2##target##_rz(source x) { return cg_to_integer<type>(trunc(x), low, high); }       \
  CG_INLINE type __##prefix##2##target##_rd(source x) { return cg_to_integer<type>(floor(x), low, high); }       \
  CG_INLINE type __##prefix##2##target##_ru(source x) { return cg_to_integer<type>(ceil(x), low, high); }
CG_ROUNDINGS(float, int, float, int, INT_MIN, INT_MAX)
CG_ROUNDINGS(float, uint, float, unsigned, 0u, UINT_MAX)
CG_ROUNDINGS(float, ll, float, long long, LLONG_MIN, LLONG_MAX)
CG_ROUNDINGS(float, ull, float, unsigned long long, 0ull, ULLONG_MAX)
CG_ROUNDINGS(double, int, double, int, INT_MIN, INT_MAX)
CG_ROUNDINGS(double, uint, double, unsigned, 0u, UINT_MAX)
CG_ROUNDINGS(double, ll, double, long long, LLONG_MIN, LLONG_MAX)
CG_ROUNDINGS(double, ull, double, unsigned long long, 0ull, ULLONG_MAX)
#undef CG_ROUNDINGS
CG_INLINE float __int2float_rn(int x) { return (float)x; }
CG_INLINE float __uint2float_rn(unsigned x) { return (float)x; }
CG_INLINE float __ll2float_rn(long long x) { return (float)x; }
CG_INLINE float __ull2float_rn(unsigned long long x) { return (float)x; }
CG_INLINE double __int2double_rn(int x) { return x; }
CG_INLINE double __uint2double_rn(unsigned x) { return x; }
CG_INLINE double __ll2double_rn(long long x) { return (double)x; }
CG_INLINE float __double2float_rn(double x) { return (float)x; }
