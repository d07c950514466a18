"""Kernels that fault. A fault breaks the context for good, so test_faults.py runs each of these in its own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from cudagraph.engine.devices.base import Timing
from cudagraph.engine.devices.cuda import CudaDevice
from cudagraph.errors import DeviceError

CHECK = """extern "C" __global__ void check(const int* x, int limit)
{ assert(x[threadIdx.x] < limit); }"""


@pytest.fixture
def device(driver, compiler) -> Iterator[CudaDevice]:
    """A device that may die: the driver takes nothing back from a lost context, so nothing is counted."""
    made = CudaDevice(compiler=compiler)
    yield made
    made.close()


@pytest.fixture
def faulting(make) -> Callable[[int], object]:
    """Builds an executable of some nodes whose second frame fails an assert."""

    def build(nodes: int):
        x = make.buffer(32, np.int32)
        make.write(x, 5)
        make.kernel(CHECK, x, make.hot(np.int32), elements=32, threads=32)
        for _ in range(nodes - 1):
            make.copy(x, make.buffer(32, np.int32))
        executable = make.build()
        executable.set_scalar(0, 1, np.int32(10).tobytes())
        executable.launch(0)
        executable.wait()
        executable.set_scalar(0, 1, np.int32(3).tobytes())
        executable.launch(1)
        return executable

    return build


def expect_fault(executable, surface: Callable[[], object], node: int | None) -> None:
    """The fault surfaces, names what is known, and stays."""
    with pytest.raises(DeviceError, match=r"frame 1 \(check#0.*CUDA_ERROR_ASSERT.*context is lost") as first:
        surface()
    assert first.value.node == node
    for again in (executable.wait, executable.finished, lambda: executable.launch(9)):
        with pytest.raises(DeviceError, match="frame 1"):
            again()
    executable.close()


def test_wait(faulting):
    executable = faulting(1)
    expect_fault(executable, executable.wait, 0)


def test_finished(faulting, make):
    executable = faulting(3)
    with pytest.raises(DeviceError, match="CUDA_ERROR_ASSERT"):
        make.device.synchronize()
    expect_fault(executable, executable.finished, None)


def test_launch(faulting):
    executable = faulting(1)

    def launch() -> None:
        for frame in range(2, 9):
            executable.launch(frame)

    expect_fault(executable, launch, 0)


def test_node_timing(faulting):
    executable = faulting(2)
    executable.timing = Timing.NODE
    expect_fault(executable, lambda: executable.launch(2), None)


def test_closing_everything_after_a_fault(faulting, make):
    faulting(2)
    make.device.free(make.addresses[0])
    make.device.close()
    make.device.close()
