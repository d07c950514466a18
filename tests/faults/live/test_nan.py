"""CUDAGRAPH_CHECK=nan: the first block that made one, or the array, weight or state that it came with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg

X = np.arange(12, dtype=np.float32)
NAN = float("nan")


@pytest.fixture
def engine(make_engine: Callable[..., cg.CudaEngine]) -> cg.CudaEngine:
    environment = cg.Environment.from_environ({"CUDAGRAPH_CHECK": "nan"})
    return make_engine(environment=replace(cg.Environment.from_environ(), check=environment.check))


def faults(*blocks: cg.Block) -> dict[str, str]:
    """Messages of the blocks that are marked."""
    return {block.name: block.debug.message for block in blocks if block.debug.state is cg.BlockState.ERROR}


def test_what_the_frame_began_with_is_not_blamed_on_a_block(engine: cg.CudaEngine) -> None:
    scale, offset = blocks = engine.add(toy.Scale(2.0), toy.Offset([1] * 12))
    engine.connect(scale.y, offset.x)
    bad = X.copy()
    bad[3] = NAN
    engine.bind(scale.x, bad)
    engine.update()
    assert faults(*blocks) == {"scale": "the array bound to scale.x holds NaN"}
    engine.bind(scale.x, X)
    engine.update()
    assert faults(*blocks) == {}
    offset.weight.value = bad
    engine.update()
    assert faults(*blocks) == {"offset": "offset.weight was given NaN"}
    offset.weight.value = X
    scale.factor.value = NAN
    engine.update()
    assert list(faults(*blocks)) == ["scale"]
    assert "scale:scale made the first NaN, in scale.y" in scale.debug.message
    scale.factor.value = 1.0
    engine.update()
    assert faults(*blocks) == {}


def test_a_delay_hands_on_what_another_block_made(engine: cg.CudaEngine) -> None:
    scale, delay, add = blocks = engine.add(toy.Scale(1.0), toy.Delay(), toy.Add())
    engine.connect(scale.y, delay.x)
    engine.connect(scale.y, add.a)
    engine.connect(delay.y, add.b)
    engine.bind(scale.x, X)
    engine.update()
    scale.factor.value = NAN
    engine.update()
    assert list(faults(*blocks)) == ["scale"]
    scale.factor.value = 1.0
    engine.update()
    assert np.isnan(engine.read(add.c)).any()
    assert faults(*blocks) == {}
    engine.update()
    assert faults(*blocks) == {}


def test_a_state_keeps_what_an_earlier_frame_put_there(engine: cg.CudaEngine) -> None:
    scale, total = blocks = engine.add(toy.Scale(1.0), toy.Accumulate())
    engine.connect(scale.y, total.x)
    engine.bind(scale.x, X)
    scale.factor.value = NAN
    engine.update()
    assert list(faults(*blocks)) == ["scale"]
    scale.factor.value = 1.0
    for _ in range(2):
        engine.update()
        assert list(faults(*blocks)) == ["accumulate"]
        assert "accumulate.total has held NaN since an earlier frame" in total.debug.message
    total.total.value = np.zeros(12)
    engine.update()
    assert faults(*blocks) == {}


def test_a_view_of_what_is_bad_is_bad(engine: cg.CudaEngine) -> None:
    class Halves(cg.Block):
        def __init__(self) -> None:
            super().__init__()
            with cg.BlockBuilder(self) as b:
                self.x = b.input("x", (12,))
                self.factor = b.parameter("factor", NAN)
                self.y = b.output("y", (12,))
                b.elementwise("y = factor * x", x=self.x, factor=self.factor, y=self.y)
                self.second = b.view(self.y, (6,), offset=6, name="second")

    halves, shift = engine.add(Halves(), toy.Shift())
    engine.connect(halves.second, shift.x)
    engine.bind(halves.x, X)
    engine.update()
    assert list(faults(halves, shift)) == ["halves"]
