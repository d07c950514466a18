// exp, log, tanh, sin and cos in float without branches or calls, so that a loop over the threads vectorises.
//
// Range reduction and polynomials are those of the Cephes library (S. Moshier), good to about 1 ulp; CUDA documents
// 1 to 2 ulp for the same functions. sinf and cosf stay libm's: their range reduction cannot do without a branch.
#pragma once

// Rounds to the nearest integer for |x| < 2^22 with two additions, which every CPU vectorises.
CG_INLINE float cg_nearest(float x) {
  const float magic = 12582912.0f;  // 1.5 * 2^23
  return (x + magic) - magic;
}

CG_INLINE float cg_scale(float x, int exponent) {  // x * 2^exponent in two steps, for results below 2^-126
  int half = exponent >> 1;
  return x * __int_as_float((half + 127) << 23) * __int_as_float((exponent - half + 127) << 23);
}

CG_INLINE float cg_exp_polynomial(float r) {  // exp(r) for |r| <= ln(2) / 2
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * r * r + r + 1.0f;
}

CG_INLINE float cg_clamp(float x, float low, float high) {  // NaN stays
  x = x < low ? low : x;
  return x > high ? high : x;
}

CG_INLINE float expf(float x) {
  float c = cg_clamp(x, -104.0f, 89.0f);
  float n = cg_nearest(c * 1.44269504f);
  float r = c - n * 0.693359375f + n * 2.12194440e-4f;
  float y = cg_scale(cg_exp_polynomial(r), (int)(x != x ? 0.0f : n));
  return x != x ? x : y;
}

CG_INLINE float exp2f(float x) {
  float c = cg_clamp(x, -151.0f, 129.0f);
  float n = cg_nearest(c);
  float y = cg_scale(cg_exp_polynomial((c - n) * 0.693147181f), (int)(x != x ? 0.0f : n));
  return x != x ? x : y;
}

// log(x) = n ln2 + log(m), m in [sqrt(1/2), sqrt(2)); `n` and the rest apart, for other bases.
CG_INLINE float cg_log_parts(float x, float* n) {
  bool tiny = x < 1.17549435e-38f;
  float scaled = tiny ? x * 8388608.0f : x;
  int bits = __float_as_int(scaled);
  int exponent = (bits >> 23) - 126;
  float m = __int_as_float((bits & 0x007fffff) | 0x3f000000);
  bool low = m < 0.707106781f;
  *n = (float)(exponent - (low ? 1 : 0) - (tiny ? 23 : 0));
  m = low ? m + m - 1.0f : m - 1.0f;
  float z = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  return m + (m * z * p - 0.5f * z - *n * 2.12194440e-4f);
}

CG_INLINE float cg_log_special(float x, float y) {
  y = x == INFINITY ? x : y;
  y = x == 0.0f ? -INFINITY : y;
  return x < 0.0f || x != x ? NAN : y;
}

CG_INLINE float logf(float x) {
  float n, rest = cg_log_parts(x, &n);
  return cg_log_special(x, rest + n * 0.693359375f);
}

CG_INLINE float tanhf(float x) {
  float a = __builtin_fabsf(x), z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  float small = p * z * x + x;
  float large = __builtin_copysignf(1.0f - 2.0f / (expf(2.0f * a) + 1.0f), x);
  return a < 0.625f ? small : large;
}

// sin(x) and cos(x) for moderate |x|, as __sinf and __cosf promise.
CG_INLINE void __sincosf(float x, float* sine, float* cosine) {
  float n = cg_nearest(x * 0.636619772f);
  float r = x - n * 1.5703125f - n * 4.837512969970703125e-4f - n * 7.54978995489188216e-8f;
  int quadrant = (int)n;
  float z = r * r;
  float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
  float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.0f;
  float even = quadrant & 1 ? c : s, odd = quadrant & 1 ? s : c;
  *sine = quadrant & 2 ? -even : even;
  *cosine = (quadrant + 1) & 2 ? -odd : odd;
}
CG_INLINE float __sinf(float x) {
  float sine, cosine;
  __sincosf(x, &sine, &cosine);
  return sine;
}
CG_INLINE float __cosf(float x) {
  float sine, cosine;
  __sincosf(x, &sine, &cosine);
  return cosine;
}
CG_INLINE float __tanf(float x) {
  float sine, cosine;
  __sincosf(x, &sine, &cosine);
  return sine / cosine;
}
