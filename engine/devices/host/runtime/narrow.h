// What __half and __nv_bfloat16 have in common. Included once for each; CG_H and CG_H2 name the type and its pair.
//
// Operations are done in float and rounded once, which gives the correctly rounded result for + - * / and sqrt.

#define CG_OPERATOR(op)                                                                        \
  CG_INLINE CG_H operator op(CG_H a, CG_H b) { return CG_H((float)a op(float) b); }            \
  CG_INLINE CG_H& operator op##=(CG_H& a, CG_H b) { return a = a op b; }                       \
  CG_INLINE CG_H2 operator op(CG_H2 a, CG_H2 b) { return CG_H2(a.x op b.x, a.y op b.y); }      \
  CG_INLINE CG_H2& operator op##=(CG_H2& a, CG_H2 b) { return a = a op b; }
CG_OPERATOR(+) CG_OPERATOR(-) CG_OPERATOR(*) CG_OPERATOR(/)
#undef CG_OPERATOR
CG_INLINE CG_H operator+(CG_H a) { return a; }
CG_INLINE CG_H operator-(CG_H a) { return CG_H(-(float)a); }
CG_INLINE CG_H2 operator-(CG_H2 a) { return CG_H2(-a.x, -a.y); }
CG_INLINE CG_H& operator++(CG_H& a) { return a += CG_H(1.0f); }
CG_INLINE CG_H& operator--(CG_H& a) { return a -= CG_H(1.0f); }

#define CG_NAMED(name, expression)                                                                          \
  CG_INLINE CG_H __##name(CG_H a, CG_H b) { return expression; }                                            \
  CG_INLINE CG_H2 __##name##2(CG_H2 a, CG_H2 b) { return CG_H2(__##name(a.x, b.x), __##name(a.y, b.y)); }
CG_NAMED(hadd, a + b) CG_NAMED(hsub, a - b) CG_NAMED(hmul, a * b)
CG_NAMED(hadd_rn, a + b) CG_NAMED(hsub_rn, a - b) CG_NAMED(hmul_rn, a * b)
CG_NAMED(hadd_sat, CG_H(__saturatef((float)a + (float)b))) CG_NAMED(hsub_sat, CG_H(__saturatef((float)a - (float)b)))
CG_NAMED(hmul_sat, CG_H(__saturatef((float)a * (float)b)))
CG_NAMED(hmax, CG_H(fmaxf((float)a, (float)b))) CG_NAMED(hmin, CG_H(fminf((float)a, (float)b)))
#undef CG_NAMED
CG_INLINE CG_H __hdiv(CG_H a, CG_H b) { return a / b; }
CG_INLINE CG_H2 __h2div(CG_H2 a, CG_H2 b) { return a / b; }
CG_INLINE CG_H __hneg(CG_H a) { return -a; }
CG_INLINE CG_H2 __hneg2(CG_H2 a) { return -a; }
CG_INLINE CG_H __habs(CG_H a) { return CG_H(__builtin_fabsf((float)a)); }
CG_INLINE CG_H2 __habs2(CG_H2 a) { return CG_H2(__habs(a.x), __habs(a.y)); }
CG_INLINE CG_H __hfma(CG_H a, CG_H b, CG_H c) { return CG_H((float)a * (float)b + (float)c); }
CG_INLINE CG_H2 __hfma2(CG_H2 a, CG_H2 b, CG_H2 c) { return CG_H2(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)); }
CG_INLINE CG_H __hfma_relu(CG_H a, CG_H b, CG_H c) { return __hmax(__hfma(a, b, c), CG_H(0.0f)); }
CG_INLINE CG_H max(CG_H a, CG_H b) { return __hmax(a, b); }
CG_INLINE CG_H min(CG_H a, CG_H b) { return __hmin(a, b); }

#define CG_COMPARE(op, name)                                                                                    \
  CG_INLINE bool operator op(CG_H a, CG_H b) { return (float)a op(float) b; }                                   \
  CG_INLINE bool __h##name(CG_H a, CG_H b) { return a op b; }                                                   \
  CG_INLINE CG_H2 __h##name##2(CG_H2 a, CG_H2 b) { return CG_H2(CG_H(float(a.x op b.x)), CG_H(float(a.y op b.y))); } \
  CG_INLINE bool __hb##name##2(CG_H2 a, CG_H2 b) { return (a.x op b.x) && (a.y op b.y); }
CG_COMPARE(==, eq) CG_COMPARE(!=, ne) CG_COMPARE(<, lt) CG_COMPARE(<=, le) CG_COMPARE(>, gt) CG_COMPARE(>=, ge)
#undef CG_COMPARE
CG_INLINE bool __hisnan(CG_H a) { return __builtin_isnan((float)a); }
CG_INLINE int __hisinf(CG_H a) { return __builtin_isinf((float)a) ? ((float)a > 0.0f ? 1 : -1) : 0; }
CG_INLINE bool isnan(CG_H a) { return __hisnan(a); }
CG_INLINE bool isinf(CG_H a) { return __hisinf(a) != 0; }

#define CG_FUNCTION(name, expression)                                                             \
  CG_INLINE CG_H h##name(CG_H h) {                                                                \
    float x = (float)h;                                                                           \
    return CG_H(expression);                                                                      \
  }                                                                                               \
  CG_INLINE CG_H2 h2##name(CG_H2 v) { return CG_H2(h##name(v.x), h##name(v.y)); }
CG_FUNCTION(exp, expf(x)) CG_FUNCTION(exp2, exp2f(x)) CG_FUNCTION(exp10, exp10f(x)) CG_FUNCTION(log, logf(x))
CG_FUNCTION(log2, log2f(x)) CG_FUNCTION(log10, log10f(x)) CG_FUNCTION(sqrt, __builtin_sqrtf(x))
CG_FUNCTION(rsqrt, rsqrtf(x)) CG_FUNCTION(rcp, 1.0f / x) CG_FUNCTION(sin, sinf(x)) CG_FUNCTION(cos, cosf(x))
CG_FUNCTION(tanh, tanhf(x)) CG_FUNCTION(floor, floorf(x)) CG_FUNCTION(ceil, ceilf(x)) CG_FUNCTION(trunc, truncf(x))
CG_FUNCTION(rint, rintf(x)) CG_FUNCTION(tanh_approx, tanhf(x))
#undef CG_FUNCTION

CG_INLINE CG_H atomicAdd(CG_H* address, CG_H value) {
  return cg_update(address, [=](CG_H old) { return old + value; });
}
CG_INLINE CG_H2 atomicAdd(CG_H2* address, CG_H2 value) {
  return cg_update(address, [=](CG_H2 old) { return old + value; });
}
CG_SCOPES(CG_H, atomicAdd, (CG_H* address, CG_H value), (address, value))
CG_SCOPES(CG_H2, atomicAdd, (CG_H2* address, CG_H2 value), (address, value))
