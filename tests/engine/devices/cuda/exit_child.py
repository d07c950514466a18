"""Programs that do not clean up. test_faults.py runs each in its own process and looks at how it ends."""

from __future__ import annotations

import numpy as np
import pytest

from cudagraph.engine.devices.cuda import CudaDevice

KEPT: list[object] = []  # alive until the interpreter ends


@pytest.fixture
def device(driver, compiler) -> CudaDevice:
    """A device that nobody closes."""
    made = CudaDevice(compiler=compiler)
    KEPT.append(made)
    return made


@pytest.fixture
def executable(make, sources):
    x, y = make.buffer(100), make.buffer(100)
    make.kernel(sources["scale"], x, y, np.float32(2), np.int32(100), elements=100)
    made = make.build()
    KEPT.append((made, make.kernels()))
    return made


def test_left_open(executable):
    executable.launch(0)
    executable.wait()


def test_left_open_with_frames_in_flight(executable):
    for frame in range(3):
        executable.launch(frame)


def test_closed_in_the_wrong_order(executable, make):
    executable.launch(0)
    make.device.close()
    executable.close()
    assert KEPT
