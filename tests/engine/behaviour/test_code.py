"""Kernels edited while the graph runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg
from cudagraph import Tier

X = np.arange(100, dtype=np.float32)
SQUARE = toy.SCALE.replace("factor * x[i]", "factor * x[i] * x[i]")
BROKEN = toy.SCALE.replace("factor * x[i]", "factor * x[i] *** oops")


def test_replace_source(engine: cg.CudaEngine) -> None:
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    engine.update()
    scale.replace_source(SQUARE)
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * X * X)
    assert engine.rebuilds == 1
    assert Tier.CODE in engine.explain().tiers


def test_one_of_two_blocks_with_the_same_kernel(engine: cg.CudaEngine) -> None:
    first, second = engine.add(toy.Scale(2.0), toy.Scale(3.0))
    engine.connect(first.y, second.x)
    engine.bind(first.x, X)
    engine.update()
    second.replace_source(SQUARE)
    engine.update()
    np.testing.assert_array_equal(engine.read(second.y), 3 * (2 * X) * (2 * X))


def test_a_broken_source_keeps_the_old_kernel(engine: cg.CudaEngine) -> None:
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    engine.update()
    scale.replace_source(BROKEN)
    scale.factor.value = 5.0
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 5 * X)
    assert scale.debug.state is cg.BlockState.ERROR
    assert "oops" in scale.debug.message
    assert Tier.FAILED in engine.explain().tiers
    scale.replace_source(SQUARE)
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 5 * X * X)
    assert scale.debug.state is cg.BlockState.OK
    assert engine.errors == ()


def test_a_source_with_other_arguments_is_refused(engine: cg.CudaEngine) -> None:
    scale = engine.add(toy.Scale(2.0))
    with pytest.raises(cg.DescriptionError, match="keep the arguments"):
        scale.replace_source(toy.SCALE.replace("float factor", "double factor"))


def test_structural_change_after_a_code_change_keeps_the_new_code(engine: cg.CudaEngine) -> None:
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    engine.update()
    scale.replace_source(SQUARE)
    shift = engine.add(toy.Shift(1.0))
    engine.connect(scale.y, shift.x)
    engine.update()
    np.testing.assert_array_equal(engine.read(shift.y), 2 * X * X + 1)


def test_an_option_that_a_kernel_is_compiled_for(engine: cg.CudaEngine) -> None:
    power, scale = engine.add(toy.Power(1), toy.Scale(2.0))
    engine.connect(power.y, scale.x)
    engine.bind(power.x, X)
    engine.update()
    power.exponent.value = 3
    scale.factor.value = 4.0
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 4 * X * X * X)
    assert engine.rebuilds == 1
    assert engine.explain().tiers == {Tier.CODE, Tier.HOT}
    assert "power.exponent = 3: 1 kernel swapped" in str(engine.explain())


class FromFile(cg.Block):
    """A kernel from a file that a test edits."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.factor = b.parameter("factor", 2.0)
            self.y = b.output("y", self.x.shape)
            b.kernel(path, elements=self.y.size, x=self.x, y=self.y, factor=self.factor, n=self.y.size)


def _until(engine: cg.CudaEngine, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        engine.update()
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_watched_file(make_engine: Callable[..., cg.CudaEngine], tmp_path: Path) -> None:
    path = tmp_path / "live.cu"
    path.write_text(toy.SCALE)
    engine = make_engine(watch=True)
    block = engine.add(FromFile(path))
    engine.bind(block.x, X)
    engine.update()
    path.write_text(BROKEN + " ")
    assert _until(engine, lambda: block.debug.state is cg.BlockState.ERROR)
    np.testing.assert_array_equal(engine.read(block.y), 2 * X)
    path.write_text(SQUARE + "  ")
    assert _until(engine, lambda: block.debug.state is cg.BlockState.OK)
    np.testing.assert_array_equal(engine.read(block.y), 2 * X * X)
    assert engine.rebuilds == 1
