"""Checks after a frame: blocks against their references, the origin of NaN, poisoned memory."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg

X = np.linspace(0, 1, 100, dtype=np.float32)
ENVIRONMENT = cg.Environment.from_environ()


def _engine(**settings: object) -> cg.CudaEngine:
    return cg.CudaEngine("host", environment=replace(ENVIRONMENT, **settings))  # type: ignore[arg-type]


def test_a_block_that_differs_from_its_reference_is_named() -> None:
    with _engine(validate=True) as engine:
        good, bad = engine.add(toy.Scale(2.0), toy.Scale(3.0))
        bad.replace_source(toy.SCALE.replace("factor * x[i]", "i == 7 ? 99.0f : factor * x[i]"))
        engine.connect(good.y, bad.x)
        engine.bind(good.x, X)
        engine.update()
        assert good.debug.state is cg.BlockState.OK
        assert bad.debug.state is cg.BlockState.ERROR
        assert "1 of 100 elements, first at [7]: 99 instead of" in bad.debug.message


def test_the_first_nan_is_located() -> None:
    with _engine(check="nan") as engine:
        blocks = [engine.add(toy.Scale(1.0)) for _ in range(4)]
        for source, target in pairwise(blocks):
            engine.connect(source.y, target.x)
        engine.bind(blocks[0].x, X)
        engine.update()
        assert all(block.debug.state is cg.BlockState.OK for block in blocks)
        blocks[2].factor.value = float("nan")
        engine.update()
        assert [block.debug.state is cg.BlockState.ERROR for block in blocks] == [False, False, True, False]
        assert "scale_3:scale made the first NaN, in scale_3.y" in blocks[2].debug.message


class Forgetful(cg.Block):
    """Writes only the even elements of y."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", ("n",))
            self.y = b.output("y", ("n",))
            text = """extern "C" __global__ void even(const float* x, float* y, int n) {
                int i = 2 * (blockIdx.x * blockDim.x + threadIdx.x);
                if (i < n) y[i] = x[i];
            }"""
            b.kernel(cg.CudaSource(text), elements=self.y.size, x=self.x, y=self.y, n="n")


@pytest.mark.parametrize("frames", [1, 3])
def test_poison_shows_what_no_kernel_wrote(frames: int) -> None:
    with _engine(poison=True) as engine:
        block = engine.add(Forgetful())
        engine.bind(block.x, X)
        for _ in range(frames):
            engine.update()
        y = engine.read(block.y)
        assert np.isnan(y[1::2]).all()
        np.testing.assert_array_equal(y[::2], X[::2])


def test_without_the_memory_planner_every_port_can_be_read() -> None:
    with _engine(memory_planner=False) as engine:
        first, second = engine.add(toy.Scale(2.0), toy.Scale(3.0))
        engine.connect(first.y, second.x)
        engine.bind(first.x, X)
        engine.update()
        np.testing.assert_array_equal(engine.read(first.y), 2 * X)


def test_dot_file_at_every_rebuild(tmp_path) -> None:
    with _engine(dot=tmp_path / "graph.dot") as engine:
        scale = engine.add(toy.Scale())
        engine.bind(scale.x, X)
        engine.update()
        assert '"scale"' in (tmp_path / "graph.dot").read_text()
