// y[b, f, t] = 0 where f lies in a frequency mask of sample b, or t in a time mask, in place
//
// Layout: y is samples x frequencies x times of a floating-point type T; frame is one number. A mask has
//         floor(u * limit) lines from floor(v * (length - width)) on, with u and v uniform in [0, 1). Times are the
//         grid's x, rows (b, f) its y, then its z.
// Idea:   every thread draws the few masks of its sample itself and writes the zeros only, so nothing is read.
// Floor:  the masked elements, and 60 operations per mask for four elements.

#include "regularization/noise.cuh"

static_assert(Floating<T>::value, "spec_augment takes float16, bfloat16, float32 or float64 tensors");

struct Mask {
    int first, end;

    __device__ bool holds(int i) const { return i >= first && i < end; }
};

__device__ inline Mask draw(unsigned int seed, unsigned int sample, unsigned int frame, unsigned int stream, int limit, int length)
{
    const uint4 words = philox(seed, sample, frame, stream);
    const int width = min(length, static_cast<int>(uniform(words.x) * static_cast<float>(limit)));
    const int first = static_cast<int>(uniform(words.y) * static_cast<float>(length - width));
    return {first, first + width};
}

extern "C" __global__ void spec_augment(T* __restrict__ y, const unsigned int* __restrict__ frame, int frequency_mask, int time_mask, float time_ratio, int frequency_masks,
                                        int time_masks, unsigned int seed, bool training, long long rows, int frequencies, int times)
{
    const long long row = this_row();
    if (!training || row >= rows) return;
    const unsigned int sample = static_cast<unsigned int>(row / frequencies);
    const int frequency = static_cast<int>(row % frequencies);
    const int limit = min(time_mask, static_cast<int>(time_ratio * static_cast<float>(times)));
    bool all = false;
    for (int i = 0; i < frequency_masks; ++i) all |= draw(seed, sample, *frame, i, frequency_mask, frequencies).holds(frequency);
#ifdef CUDAGRAPH_HOST
    const PartOfBlock groups((times + 3) / 4);
    for (int begin = 4 * groups.first; begin < 4 * groups.end; begin += 4) {
#else
    for (int begin = 4 * (blockIdx.x * blockDim.x + threadIdx.x); begin < times; begin += 4 * gridDim.x * blockDim.x) {
#endif
        bool one[4] = {};
        for (int i = 0; i < time_masks && !all; ++i) {
            const Mask mask = draw(seed, sample, *frame, 256u + i, limit, times);
#pragma unroll
            for (int c = 0; c < 4; ++c) one[c] |= mask.holds(begin + c);
        }
#pragma unroll
        for (int c = 0; c < 4; ++c) {
            if (begin + c < times && (all || one[c])) y[row * times + begin + c] = narrow<T>(0);
        }
    }
}
