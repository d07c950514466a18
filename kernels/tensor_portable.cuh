// What tensor.cuh offers, where there are no tensor cores: the same results by shuffles and plain copies.
#pragma once

__device__ inline float low_of(unsigned both, __half) { return __half2float(reinterpret_cast<const __half*>(&both)[0]); }
__device__ inline float high_of(unsigned both, __half) { return __half2float(reinterpret_cast<const __half*>(&both)[1]); }
__device__ inline float low_of(unsigned both, __nv_bfloat16) { return __uint_as_float(both << 16); }
__device__ inline float high_of(unsigned both, __nv_bfloat16) { return __uint_as_float(both & 0xffff0000u); }

template <class X>
__device__ inline void multiply_add(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, X kind)
{
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const unsigned long long above = a[0] | static_cast<unsigned long long>(a[2]) << 32;
    const unsigned long long below = a[1] | static_cast<unsigned long long>(a[3]) << 32;
    const unsigned long long b = b0 | static_cast<unsigned long long>(b1) << 32;
    for (int s = 0; s < 4; ++s) {
        const unsigned long long rows[2] = {__shfl_sync(~0u, above, g * 4 + s), __shfl_sync(~0u, below, g * 4 + s)};
        for (int column = 0; column < 2; ++column) {
            const unsigned long long other = __shfl_sync(~0u, b, (2 * t + column) * 4 + s);
            for (int row = 0; row < 2; ++row) {
                for (int half = 0; half < 2; ++half) {
                    const unsigned x = static_cast<unsigned>(rows[row] >> 32 * half);
                    const unsigned y = static_cast<unsigned>(other >> 32 * half);
                    sum[2 * row + column] += low_of(x, kind) * low_of(y, kind) + high_of(x, kind) * high_of(y, kind);
                }
            }
        }
    }
}

__device__ inline const unsigned short* row_of_lane(const void* row, int lane)
{
    const unsigned long long from = __shfl_sync(~0u, reinterpret_cast<unsigned long long>(row), lane);
    return reinterpret_cast<const unsigned short*>(from);
}

__device__ inline void load_matrices(unsigned (&out)[4], const void* row)
{
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
        const unsigned short* from = row_of_lane(row, 8 * i + g) + 2 * t;
        out[i] = from[0] | static_cast<unsigned>(from[1]) << 16;
    }
}

__device__ inline void load_transposed(unsigned (&out)[4], const void* row)
{
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
        const unsigned short low = row_of_lane(row, 8 * i + 2 * t)[g], high = row_of_lane(row, 8 * i + 2 * t + 1)[g];
        out[i] = low | static_cast<unsigned>(high) << 16;
    }
}

// Nothing is copied before it is waited for, so a wait that is missing shows.
struct CopiesAhead {
    static constexpr int most = 128;
    struct Copy {
        uint4* target;
        const uint4* source;
        int group;
    } copies[most];
    int count = 0, groups = 0;

    __device__ void copy(void* target, const void* source, bool inside)
    {
        if (count == most) __trap();
        copies[count++] = {static_cast<uint4*>(target), inside ? static_cast<const uint4*>(source) : nullptr, groups};
    }
    __device__ void commit() { ++groups; }
    template <int LEFT> __device__ void wait()
    {
        int kept = 0;
        for (int i = 0; i < count; ++i) {
            const Copy one = copies[i];
            if (one.group < groups - LEFT) *one.target = one.source ? *one.source : make_uint4(0, 0, 0, 0);
            else copies[kept++] = one;
        }
        count = kept;
    }
};
