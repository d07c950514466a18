// Reductions, chosen by the macro REDUCTION. Each is a type of partial results: `of` one element, `join` of two parts in
// any order, `result` of a whole. Parts are joined in an order that only the shape decides, so results are reproducible.
#pragma once

#include "broadcast.cuh"

#ifndef REDUCTION
#define REDUCTION Sum
#endif
#ifndef Result
#define Result T
#endif
#ifndef SPLIT
#define SPLIT 0
#endif

using Real = Compute<T>::type;

template <class X> __device__ inline X lowest()
{
    if constexpr (Floating<X>::value) return static_cast<X>(-INFINITY);
    else if constexpr (static_cast<X>(-1) < X(0)) return static_cast<X>(1ull << (8 * sizeof(X) - 1));
    else return X(0);
}

template <class X> __device__ inline X highest()
{
    if constexpr (Floating<X>::value) return static_cast<X>(INFINITY);
    else return static_cast<X>(~lowest<X>());
}

template <class X> __device__ inline X root(X x)
{
    if constexpr (sizeof(X) == sizeof(double)) return static_cast<X>(sqrt(static_cast<double>(x)));
    else return static_cast<X>(sqrtf(static_cast<float>(x)));
}

// Sums and products: integers in 64 bits, whatever the result is stored as.
template <class X, bool FLOATING = Floating<X>::value> struct Widest { using type = typename Compute<X>::type; };
template <class X> struct Widest<X, false> { using type = long long; };

using Wide = Widest<T>::type;

struct Sum {
    static constexpr bool takes_integers = true, has_pivot = false;
    Wide value = Wide(0);

    static __device__ Sum of(Real x, long long) { return {static_cast<Wide>(x)}; }
    __device__ Sum join(Sum other) const { return {value + other.value}; }
    __device__ Wide result(long long, float) const { return value; }
};

struct Mean : Sum {
    static constexpr bool takes_integers = false;

    static __device__ Mean of(Real x, long long) { return {{static_cast<Wide>(x)}}; }
    __device__ Mean join(Mean other) const { return {{value + other.value}}; }
    __device__ Wide result(long long count, float) const { return value / static_cast<Wide>(count); }
};

struct Product {
    static constexpr bool takes_integers = true, has_pivot = false;
    Wide value = Wide(1);

    static __device__ Product of(Real x, long long) { return {static_cast<Wide>(x)}; }
    __device__ Product join(Product other) const { return {value * other.value}; }
    __device__ Wide result(long long, float) const { return value; }
};

struct Maximum {
    static constexpr bool takes_integers = true, has_pivot = false;
    Real value = lowest<Real>();

    static __device__ Maximum of(Real x, long long) { return {x}; }
    __device__ Maximum join(Maximum other) const { return {(value != value) | (value > other.value) ? value : other.value}; }
    __device__ Real result(long long, float) const { return value; }
};

struct Minimum {
    static constexpr bool takes_integers = true, has_pivot = false;
    Real value = highest<Real>();

    static __device__ Minimum of(Real x, long long) { return {x}; }
    __device__ Minimum join(Minimum other) const { return {(value != value) | (value < other.value) ? value : other.value}; }
    __device__ Real result(long long, float) const { return value; }
};

// part / whole without the slow path that exact rounding needs on a GPU.
template <class X> __device__ inline X share_of(X part, X whole) { return part / whole; }
__device__ inline float share_of(float part, float whole) { return __fdividef(part, whole); }

// Mean and sum of squared differences from it (Chan, Golub and LeVeque 1979): nothing cancels. Elements are taken relative
// to a pivot among them, so that a mean far from zero costs no digits either.
struct Variance {
    static constexpr bool takes_integers = false, has_pivot = true;
    Real mean = Real(0), squares = Real(0), count = Real(0);

    static __device__ Variance of(Real x, long long) { return {x, Real(0), Real(1)}; }
    __device__ Variance join(Variance other) const
    {
        const Real total = count + other.count;
        const Real part = total > Real(0) ? share_of(other.count, total) : Real(0);
        const Real difference = other.mean - mean;
        return {mean + difference * part, squares + other.squares + difference * difference * count * part, total};
    }
    __device__ Real result(long long number, float correction) const
    {
        const Real divisor = static_cast<Real>(number) - static_cast<Real>(correction);
        return squares / (divisor > Real(0) ? divisor : Real(0));
    }
};

struct Deviation : Variance {
    static __device__ Deviation of(Real x, long long) { return {{x, Real(0), Real(1)}}; }
    __device__ Deviation join(Deviation other) const { return {Variance::join(other)}; }
    __device__ Real result(long long number, float correction) const { return root(Variance::result(number, correction)); }
};

// The place of the largest element, of the first one among equals; NaN is larger than everything, as in torch.
struct ArgMaximum {
    static constexpr bool takes_integers = true, has_pivot = false;
    Real value = Real(0);
    long long place = -1;

    static __device__ ArgMaximum of(Real x, long long at) { return {x, at}; }
    __device__ bool is_before(ArgMaximum other) const { return other.place < 0 || (place >= 0 && place < other.place); }
    __device__ bool is_nan() const { return value != value; }
    __device__ ArgMaximum join(ArgMaximum other) const
    {
        if (place < 0 || other.place < 0 || value == other.value || (is_nan() && other.is_nan())) return is_before(other) ? *this : other;
        return is_nan() || value > other.value ? *this : other;
    }
    __device__ ArgMaximum next(ArgMaximum later) const
    {
        return (place < 0) | (later.value > value) | (later.is_nan() & !is_nan()) ? later : *this;
    }
    __device__ long long result(long long, float) const { return place; }
};

struct ArgMinimum : ArgMaximum {
    static __device__ ArgMinimum of(Real x, long long at) { return {{x, at}}; }
    __device__ ArgMinimum join(ArgMinimum other) const
    {
        if (place < 0 || other.place < 0 || value == other.value || (is_nan() && other.is_nan())) return is_before(other) ? *this : other;
        return is_nan() || value < other.value ? *this : other;
    }
    __device__ ArgMinimum next(ArgMinimum later) const
    {
        return (place < 0) | (later.value < value) | (later.is_nan() & !is_nan()) ? later : *this;
    }
};

using Part = REDUCTION;

static_assert(Floating<T>::value || Part::takes_integers, "this reduction takes float16, bfloat16, float32 or float64 tensors");
static_assert(sizeof(Part) <= 24, "a partial result has at most 24 bytes");

// The part of one element at a place, taken relative to a pivot.
__device__ inline Part part_of(T x, Real pivot, long long place)
{
    if constexpr (Part::has_pivot) return Part::of(widen(x) - pivot, place);
    else return Part::of(widen(x), place);
}

// A part and a later element, whose place is known to be behind all of the part's.
template <class P> __device__ inline P with_next(P part, P later) { return part.join(later); }
__device__ inline ArgMaximum with_next(ArgMaximum part, ArgMaximum later) { return part.next(later); }
__device__ inline ArgMinimum with_next(ArgMinimum part, ArgMinimum later) { return part.next(later); }

#ifdef CUDAGRAPH_HOST
// The part of up to TILE elements whose first one is at `place`, as loops that become vector instructions.
constexpr int TILE = 1024, LANES = 32;

template <class P> inline P part_of_tile(P, const T* __restrict__ x, int count, Real pivot, long long place)
{
    P part[16];
    const int whole = count & ~15;
    for (int i = 0; i < whole; i += 16) {
        for (int k = 0; k < 16; ++k) part[k] = part[k].join(part_of(x[i + k], pivot, place + i + k));
    }
    for (int i = whole; i < count; ++i) part[0] = part[0].join(part_of(x[i], pivot, place + i));
    for (int width = 8; width > 0; width /= 2) {
        for (int k = 0; k < width; ++k) part[k] = part[k].join(part[k + width]);
    }
    return part[0];
}

template <class F> inline Real sum_of_tile(int count, F f)
{
    Real sum[16] = {};
    const int whole = count & ~15;
    for (int i = 0; i < whole; i += 16) {
        for (int k = 0; k < 16; ++k) sum[k] += f(i + k);
    }
    for (int i = whole; i < count; ++i) sum[0] += f(i);
    for (int k = 1; k < 16; ++k) sum[0] += sum[k];
    return sum[0];
}

// Twice through a tile in the cache is faster than a division for each element.
inline Variance part_of_tile(Variance, const T* __restrict__ x, int count, Real pivot, long long)
{
    const Real number = static_cast<Real>(count), mean = sum_of_tile(count, [=](int i) { return widen(x[i]) - pivot; }) / number;
    const Real squares = sum_of_tile(count, [=](int i) { const Real d = widen(x[i]) - pivot - mean; return d * d; });
    return {mean, squares, number};
}

inline Deviation part_of_tile(Deviation, const T* __restrict__ x, int count, Real pivot, long long place)
{
    return {part_of_tile(Variance(), x, count, pivot, place)};
}

// The largest (SIGN 1) or smallest (-1) element, and whether any is NaN, which such a comparison passes over.
template <int SIGN> inline Real extreme(const T* __restrict__ x, int count, bool& nan)
{
    Real best[LANES];
    int i = 0, odd = 0;
    for (int k = 0; k < LANES; ++k) best[k] = SIGN > 0 ? lowest<Real>() : highest<Real>();
    for (; i + LANES <= count; i += LANES) {
        for (int k = 0; k < LANES; ++k) {
            const Real value = widen(x[i + k]);
            best[k] = (SIGN > 0 ? value > best[k] : value < best[k]) ? value : best[k];
        }
    }
    for (; i < count; ++i) best[0] = (SIGN > 0 ? widen(x[i]) > best[0] : widen(x[i]) < best[0]) ? widen(x[i]) : best[0];
    for (i = 0; i < count; ++i) odd |= widen(x[i]) != widen(x[i]);
    for (int k = 1; k < LANES; ++k) best[0] = (SIGN > 0 ? best[k] > best[0] : best[k] < best[0]) ? best[k] : best[0];
    nan = odd;
    return best[0];
}

inline Real not_a_number(const T* __restrict__ x)
{
    while (widen(*x) == widen(*x)) ++x;
    return widen(*x);
}

inline Maximum part_of_tile(Maximum, const T* __restrict__ x, int count, Real, long long)
{
    bool nan;
    const Real best = extreme<1>(x, count, nan);
    return {nan ? not_a_number(x) : best};
}

inline Minimum part_of_tile(Minimum, const T* __restrict__ x, int count, Real, long long)
{
    bool nan;
    const Real best = extreme<-1>(x, count, nan);
    return {nan ? not_a_number(x) : best};
}

template <int SIGN, class P> inline P place_of_extreme(P before, const T* __restrict__ x, int count, long long place)
{
    bool nan;
    const Real best = extreme<SIGN>(x, count, nan);
    if (before.place >= 0 && (before.is_nan() || (!nan && !(SIGN > 0 ? best > before.value : best < before.value)))) return P();
    int i = 0;
    while (nan ? widen(x[i]) == widen(x[i]) : widen(x[i]) != best) ++i;
    return P::of(widen(x[i]), place + i);
}

// Only a tile with something better than what was seen before it is looked through for the place.
inline ArgMaximum part_of_tile(ArgMaximum before, const T* __restrict__ x, int count, Real, long long place)
{
    return place_of_extreme<1>(before, x, count, place);
}

inline ArgMinimum part_of_tile(ArgMinimum before, const T* __restrict__ x, int count, Real, long long place)
{
    return place_of_extreme<-1>(before, x, count, place);
}
#endif
// What the elements of an output are taken relative to: the first one, at `x`.
__device__ inline Real pivot_of(const T* __restrict__ x, bool exists)
{
    if constexpr (Part::has_pivot) return exists ? widen(*x) : Real(0);
    else return Real(0);
}

// The elements that belong to one of `splits` parts of a reduction of `count`.
struct Range {
    long long begin, end;

    __device__ Range(long long count, int split, int splits)
    {
        const long long share = ((count + splits - 1) / splits + 15) & ~15ll;
        begin = split * share < count ? split * share : count;
        end = begin + share < count ? begin + share : count;
    }
};

__device__ inline void put(Result* y, long long place, Part part, long long count, float correction)
{
    if (SPLIT) reinterpret_cast<Part*>(y)[place] = part;
    else y[place] = static_cast<Result>(part.result(count, correction));
}

#ifdef __CUDA_ARCH__
// The join of the parts of all lanes of a warp, in every lane.
__device__ inline Part across_warp(Part part)
{
    constexpr int words = (sizeof(Part) + 3) / 4;
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        unsigned mine[words] = {};
        memcpy(mine, &part, sizeof(Part));
#pragma unroll
        for (int i = 0; i < words; ++i) mine[i] = __shfl_xor_sync(0xffffffffu, mine[i], distance);
        Part other;
        memcpy(&other, mine, sizeof(Part));
        part = part.join(other);
    }
    return part;
}
#endif
