// y[line, e] = x[line, (e - shift * inner) mod length]
//
// Layout: x and y are `lines` lines of `length` elements of any type; a step of the rolled dimension is `inner` elements. The
//         shift may be any integer. Threads: x along a line, y over the lines.
// Idea:   the remainder is taken once: a line is two copies.
// Floor:  2 elements of traffic each.

extern "C" __global__ void roll(const T* __restrict__ x, const int* __restrict__ shift, T* __restrict__ y, long long lines, long long length, long long inner)
{
    const long long line = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;
    if (line >= lines) return;
    const long long by = *shift * inner % length, from = by > 0 ? length - by : -by;
    const T* source = x + line * length;
    T* target = y + line * length;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
    for (long long e = 0; e < length - from; ++e) target[e] = source[from + e];
    for (long long e = length - from; e < length; ++e) target[e] = source[from + e - length];
#else
    for (long long e = threadIdx.x; e < length; e += blockDim.x) target[e] = source[e < length - from ? from + e : from + e - length];
#endif
}
