"""No memory left: the graph that runs goes on, the error says what wanted how much, and nothing assigned is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg

X = np.arange(12, dtype=np.float32)


class Limited:
    """A device that has memory for a few more allocations only."""

    def __init__(self, engine: cg.CudaEngine, allocations: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failed = False
        self._left, self._allocate, self._patch = allocations, engine.device.allocate, monkeypatch
        monkeypatch.setattr(engine.device, "allocate", self.allocate)

    def allocate(self, nbytes: int) -> int:
        self._left -= 1
        if self._left < 0:
            self.failed = True
            raise cg.DeviceError("the device is full")
        return self._allocate(nbytes)


class Total(cg.Block):
    """y = total += x, for twelve elements."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x, self.y = b.input("x", (12,)), b.output("y", (12,))
            self.total = b.state("total", (12,))
            source = cg.CudaSource(toy.ACCUMULATE, name="accumulate.cu")
            b.kernel(source, elements=12, x=self.x, total=self.total, y=self.y, n=12)


class Huge(cg.Block):
    """Needs more memory than there is: in a state, or within a frame."""

    def __init__(self, elements: int, place: str) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x, self.y = b.input("x", (12,)), b.output("y", (12,))
            init = lambda shape, dtype: np.broadcast_to(np.zeros(1, dtype), shape)  # noqa: E731
            more = b.state("more", (elements,), init=init) if place == "state" else b.scratch((elements,), name="more")
            text = (
                'extern "C" __global__ void huge(const float* x, float* more, float* y) '
                "{ more[threadIdx.x] = x[threadIdx.x]; y[threadIdx.x] = more[threadIdx.x]; }"
            )
            b.kernel(cg.CudaSource(text), grid=1, threads=12, x=self.x, more=more, y=self.y)


def test_every_allocation_of_a_rebuild_may_fail(engine: cg.CudaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    scale, total = engine.add(toy.Scale(2.0), toy.Accumulate())
    engine.connect(scale.y, total.x)
    engine.keep(scale.y, total.y)
    engine.bind(scale.x, X)
    engine.update()
    first = np.full(12, 100, np.float32)
    second, delay, add = Total(), toy.Delay(), toy.Add()
    engine.add(second, delay, add)
    engine.keep(second.y)
    engine.connect(total.y, second.x)
    engine.connect(total.y, delay.x)
    engine.connect(second.y, add.a)
    engine.connect(delay.y, add.b)
    second.total.value = first
    allocations, failed = 0, True
    while failed:
        engine.disconnect(total.y, second.x)
        engine.connect(total.y, second.x)  # an edit, so that the build is tried again
        with monkeypatch.context() as patch:
            limited = Limited(engine, allocations, patch)
            scale.factor.value = float(allocations)
            engine.update()
        np.testing.assert_array_equal(engine.read(scale.y), allocations * X)
        failed = limited.failed
        if failed:
            assert "there is no memory for" in str(engine.errors[0])
            assert "the device is full" in str(engine.errors[0])
            assert "The last good graph keeps running" in str(engine.explain())
        allocations += 1
    assert allocations > 3
    assert engine.errors == ()
    np.testing.assert_array_equal(engine.read(second.y), first + engine.read(total.y))


@pytest.mark.parametrize("place", ["state", "scratch"])
@pytest.mark.parametrize("elements", [1 << 48, 1 << 70])
def test_more_memory_than_there_is(engine: cg.CudaEngine, place: str, elements: int) -> None:
    scale = engine.add(toy.Scale(2.0))
    engine.keep(scale.y)
    engine.bind(scale.x, X)
    engine.update()
    huge = engine.add(Huge(elements, place))
    engine.connect(scale.y, huge.x)
    for factor in (3.0, 4.0):
        scale.factor.value = factor
        engine.update()
        np.testing.assert_array_equal(engine.read(scale.y), factor * X)
    assert huge.debug.state is cg.BlockState.ERROR
    assert f"huge.more, {4 * elements:,} bytes" in huge.debug.message.replace("huge.more: ", "huge.more, ")
    engine.remove(huge)
    engine.update()
    assert engine.errors == ()
    np.testing.assert_array_equal(engine.read(scale.y), 4 * X)


def test_an_array_that_does_not_fit_leaves_the_one_before(engine: cg.CudaEngine, monkeypatch: Any) -> None:
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    engine.update()
    with monkeypatch.context() as patch:
        Limited(engine, 0, patch)
        with pytest.raises(cg.DeviceError, match=r"no memory for the array bound to scale\.x, 400 bytes: .*full"):
            engine.bind(scale.x, np.zeros(100, np.float32))
    scale.factor.value = 3.0
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 3 * X)
    assert engine.errors == ()
