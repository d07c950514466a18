// token[b] = one of softmax(logits[b, last] / temperature), by chance
//
// Only of the top_k largest, and of those only of the fewest that hold top_p of their probability; with temperature 0 the
// largest. Where there is a capacity, text[b, *position + tokens] = token[b] as well.
//
// Layout: logits batch x kept x columns, of which the last row of each batch counts. One thread block per batch.
// Idea:   a value's bits, put in order, are a key, so "the k-th largest" and "the smallest of those that hold p" are both
//         found by four passes over 256 bins, from the highest byte down (radix selection): bins count elements, or add up
//         probabilities as integers, so that the order of additions cannot matter. The draw is Gumbel's: the largest of
//         value + noise among what is left, with noise from Philox (seed, group of four, place, batch).
// Floor:  one read of the row for temperature 0 (columns x sizeof(T)); each pass more reads it from the cache.

#include "numeric.cuh"
#include "philox.cuh"

using Mass = unsigned long long;

// Bits in the order of the values; NaN is the largest, as for torch's argmax.
__device__ inline unsigned int key_of(float value)
{
    const unsigned int bits = __float_as_uint(value);
    return bits ^ (static_cast<unsigned int>(static_cast<int>(bits) >> 31) | 0x80000000u);
}

__device__ inline float value_of(unsigned int key)
{
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

// The larger value wins, then the smaller index.
__device__ inline Mass candidate(float value, int index)
{
    return static_cast<Mass>(key_of(value)) << 32 | (0xffffffffu - static_cast<unsigned int>(index));
}

// The groups of four neighbouring elements that a thread looks at: every blockDim.x-th one, so that a warp reads a line
// together; on a CPU neighbouring ones, so that a thread does.
template <class F> __device__ inline void for_groups(int columns, F f)
{
    const int groups = (columns + 3) / 4;
#ifdef CUDAGRAPH_HOST
    const int share = (groups + blockDim.x - 1) / blockDim.x, first = threadIdx.x * share;
    for (int g = first; g < groups && g < first + share; ++g) f(g);
#else
    for (int g = threadIdx.x; g < groups; g += blockDim.x) f(g);
#endif
}

// The same, element by element.
template <class F> __device__ inline void for_elements(int columns, F f)
{
    for_groups(columns, [&](int group) {
#pragma unroll
        for (int i = 4 * group; i < 4 * group + 4; ++i) {
            if (i < columns) f(i);
        }
    });
}

struct Row {
    const T* values;
    int columns;
    float maximum, scale; // scale: 1 / temperature

    __device__ float at(int i) const { return static_cast<float>(widen(values[i])); }
    // A probability times a constant, as an integer: 2^32 for the largest element.
    __device__ Mass mass(float value) const { return static_cast<Mass>(expf((value - maximum) * scale) * 4294967296.0f); }
};

// The largest key t such that the elements of keys >= t, and >= `least`, weigh `wanted` or more together.
template <class Weight> __device__ unsigned int select(const Row& row, unsigned int least, Mass wanted, Mass* bins, Weight weight)
{
    __shared__ unsigned int chosen;
    __shared__ Mass missing;
    unsigned int prefix = 0;
    if (threadIdx.x == 0) missing = wanted;
    for (int shift = 24; shift >= 0; shift -= 8) {
        for (int bin = threadIdx.x; bin < 256; bin += blockDim.x) bins[bin] = 0;
        __syncthreads();
        const unsigned int above = shift == 24 ? 0u : 0xffffffffu << (shift + 8);
        for_elements(row.columns, [&](int i) {
            const float value = row.at(i);
            const unsigned int key = key_of(value);
            if (key >= least && (key & above) == prefix) atomicAdd(&bins[key >> shift & 255u], weight(value));
        });
        __syncthreads();
        if (threadIdx.x == 0) {
            int bin = 255;
            for (; bin > 0 && bins[bin] < missing; --bin) missing -= bins[bin];
            chosen = prefix | static_cast<unsigned int>(bin) << shift;
        }
        __syncthreads();
        prefix = chosen;
    }
    return prefix;
}

extern "C" __global__ void sample(const T* __restrict__ logits, const float* __restrict__ temperature,
                                  const int* __restrict__ top_k, const float* __restrict__ top_p,
                                  const unsigned int* __restrict__ seed, const int* __restrict__ position, int* __restrict__ token,
                                  int* __restrict__ text, int kept, int columns, int tokens, int capacity)
{
    __shared__ Mass bins[256];
    __shared__ Mass best, total;
    const int batch = blockIdx.x;
    const int next = *position + tokens;
    Row row = {logits + (batch * static_cast<long long>(kept) + kept - 1) * columns, columns, 0.0f, 0.0f};
    if (threadIdx.x == 0) best = total = 0;
    __syncthreads();

    Mass mine = 0;
    for_elements(columns, [&](int i) {
        const Mass other = candidate(row.at(i), i);
        mine = other > mine ? other : mine;
    });
    atomicMax(&best, mine);
    __syncthreads();

    if (*temperature > 0.0f) {
        row.maximum = value_of(static_cast<unsigned int>(best >> 32));
        row.scale = 1.0f / *temperature;
        unsigned int least = 0;
        if (*top_k > 0 && *top_k < columns) least = select(row, 0u, static_cast<Mass>(*top_k), bins, [](float) -> Mass { return 1; });
        if (*top_p < 1.0f) {
            Mass sum = 0;
            for_elements(columns, [&](int i) {
                const float value = row.at(i);
                if (key_of(value) >= least) sum += row.mass(value);
            });
            atomicAdd(&total, sum);
            __syncthreads();
            const Mass wanted = static_cast<Mass>(static_cast<double>(total) * *top_p);
            least = select(row, least, wanted > 1 ? wanted : 1, bins, [&](float value) { return row.mass(value); });
        }
        __syncthreads();
        if (threadIdx.x == 0) best = 0;
        __syncthreads();
        mine = 0;
        for_groups(columns, [&](int group) {
            unsigned int word[4] = {};
            bool drawn = false;
            for (int j = 0; j < 4; ++j) {
                const int i = 4 * group + j;
                if (i >= columns || key_of(row.at(i)) < least) continue;
                if (!drawn) {
                    const uint4 words = philox(*seed, group, next, batch);
                    word[0] = words.x, word[1] = words.y, word[2] = words.z, word[3] = words.w;
                    drawn = true;
                }
                const float u = uniform(word[j]) + 0.5f / 16777216.0f; // neither 0 nor 1
                const Mass other = candidate((row.at(i) - row.maximum) * row.scale - logf(-logf(u)), i);
                mine = other > mine ? other : mine;
            }
        });
        atomicMax(&best, mine);
        __syncthreads();
    }
    if (threadIdx.x != 0) return;
    const int winner = static_cast<int>(0xffffffffu - static_cast<unsigned int>(best));
    token[batch] = winner;
    if (next < capacity) text[batch * static_cast<long long>(capacity) + next] = winner;
}
