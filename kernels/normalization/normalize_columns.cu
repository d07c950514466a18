// y[r, c] = (x[r, c] - mean) / sqrt(variance + eps) * weight[c] + bias[c], moments of a column from their pieces
//
// Layout: x, y: rows x columns, row-major. parts: see moments_columns.cu. A block has 32 x 8 threads for 32 columns of
//         `strip` rows. RUNNING, AFFINE: see channel.cuh.
// Idea:   a thread keeps the numbers of its column and walks down the rows. In training the first strip brings the running
//         statistics up to date; otherwise they are what is used.
// Floor:  2 elements of traffic per output.

#include "normalization/channel.cuh"

extern "C" __global__ void __launch_bounds__(256) normalize_columns(const T* __restrict__ x, const Real* __restrict__ parts, const T* __restrict__ weight, const T* __restrict__ bias, Real* __restrict__ running_mean, Real* __restrict__ running_var, const long long* __restrict__ batches, T* __restrict__ y, Real eps, Real momentum, int training, int rows, int columns, int tiles, int strip, int piece, int pieces)
{
    const int s = blockIdx.x / tiles, from = (blockIdx.x - s * tiles) * 32;
    const int first = s * strip, end = first + strip < rows ? first + strip : rows;
    const Running running = {running_mean, running_var, batches, momentum, training};
    const auto channel_at = [=](int c) {
        if (RUNNING && !training) return channel_of(running.mean[c], running.variance[c], eps, weight, bias, c);
        const Moments moments = combined(parts + 2 * c, columns, pieces, piece, rows);
        if (RUNNING && s == 0 && threadIdx.y == 0) running.update(c, moments, rows);
        return channel_of(moments.mean, moments.squares / static_cast<Real>(rows), eps, weight, bias, c);
    };
#ifdef CUDAGRAPH_HOST
    if (threadIdx.x + threadIdx.y > 0) return;
    const int width = columns - from < 32 ? columns - from : 32;
    Channel channel[32];
    for (int j = 0; j < width; ++j) channel[j] = channel_at(from + j);
    for (int r = first; r < end; ++r) {
        const long long at = r * static_cast<long long>(columns) + from;
#pragma GCC ivdep
        for (int j = 0; j < width; ++j) y[at + j] = channel[j](x[at + j]);
    }
#else
    const int c = from + threadIdx.x;
    if (c >= columns) return;
    const Channel channel = channel_at(c);
#pragma unroll 4
    for (int r = first + threadIdx.y; r < end; r += 8) {
        const long long at = r * static_cast<long long>(columns) + c;
        y[at] = channel(x[at]);
    }
#endif
}
