// y[n, d, h, w] = x[n, place(d), place(h), place(w)], or `value` where a place is outside and MODE is 0
//
// Layout: x is batch x in_d x in_h x in_w, y batch x out_d x out_h x out_w, row-major, of any type; y begins front, top and left
//         elements after x does (before, where negative). MODE: 0 constant, 1 reflect, 2 replicate, 3 circular. Threads: x
//         along w, y over the rows (d, h); the grid's y over n.
// Idea:   rows are found once; along w only a comparison is added to a copy.
// Floor:  one read of x and one write of y.

#ifndef MODE
#define MODE 0
#endif

// The index that an index of y comes from; -1 where the constant goes.
__device__ inline int source_of(int index, int shift, int length)
{
    const int at = index + shift;
    if (at >= 0 && at < length) return at;
#if MODE == 0
    return -1;
#elif MODE == 1
    return at < 0 ? -at : 2 * (length - 1) - at;
#elif MODE == 2
    return at < 0 ? 0 : length - 1;
#else
    return at < 0 ? at + length : at - length;
#endif
}

extern "C" __global__ void pad(const T* __restrict__ x, double value, T* __restrict__ y, int batch, int in_d, int in_h, int in_w, int out_d, int out_h, int out_w, int front, int top, int left)
{
    const unsigned int row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= static_cast<unsigned int>(out_d) * out_h) return;
    const int d = source_of(row / out_h, front, in_d), h = source_of(row % out_h, top, in_h);
    const T constant = static_cast<T>(value);
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
    const int first = 0, step = 1;
#else
    const int first = threadIdx.x, step = blockDim.x;
#endif
    for (int n = blockIdx.y; n < batch; n += gridDim.y) {
        const bool inside = d >= 0 && h >= 0;
        const T* source = x + (inside ? ((static_cast<long long>(n) * in_d + d) * in_h + h) * in_w : 0);
        T* target = y + (static_cast<long long>(n) * out_d * out_h + row) * out_w;
        for (int w = first; w < out_w; w += step) {
            const int at = source_of(w, left, in_w);
            target[w] = inside && at >= 0 ? source[at] : constant;
        }
    }
}
