// Appending to a buffer from many threads at once.
//
// append_slot(count, capacity) reserves one element and returns its index, or -1 when the buffer is full. The counter
// goes on counting, so that afterwards count - capacity elements are known to be lost; nothing is written out of bounds.
// The order of elements is not deterministic.
#pragma once

// The plain addition on purpose: the compiler makes one atomic per warp of it (VOTEU, POPC, ATOMG, SHFL on sm_80 to
// sm_120). Written out with __activemask() and __shfl_sync() the same is done twice, in a third more instructions.
__device__ inline int append_slot(unsigned int* count, unsigned int capacity)
{
    const unsigned int slot = atomicAdd(count, 1u);
    return slot < capacity ? static_cast<int>(slot) : -1;
}

// How many elements a buffer really holds: its counter counts lost ones too.
__device__ inline unsigned int appended(const unsigned int* count, unsigned int capacity)
{
    return *count < capacity ? *count : capacity;
}
