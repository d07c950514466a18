"""Work that is chosen by shape, and counters of wrong input."""

from __future__ import annotations

import numpy as np
import pytest

import cudagraph as cg

CHECKED = """
extern "C" __global__ void checked(const float* x, float* y, unsigned* negative, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    if (x[i] < 0.0f) atomicAdd(negative, 1u);
    y[i] = 2.0f * x[i];
}
"""


class Doubled(cg.Block):
    """y = x + 1 for up to four elements, 2 x for five to ten."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.y = b.output("y", self.x.shape)
            size = self.x.size
            negative = b.fault("negative", "x is negative")
            with b.where(size <= 4):
                b.elementwise("y = x + 1.0", x=self.x, y=self.y)
            with b.where(size > 4), b.where(size <= 10):
                b.kernel(cg.CudaSource(CHECKED), elements=size, x=self.x, y=self.y, negative=negative, n=size)


def run(engine, block, *values):
    engine.bind(block.x, np.array(values, np.float32))
    engine.update(sync=True)
    return engine.read(block.y).tolist()


def test_the_shape_chooses_the_work(engine):
    block = engine.add(Doubled())
    assert run(engine, block, 1, 2, 3) == [2, 3, 4]
    assert run(engine, block, 1, 2, 3, 4, 5) == [2, 4, 6, 8, 10]
    assert run(engine, block, 5) == [6]


def test_a_shape_that_no_condition_takes_leaves_the_old_graph_running(engine):
    block = engine.add(Doubled())
    run(engine, block, 1, 2, 3, 4, 5)
    assert run(engine, block, *range(11)) == [2, 4, 6, 8, 10]
    assert block.debug.state == "error"
    assert "no work of doubled writes y for x [11]: no where(...) condition holds" in block.debug.message
    assert run(engine, block, 1) == [2]
    assert block.debug.state == "ok"


def test_a_fault_stands_on_the_block_until_a_frame_ends_without(engine):
    block = engine.add(Doubled())
    run(engine, block, 1, -2, 3, -4, 5)
    assert (block.debug.state, block.debug.message) == ("error", "x is negative (2 times)")
    assert "x is negative (2 times)" in engine.report()
    run(engine, block, 1, 2, 3, 4, 5)
    assert (block.debug.state, block.debug.message) == ("ok", "")


def test_a_fault_does_not_hide_another_error(engine):
    block = engine.add(Doubled())
    run(engine, block, -1, 2, 3, 4, 5)
    run(engine, block, *range(-1, 10))
    assert "no work of doubled writes y" in block.debug.message


def test_a_fault_is_not_an_output():
    assert [port.name for port in Doubled().outputs] == ["y"]


class Pairs(cg.Block):
    """y = sums of pairs of neighbours."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (..., "N"))
            self.y = b.output("y", (..., cg.Dim("N") // 2))
            b.require(cg.equal(cg.Dim("N") % 2, 0), "x has an even last dimension")
            pairs = cg.CudaSource(
                'extern "C" __global__ void pairs(const float* x, float* y, int n)'
                "{ const int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) y[i] = x[2 * i] + x[2 * i + 1]; }"
            )
            b.kernel(pairs, elements=self.y.size, x=self.x, y=self.y, n=self.y.size)


def test_a_requirement_says_what_shapes_are_wanted(engine):
    block = engine.add(Pairs())
    assert run(engine, block, 1, 2, 3, 4) == [3, 7]
    assert run(engine, block, 1, 2, 3) == [3, 7]
    assert "pairs: x has an even last dimension; it is given x [3]" in block.debug.message


class TestWhere:
    def test_it_takes_sizes_only(self):
        class Wrong(cg.Block):
            def __init__(self):
                super().__init__()
                with cg.BlockBuilder(self) as b, b.where("x" == "y"):
                    b.input("x", (...,))

        with pytest.raises(cg.DescriptionError, match="ports, memory and children are the same for every shape"):
            Wrong()

    def test_a_size_cannot_decide_an_if(self):
        class Wrong(cg.Block):
            def __init__(self):
                super().__init__()
                with cg.BlockBuilder(self) as b:
                    if b.input("x", (...,)).size <= 4:
                        pass

        with pytest.raises(cg.DescriptionError, match=r"but `with b\.where\(\.\.\.\)` can use it"):
            Wrong()
