// Appending to a buffer from many threads at once.
//
// append_slot(count, capacity) reserves one element and returns its index, or -1 when the buffer is full. The counter
// goes on counting, so that afterwards count - capacity elements are known to be lost; nothing is written out of bounds.
// The order of elements is not deterministic.
#pragma once

#ifdef CUDAGRAPH_HOST
__device__ inline int append_slot(unsigned int* count, unsigned int capacity)
{
    const unsigned int slot = atomicAdd(count, 1u);
    return slot < capacity ? static_cast<int>(slot) : -1;
}
#else
// One atomic for all threads of a warp that append together: a single hot counter takes about one atomic per clock.
__device__ inline int append_slot(unsigned int* count, unsigned int capacity)
{
    const unsigned int together = __activemask();
    unsigned int below;
    asm("mov.u32 %0, %%lanemask_lt;" : "=r"(below));
    const int rank = __popc(together & below);
    unsigned int first = 0;
    if (rank == 0) first = atomicAdd(count, static_cast<unsigned int>(__popc(together)));
    first = __shfl_sync(together, first, __ffs(together) - 1);
    const unsigned int slot = first + rank;
    return slot < capacity ? static_cast<int>(slot) : -1;
}
#endif

// How many elements a buffer really holds: its counter counts lost ones too.
__device__ inline unsigned int appended(const unsigned int* count, unsigned int capacity)
{
    return *count < capacity ? *count : capacity;
}
