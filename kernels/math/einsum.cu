// y[outputs] = sum over the other letters of a[...] * b[...] * c[...]
//
// Layout: LETTERS dimensions of lengths n0, n1, ..., of which the first OUTPUTS are those of y, in order. AXES_A lists the
//         letters of a's dimensions, outermost first, and so on for b and c; OPERANDS of them are there. All are
//         contiguous, row-major. A letter may stand twice in an operand: then its diagonal counts.
// Idea:   a thread per element of y; every letter has a stride in each operand, found once. The last summed letter is a
//         plain loop, the others are unravelled around it. This is for what is no matrix product.
// Floor:  the operands and y once, where they fit the cache; OPERANDS operations for each term of each sum.

#include "numeric.cuh"

#ifndef OPERANDS
#define OPERANDS 1
#endif
#ifndef LETTERS
#define LETTERS 2
#define OUTPUTS 1
#define AXES_A 0, 1,
#endif
#ifndef AXES_B
#define AXES_B
#endif
#ifndef AXES_C
#define AXES_C
#endif

static_assert(Floating<T>::value, "einsum takes float16, bfloat16, float32 or float64 tensors");

using Sum = Compute<T>::type;
constexpr int END = -1, LAST = LETTERS - 1;
constexpr bool SUMS = LETTERS > OUTPUTS;

struct Strides {
    long long of[LETTERS + 1];

    template <int N> __device__ Strides(const int (&axes)[N], const int* length) : of{}
    {
        long long step = 1;
#pragma unroll
        for (int i = N - 2; i >= 0; --i) {
            of[axes[i]] += step;
            step *= length[axes[i]];
        }
    }
};

__device__ inline Sum terms(const T* a, const T* b, const T* c, long long step_a, long long step_b, long long step_c, int count)
{
    Sum sum = 0;
    for (int i = 0; i < count; ++i) {
        Sum term = widen(a[i * step_a]);
        if (OPERANDS > 1) term *= widen(b[i * step_b]);
        if (OPERANDS > 2) term *= widen(c[i * step_c]);
        sum += term;
    }
    return sum;
}

extern "C" __global__ void einsum(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ c, T* __restrict__ y, long long count, int n0, int n1, int n2, int n3, int n4, int n5, int n6, int n7, int n8, int n9)
{
    const long long element = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
    if (element >= count) return;
    const int length[] = {n0, n1, n2, n3, n4, n5, n6, n7, n8, n9};
    constexpr int axes_a[] = {AXES_A END}, axes_b[] = {AXES_B END}, axes_c[] = {AXES_C END};
    const Strides in_a(axes_a, length), in_b(axes_b, length), in_c(axes_c, length);
    long long rest = element;
#pragma unroll
    for (int i = OUTPUTS - 1; i >= 0; --i) {
        const long long at = rest % length[i];
        rest /= length[i];
        a += at * in_a.of[i], b += at * in_b.of[i], c += at * in_c.of[i];
    }
    long long around = 1;
#pragma unroll
    for (int i = OUTPUTS; i < LAST; ++i) around *= length[i];
    Sum sum = 0;
    for (long long k = 0; k < around; ++k) {
        long long left = k, at_a = 0, at_b = 0, at_c = 0;
#pragma unroll
        for (int i = LAST - 1; i >= OUTPUTS; --i) {
            const long long at = left % length[i];
            left /= length[i];
            at_a += at * in_a.of[i], at_b += at * in_b.of[i], at_c += at * in_c.of[i];
        }
        const int last = SUMS ? LAST : LETTERS;
        sum += terms(a + at_a, b + at_b, c + at_c, in_a.of[last], in_b.of[last], in_c.of[last], SUMS ? length[LAST] : 1);
    }
    y[element] = narrow<T>(sum);
}
