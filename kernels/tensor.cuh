// Tensor cores and copies ahead (sm_80 and later) as functions: what PTX has and CUDA C++ has no words for.
//
// The fragments of mma.m16n8k16, with g = lane / 4 and t = lane % 4:
//   a[0] row g, columns 2t and 2t + 1; a[1] row g + 8; a[2] and a[3] the same eight columns further
//   b0 rows 2t and 2t + 1 of column g; b1 eight rows further
//   sum[0], sum[1] row g, columns 2t and 2t + 1; sum[2], sum[3] row g + 8
// A CPU has the same functions, by shuffles and plain copies: slow, and for tests of kernels that are written with them.
#pragma once

#include "numeric.cuh"

template <class X> struct Tensor { static constexpr bool type = false; };
template <> struct Tensor<__half> { static constexpr bool type = true; };
template <> struct Tensor<__nv_bfloat16> { static constexpr bool type = true; };

// Two numbers as a fragment holds them, the first one low.
__device__ inline unsigned pair(float low, float high, __half)
{
    const __half2 both = __floats2half2_rn(low, high);
    return *reinterpret_cast<const unsigned*>(&both);
}

__device__ inline unsigned pair(float low, float high, __nv_bfloat16)
{
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const unsigned*>(&both);
}

#ifndef __CUDACC_RTC__
#include "tensor_portable.cuh"
#elif __CUDA_ARCH__ >= 800

// sum += a b for a [16, 16] times [16, 8].
__device__ inline void multiply_add(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, __half)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ inline void multiply_add(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, __nv_bfloat16)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ inline unsigned address_of(const void* shared)
{
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// Four 8x8 matrices from shared memory: lane l says where row l % 8 of matrix l / 8 begins, and gets the numbers 2t and
// 2t + 1 of row g of each.
__device__ inline void load_matrices(unsigned (&out)[4], const void* row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(address_of(row)) : "memory");
}

// The same of the transposed matrices.
__device__ inline void load_transposed(unsigned (&out)[4], const void* row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(address_of(row)) : "memory");
}

// Copies from global to shared memory that go on while a thread does something else, in groups.
struct CopiesAhead {
    // 16 bytes, or zeros; both sides lie at multiples of 16 bytes.
    __device__ void copy(void* target, const void* source, bool inside)
    {
        const int bytes = inside ? 16 : 0;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address_of(target)), "l"(source), "r"(bytes)
                     : "memory");
    }
    // What was copied since the last group is one.
    __device__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
    // Until all groups but the LEFT newest of this thread are there.
    template <int LEFT> __device__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory"); }
};

#endif
