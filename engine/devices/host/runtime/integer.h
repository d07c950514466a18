// Integer intrinsics, conversions and bit casts.
#pragma once

CG_INLINE int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
CG_INLINE int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
CG_INLINE int __ffs(int x) { return __builtin_ffs(x); }
CG_INLINE int __ffsll(long long x) { return __builtin_ffsll(x); }
CG_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
CG_INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }

CG_INLINE unsigned __brev(unsigned x) {
  x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
  x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
  x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(x);
}
CG_INLINE unsigned long long __brevll(unsigned long long x) {
  return (unsigned long long)__brev((unsigned)x) << 32 | __brev((unsigned)(x >> 32));
}

CG_INLINE unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
CG_INLINE int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
CG_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}
CG_INLINE long long __mul64hi(long long a, long long b) { return (long long)((__int128)a * b >> 64); }
CG_INLINE int __mul24(int a, int b) { return (int)((unsigned)(a << 8 >> 8) * (unsigned)(b << 8 >> 8)); }
CG_INLINE unsigned __umul24(unsigned a, unsigned b) { return (a & 0xffffffu) * (b & 0xffffffu); }
CG_INLINE int __hadd(int a, int b) { return (int)(((long long)a + b) >> 1); }
CG_INLINE int __rhadd(int a, int b) { return (int)(((long long)a + b + 1) >> 1); }
CG_INLINE unsigned __uhadd(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a + b) >> 1); }
CG_INLINE unsigned __urhadd(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a + b + 1) >> 1); }
CG_INLINE unsigned __sad(int a, int b, unsigned c) { return (a < b ? (unsigned)b - a : (unsigned)a - b) + c; }
CG_INLINE unsigned __usad(unsigned a, unsigned b, unsigned c) { return (a < b ? b - a : a - b) + c; }

// Result byte i is the byte of {high, low} that selector nibble i names; the nibble's top bit spreads its sign.
CG_INLINE unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  unsigned long long bytes = (unsigned long long)high << 32 | low;
  unsigned result = 0;
  for (int i = 0; i < 4; i++) {
    unsigned nibble = selector >> 4 * i & 0xf;
    unsigned byte = (unsigned)(bytes >> 8 * (nibble & 7)) & 0xff;
    if (nibble & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << 8 * i;
  }
  return result;
}

CG_INLINE unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return (unsigned)(((unsigned long long)high << 32 | low) << (shift & 31) >> 32);
}
CG_INLINE unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return (unsigned)(((unsigned long long)high << 32 | low) >> (shift & 31));
}
CG_INLINE unsigned __funnelshift_lc(unsigned low, unsigned high, unsigned shift) {
  return shift >= 32 ? low : __funnelshift_l(low, high, shift);
}
CG_INLINE unsigned __funnelshift_rc(unsigned low, unsigned high, unsigned shift) {
  return shift >= 32 ? high : __funnelshift_r(low, high, shift);
}

CG_INLINE int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 4; i++) c += (int)(signed char)(a >> 8 * i) * (signed char)(b >> 8 * i);
  return c;
}
CG_INLINE unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 4; i++) c += (a >> 8 * i & 0xff) * (b >> 8 * i & 0xff);
  return c;
}

template <class To, class From>
CG_INLINE To cg_bits(From value) {
  static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
  To result;
  __builtin_memcpy((void*)&result, &value, sizeof result);
  return result;
}
CG_INLINE float __int_as_float(int x) { return cg_bits<float>(x); }
CG_INLINE int __float_as_int(float x) { return cg_bits<int>(x); }
CG_INLINE float __uint_as_float(unsigned x) { return cg_bits<float>(x); }
CG_INLINE unsigned __float_as_uint(float x) { return cg_bits<unsigned>(x); }
CG_INLINE double __longlong_as_double(long long x) { return cg_bits<double>(x); }
CG_INLINE long long __double_as_longlong(double x) { return cg_bits<long long>(x); }
CG_INLINE int __double2hiint(double x) { return (int)(cg_bits<unsigned long long>(x) >> 32); }
CG_INLINE int __double2loint(double x) { return (int)cg_bits<unsigned long long>(x); }
CG_INLINE double __hiloint2double(int high, int low) {
  return cg_bits<double>((unsigned long long)(unsigned)high << 32 | (unsigned)low);
}
