"""The user's own stream-ordered code inside the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg

X = np.arange(64, dtype=np.float32)


def _copy_on_stream(stream: Any, source: Any, target: Any) -> None:
    from cuda.bindings import driver

    def address(array: Any) -> int:
        return array.__cuda_array_interface__["data"][0]

    (status,) = driver.cuMemcpyDtoDAsync(address(target), address(source), 4 * len(X), int(stream))
    assert int(status) == 0


class Reversed(cg.Block):
    """y = a copy of x made by captured code."""

    def __init__(self, function: Any = _copy_on_stream, host: Any = None) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (64,))
            self.y = b.output("y", (64,))
            b.capture(function, inputs=[self.x], outputs=[self.y], host=host or self.copy)

    @staticmethod
    def copy(source: np.ndarray, target: np.ndarray) -> None:
        target[:] = source


def test_captured_code_runs_every_frame(engine: cg.CudaEngine) -> None:
    scale, copied, shift = engine.add(toy.Scale(2.0), Reversed(), toy.Shift(1.0))
    engine.connect(scale.y, copied.x)
    engine.connect(copied.y, shift.x)
    engine.bind(scale.x, X)
    engine.update()
    np.testing.assert_array_equal(engine.read(shift.y), 2 * X + 1)
    scale.factor.value = 3.0
    engine.update()
    np.testing.assert_array_equal(engine.read(shift.y), 3 * X + 1)


def test_a_rebound_input_is_captured_anew(engine: cg.CudaEngine) -> None:
    copied = engine.add(Reversed())
    engine.bind(copied.x, X)
    engine.update()
    engine.bind(copied.x, X + 1)
    engine.update()
    np.testing.assert_array_equal(engine.read(copied.y), X + 1)


def test_code_that_raises_names_its_block_and_changes_nothing(engine: cg.CudaEngine, device: str) -> None:
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    engine.update()

    def fails(*arrays: Any) -> None:
        raise ValueError("the user's own mistake")

    broken = engine.add(Reversed(fails, fails))
    engine.connect(scale.y, broken.x)
    if device == "host":  # runs with the frame, not when the graph is built
        with pytest.raises(cg.DeviceError, match="the user's own mistake"):
            engine.update(sync=True)
    else:
        engine.update()
        assert "the user's own mistake" in str(engine.errors[0])
    engine.remove(broken)
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * X)
