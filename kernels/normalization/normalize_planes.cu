// y[b, c, p] = activation((x[b, c, p] - mean) / sqrt(variance + eps) * weight[c] + bias[c]), moments from their pieces
//
// Layout: x, y: batch x channels x positions. Each `grouped` neighbouring planes share their moments (GroupNorm), or with
//         grouped = 0 all planes of a channel (BatchNorm). parts: see moments.cu; pieces <= 32. A block has blockDim.x threads
//         (whole warps) for a strip of each of blockDim.y planes. RUNNING, AFFINE: see channel.cuh.
// Idea:   a warp puts the pieces together, one to a lane, then its threads move 16 bytes at a time. In training the first
//         strip of a channel's first plane brings the running statistics up to date; otherwise they are what is used.
// Floor:  2 elements of traffic per output.

#include "normalization/channel.cuh"

#ifndef CUDAGRAPH_HOST
__device__ inline Real across_warp(Real sum)
{
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    return sum;
}

__device__ inline Moments combined_by_warp(const Real* __restrict__ parts, int pieces, long long piece, long long total)
{
    const int i = threadIdx.x % 32;
    const Real count = i < pieces ? static_cast<Real>(piece_of(i, piece, total)) : Real(0);
    const Moments part = i < pieces ? Moments{parts[2 * i], parts[2 * i + 1]} : Moments{Real(0), Real(0)};
    const Real mean = across_warp(part.mean * count) / static_cast<Real>(total);
    const Real d = part.mean - mean;
    return {mean, across_warp(part.squares + d * d * count)};
}
#endif

extern "C" __global__ void __launch_bounds__(256) normalize_planes(const T* __restrict__ x, const Real* __restrict__ parts, const T* __restrict__ weight, const T* __restrict__ bias, Real* __restrict__ running_mean, Real* __restrict__ running_var, const long long* __restrict__ batches, T* __restrict__ y, Real eps, Real momentum, int training, long long planes, int channels, int grouped, long long positions, int strips, int strip, long long piece, int pieces, long long total)
{
    if (planes == 0) return;
    const int s = blockIdx.x % strips;
    const long long wanted = blockIdx.x / strips * blockDim.y + threadIdx.y, plane = wanted < planes ? wanted : planes - 1;
    const int c = static_cast<int>(plane % channels);
    const Running running = {running_mean, running_var, batches, momentum, training};
    const long long row = grouped ? plane / grouped : c;
    Channel channel;
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x > 0 || wanted >= planes) return;
#endif
    if (RUNNING && !training) {
        channel = channel_of(running.mean[c], running.variance[c], eps, weight, bias, c);
    } else {
#ifdef CUDAGRAPH_HOST
        const Moments moments = combined(parts + 2 * row * pieces, 1, pieces, piece, total);
#else
        const Moments moments = combined_by_warp(parts + 2 * row * pieces, pieces, piece, total);
#endif
        channel = channel_of(moments.mean, moments.squares / static_cast<Real>(total), eps, weight, bias, c);
        if (RUNNING && wanted < channels && s == 0 && threadIdx.x == 0) running.update(c, moments, total);
    }
    if (wanted >= planes) return;
    const T* __restrict__ source = x + plane * positions;
    T* __restrict__ target = y + plane * positions;
    const long long first = static_cast<long long>(s) * strip, end = first + strip < positions ? first + strip : positions;
#ifdef CUDAGRAPH_HOST
#pragma GCC ivdep
    for (long long p = first; p < end; ++p) target[p] = channel(source[p]);
#else
    if (in_packs(source, positions, 0) && in_packs(target, positions, 0)) {
#pragma unroll 4
        for (long long p = first + threadIdx.x * WIDE; p < end; p += blockDim.x * WIDE) {
            Pack<WIDE, T> pack = *reinterpret_cast<const Pack<WIDE, T>*>(source + p);
#pragma unroll
            for (int j = 0; j < WIDE; ++j) pack.value[j] = channel(pack.value[j]);
            *reinterpret_cast<Pack<WIDE, T>*>(target + p) = pack;
        }
    } else {
        for (long long p = first + threadIdx.x; p < end; p += blockDim.x) target[p] = channel(source[p]);
    }
#endif
}
