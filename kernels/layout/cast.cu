// y[i] = x[i] as another type
//
// Layout: x has n contiguous elements of type T, y of type U; neither is a record.
// Idea:   memory speed is the limit: elements move as vectors. Floating-point values round to the
//         nearest; they go to integers towards zero, at the ends of the range where they are outside, and NaN to 0.
// Floor:  one read of x and one write of y.

#include "elementwise.cuh"

#ifndef U
#define U float
#endif

template <class To, bool integer> struct Convert {
    template <class X> static __device__ inline To from(X x) { return static_cast<To>(x); }
};

// The largest values that floating-point types have below 2^bits are below the limit, so the comparisons are exact.
template <class To> struct Convert<To, true> {
    template <class X> static __device__ inline To from(X x)
    {
        if (!Floating<X>::value) return static_cast<To>(x);
        constexpr bool has_sign = static_cast<To>(-1) < static_cast<To>(0);
        constexpr double limit = has_sign ? static_cast<double>(1ull << (8 * sizeof(To) - 1)) : 2.0 * (1ull << (8 * sizeof(To) - 1));
        constexpr To highest = has_sign ? static_cast<To>((1ull << (8 * sizeof(To) - 1)) - 1) : static_cast<To>(~0ull);
        constexpr To lowest = has_sign ? static_cast<To>(1ull << (8 * sizeof(To) - 1)) : static_cast<To>(0);
        if (!(x == x)) return static_cast<To>(0);
        if (x >= static_cast<X>(limit)) return highest;
        if (x <= static_cast<X>(has_sign ? -limit : 0.0)) return lowest;
        return static_cast<To>(x);
    }
};

template <> struct Convert<bool, true> {
    template <class X> static __device__ inline bool from(X x) { return x != static_cast<X>(0); }
};

extern "C" __global__ void cast(const T* __restrict__ x, U* __restrict__ y, long long n)
{
    elementwise(n, [](T v) { return Convert<U, !Floating<U>::value>::from(widen(v)); }, y, x);
}
