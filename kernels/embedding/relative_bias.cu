// bias[h, i, j] = weight[index(i, j), h]
//
// Layout: weight is entries x heads, bias heads x queries x keys, row-major. With FAR > 0, index(i, j) =
//         places[clamp(j - i - *position, -FAR, FAR) + FAR], else places[i, j]. Threads: x along the keys, y over queries;
//         the grid's y is the head.
// Idea:   places and weight are small and stay in the caches; the bias is written once, coalesced.
// Floor:  heads x queries x keys elements of traffic.

#include "numeric.cuh"

#ifndef FAR
#define FAR 0
#endif

extern "C" __global__ void relative_bias(const T* __restrict__ weight, const int* __restrict__ places, const int* __restrict__ position, T* __restrict__ bias, int queries, int keys, int heads)
{
    const int i = blockIdx.x * blockDim.y + threadIdx.y, h = blockIdx.y;
    if (i >= queries) return;
    T* row = bias + (static_cast<long long>(h) * queries + i) * keys;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
    const int first = 0, step = 1;
#else
    const int first = threadIdx.x, step = blockDim.x;
#endif
#if FAR > 0
    const int from = *position + i;
    for (int j = first; j < keys; j += step) {
        const int ahead = j - from;
        row[j] = weight[places[(ahead < -FAR ? -FAR : ahead > FAR ? FAR : ahead) + FAR] * heads + h];
    }
#else
    const int* line = places + static_cast<long long>(i) * keys;
    for (int j = first; j < keys; j += step) row[j] = weight[line[j] * heads + h];
#endif
}
