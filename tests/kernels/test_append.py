"""`append.cuh`: every element once, nothing out of bounds."""

from __future__ import annotations

import numpy as np
import pytest

import cudagraph as cg

SOURCE = cg.CudaSource("""
#include "append.cuh"
extern "C" __global__ void keep_odd(const int* x, int* out, unsigned int* count, unsigned int capacity, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n || x[i] % 2 == 0) return;
    const int slot = append_slot(count, capacity);
    if (slot >= 0) out[slot] = x[i];
}
""")


class KeepOdd(cg.Block):
    def __init__(self, capacity: int) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", ("n",), "int32")
            self.out = b.append_output("out", "int32", capacity)
            b.kernel(SOURCE, elements="n", x=self.x, out=self.out, count=self.out.count, capacity=capacity, n="n")


@pytest.mark.parametrize("size", [1, 3, 63, 1000, 100_000])
def test_every_element_is_appended_once(size):
    with cg.CudaEngine("host") as engine:
        block = engine.add(KeepOdd(size))
        engine.bind(block.x, np.arange(size, dtype=np.int32))
        for _ in range(3):  # the counter begins each frame at 0
            engine.update()
            count = int(engine.read(block.out.count))
            assert sorted(engine.read(block.out)[:count]) == list(range(1, size, 2))


@pytest.mark.parametrize("capacity", [1, 7, 499, 500])
def test_a_full_buffer_loses_elements_and_says_so(capacity):
    with cg.CudaEngine("host") as engine:
        block = engine.add(KeepOdd(capacity))
        engine.bind(block.x, np.arange(1000, dtype=np.int32))
        engine.update(sync=True)
        kept = engine.read(block.out)
        assert len(set(kept.tolist())) == capacity and all(kept % 2 == 1)
        assert block.debug.append_counts == {"out": 500}
        assert block.debug.append_overflow == ({"out": 500 - capacity} if capacity < 500 else {})
