"""A kernel that fails while it runs: the error names kernel, line and block, and the engine stays usable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg

X = np.arange(8, dtype=np.float32)
ASSERTS = toy.SCALE.replace("    if (i < n)", "    assert(i >= n || x[i] < 100.0f);\n    if (i < n)")
TOO_FAR = toy.SCALE.replace("x[i]", "x[i + 1]")


def test_a_device_assert_names_its_block() -> None:
    with cg.CudaEngine("host") as engine:
        scale, checked = engine.add(toy.Scale(1.0), toy.Scale(2.0))
        checked.replace_source(ASSERTS)
        engine.connect(scale.y, checked.x)
        engine.bind(scale.x, X)
        engine.update()
        scale.factor.value = 1000.0
        with pytest.raises(cg.DeviceError, match=r"x\[i\] < 100"):
            engine.update()
        assert checked.debug.state is cg.BlockState.ERROR
        assert "scale_2" in checked.debug.message
        assert scale.debug.state is cg.BlockState.OK
        scale.factor.value = 3.0
        engine.update()
        np.testing.assert_array_equal(engine.read(checked.y), 6 * X)


def test_the_sanitizer_names_kernel_and_argument() -> None:
    environment = replace(cg.Environment.from_environ(), sanitize=True)
    with cg.CudaEngine("host", environment=environment) as engine:
        scale = engine.add(toy.Scale(1.0))
        engine.bind(scale.x, X)
        engine.update()
        scale.replace_source(TOO_FAR)
        with pytest.raises(cg.DeviceError, match=r"reads 4 bytes at byte 32 of argument 0, x"):
            engine.update()
        assert scale.debug.state is cg.BlockState.ERROR
