// Streams: arrays that are read and written once, 16 bytes per thread and access, with several accesses in flight.
//
// A GPU reaches its memory's speed only while each multiprocessor waits for about 48 KiB. So a thread issues all of its
// loads, then computes, then stores. An array is `const X*` (is loaded), `X*` (is stored), `same(value)` or
// `Numbers{first}`; the function takes an element of each, the stored ones by reference:
//
//     for_each_element(n, [=](float x, float y, float& z) { z = a * x + y; }, x, y, z);
//
// is all of a kernel over the grid's x. For kernels of rows, columns are in x and rows in y and z: `this_row()`.
//
// The widest element decides how many are moved together. Where an array does not begin at a multiple of 16 bytes, and
// for the last elements, the same threads move single ones. An array may be loaded and stored, element by element.
// On a CPU one thread of a block does the work of all in a plain loop, of which its compiler makes vectors.
#pragma once

// W neighbouring elements that are moved together.
template <int W, class X> struct alignas(W > 1 ? W * sizeof(X) : alignof(X)) Pack {
    X value[W];
};

// The same element in the place of an array.
template <class X> struct Same {
    X value;

    __device__ X operator[](long long) const { return value; }
};

template <class X> __device__ inline Same<X> same(X value) { return {value}; }

// What a thread holds of an array: R packs. `most`: elements that 16 bytes hold, 1 of a type that does not fill them.
template <int W, int R, class A> struct Held;

template <int W, int R, class X> struct Held<W, R, const X*> {
    static constexpr int loads = 1, most = 16 % sizeof(X) == 0 ? 16 / sizeof(X) : 1;
    const X* array;
    Pack<W, X> pack[R];

    __device__ void load(int u, long long at) { pack[u] = reinterpret_cast<const Pack<W, X>*>(array)[at]; }
    __device__ void store(int, long long) const {}
};

template <int W, int R, class X> struct Held<W, R, X*> {
    static constexpr int loads = 0, most = 16 % sizeof(X) == 0 ? 16 / sizeof(X) : 1;
    X* array;
    Pack<W, X> pack[R];

    __device__ void load(int, long long) const {}
    __device__ void store(int u, long long at) const { reinterpret_cast<Pack<W, X>*>(array)[at] = pack[u]; }
};

template <int W, int R, class X> struct Held<W, R, Same<X>> {
    static constexpr int loads = 0, most = 16;
    Same<X> array;
    Pack<W, X> pack[R];

    __device__ void load(int u, long long)
    {
#pragma unroll
        for (int j = 0; j < W; ++j) pack[u].value[j] = array.value;
    }
    __device__ void store(int, long long) const {}
};

// Numbers in the place of an array: first, first + 1, ...
struct Numbers {
    int first;

    __device__ int operator[](long long i) const { return first + static_cast<int>(i); }
};

template <int W, int R> struct Held<W, R, Numbers> {
    static constexpr int loads = 0, most = 16;
    Numbers array;
    Pack<W, int> pack[R];

    __device__ void load(int u, long long at)
    {
#pragma unroll
        for (int j = 0; j < W; ++j) pack[u].value[j] = array[at * W + j];
    }
    __device__ void store(int, long long) const {}
};

// A thread's number among those that share the work.
struct Lane {
    long long number, lanes;
};

// Among all threads of the grid's x.
__device__ inline Lane this_lane()
{
    return {blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x, gridDim.x * static_cast<long long>(blockDim.x)};
}

constexpr int least(int a) { return a; }
template <class... More> constexpr int least(int a, int b, More... more) { return least(a < b ? a : b, more...); }

template <int W, class X> __device__ inline bool begins(const X* array)
{
    return reinterpret_cast<unsigned long long>(array) % alignof(Pack<W, X>) == 0;
}
template <int W, class X> __device__ inline bool begins(Same<X>) { return true; }
template <int W> __device__ inline bool begins(Numbers) { return true; }

template <class X> __device__ inline X* moved(X* array, long long by) { return array + by; }
template <class X> __device__ inline Same<X> moved(Same<X> array, long long) { return array; }
__device__ inline Numbers moved(Numbers array, long long by) { return {array[by]}; }

// One thread's packs at `first`, `first + apart`, ...: loads, then computes and stores.
template <int W, int R, class F, class... H> __device__ inline void in_flight(long long first, long long apart, long long count, F f, H... held)
{
#pragma unroll
    for (int u = 0; u < R; ++u) {
        if (first + u * apart < count) (held.load(u, first + u * apart), ...);
    }
#pragma unroll
    for (int u = 0; u < R; ++u) {
        const long long at = first + u * apart;
        if (at < count) {
            f(at * W, held.pack[u]...);
            (held.store(u, at), ...);
        }
    }
}

template <int W, class F, class... A> __device__ inline void packs_of(long long count, Lane lane, F f, A... array)
{
    constexpr int loads = (0 + ... + Held<W, 1, A>::loads);
    constexpr int R = loads == 0 || loads > 6 ? 1 : loads > 2 || W > 4 ? 2 : 4;
    for (long long first = lane.number; first < count; first += R * lane.lanes) {
        in_flight<W, R>(first, lane.lanes, count, f, Held<W, R, A>{array}...);
    }
}

// f(i, pack of each array) for the packs of n elements, the first of which is number i.
template <class F, class... A> __device__ inline void for_each_pack(long long n, Lane lane, F f, A... array)
{
    constexpr int W = least(16, Held<1, 1, A>::most...);
    const bool vectors = W > 1 && (... && begins<W>(array));
    const long long whole = vectors ? n / W : 0, done = whole * W;
    if (W > 1) packs_of<W>(whole, lane, f, array...);
    packs_of<1>(n - done, lane, [=](long long i, auto&... pack) { f(done + i, pack...); }, moved(array, done)...);
}

template <class F> struct EachOf {
    F f;

    template <int W, class... X> __device__ void operator()(long long, Pack<W, X>&... pack) const
    {
#pragma unroll
        for (int j = 0; j < W; ++j) f(pack.value[j]...);
    }
};

// f(element of each array) for n elements; on a CPU by the first of the threads that share the work.
template <class F, class... A> __device__ inline void for_each_element(long long n, Lane lane, F f, A... array)
{
#ifdef CUDAGRAPH_HOST
    if (lane.number != 0) return;
#pragma GCC ivdep
    for (long long i = 0; i < n; ++i) f(array[i]...);
#else
    for_each_pack(n, lane, EachOf<F>{f}, array...);
#endif
}

// What a thread block does of n elements on a CPU.
struct PartOfBlock {
    long long first, end;

    __device__ explicit PartOfBlock(long long n)
    {
        const long long each = gridDim.x == 1 ? n : (n + gridDim.x - 1) / gridDim.x;  // a division is long for a short row
        first = each * blockIdx.x < n ? each * blockIdx.x : n;
        end = n - first < each ? n : first + each;
    }
};

// The same by all threads of the grid's x.
template <class F, class... A> __device__ inline void for_each_element(long long n, F f, A... array)
{
#ifdef CUDAGRAPH_HOST
    const PartOfBlock part(n);
    for_each_element(part.end - part.first, Lane{threadIdx.x, blockDim.x}, f, moved(array, part.first)...);
#else
    for_each_element(n, this_lane(), f, array...);
#endif
}

// The row of this thread in a grid that has rows in y, then in z. On a CPU only a thread block's first thread has one.
__device__ inline long long this_row()
{
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x != 0) return 0x7fffffffffffffffll;
#endif
    return (blockIdx.z * static_cast<long long>(gridDim.y) + blockIdx.y) * blockDim.y + threadIdx.y;
}

// What a kernel reads of an operand in a row that begins at `offset`: an array, or one element for all columns.
template <int STEP, class X> __device__ inline auto row_of(const X* x, long long offset)
{
    if constexpr (STEP != 0) return x + offset;
    else return same(x[offset]);
}
