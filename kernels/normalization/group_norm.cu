// y[b, c, p] = activation((x[b, c, p] - mean) / sqrt(variance + eps) * weight[c] + bias[c]) over each group of channels
//
// Layout: x, y: batch x channels x positions; `grouped` neighbouring channels are a group, and a block's work.
//         AFFINE: see channel.cuh (RUNNING is not used).
// Idea:   for groups that stay in the cache of a multiprocessor: two passes for the moments and one for the result, in one
//         launch. Larger groups take moments.cu and normalize_planes.cu.
// Floor:  2 elements of traffic per output.

#include "normalization/channel.cuh"

extern "C" __global__ void __launch_bounds__(256, 1) group_norm(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, T* __restrict__ y, Real eps, int groups, int grouped, long long positions)
{
    const long long total = grouped * positions;
    const T* source = x + blockIdx.x * total;
    T* target = y + blockIdx.x * total;
    const int first = static_cast<int>(blockIdx.x % groups) * grouped;
    const Real share = reciprocal(static_cast<Real>(total));
    const auto channel_at = [=](Moments moments, int c) {
        return channel_of(moments.mean, moments.squares * share, eps, weight, bias, first + c);
    };
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0) return;
    const Moments moments = moments_of<1>(source, 0, total, total, 0);
    for (int c = 0; c < grouped; ++c) {
        const Channel channel = channel_at(moments, c);
#pragma GCC ivdep
        for (long long p = 0; p < positions; ++p) target[c * positions + p] = channel(source[c * positions + p]);
    }
#else
    if (in_packs(source, positions, 0) && in_packs(target, positions, 0)) {
        const Moments moments = moments_of<WIDE>(source, 0, total, total, 0);
        each_of<WIDE>(0, total, positions, [=](int c, int p) {
            const Channel channel = channel_at(moments, c);
            const int at = c * static_cast<int>(positions) + p;
            Pack<WIDE, T> pack = *reinterpret_cast<const Pack<WIDE, T>*>(source + at);
#pragma unroll
            for (int j = 0; j < WIDE; ++j) pack.value[j] = channel(pack.value[j]);
            *reinterpret_cast<Pack<WIDE, T>*>(target + at) = pack;
        });
    } else {
        const Moments moments = moments_of<1>(source, 0, total, total, 0);
        each_of<1>(0, total, positions, [=](int c, int p) {
            const int at = c * static_cast<int>(positions) + p;
            target[at] = channel_at(moments, c)(source[at]);
        });
    }
#endif
}
