"""The host's sanitizer: which kernel left which argument, at which index, in which line and thread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg

X = np.arange(8, dtype=np.float32)
PAST = toy.SCALE.replace("y[i] =", "y[i + 3] =")
BEFORE = toy.SCALE.replace("y[i] =", "y[i - 2] =")
INSIDE = toy.SCALE.replace("y[i] =", "((char*)y)[4 * i + 30] =")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            PAST,
            r"kernel scale at \S+:4: out of bounds: writes 4 bytes at byte 32 of argument 1, y .*: index 8, and 8 el",
        ),
        (
            BEFORE,
            r"writes 4 bytes at byte -8 of argument 1, y .*which has 32 bytes: index -2, and 8 elements.*thread \(0",
        ),
        (INSIDE, r"writes 1 bytes at byte 34 of argument 1, y .*: index 8, and 8 elements"),
    ],
)
def test_a_kernel_that_writes_out_of_bounds(source: str, message: str) -> None:
    environment = replace(cg.Environment.from_environ(), sanitize=True, threads=1)
    with cg.CudaEngine("host", environment=environment) as engine:
        first, second = engine.add(toy.Scale(1.0), toy.Scale(2.0))
        engine.connect(first.y, second.x)
        engine.bind(first.x, X)
        engine.update()
        second.replace_source(source)
        for _ in range(2):
            with pytest.raises(cg.DeviceError, match=message):
                engine.update()
        assert second.debug.state is cg.BlockState.ERROR
        assert "scale_2" in second.debug.message
        assert first.debug.state is cg.BlockState.OK
        second.replace_source(toy.SCALE)
        engine.update()
        np.testing.assert_array_equal(engine.read(second.y), 2 * X)
        assert second.debug.state is cg.BlockState.OK
