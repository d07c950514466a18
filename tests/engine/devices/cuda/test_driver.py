"""Finding the driver, and saying what is missing. Runs without one."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from cudagraph.engine.devices.cuda import driver as cuda_driver
from cudagraph.errors import DeviceError


def raw(version: int) -> SimpleNamespace:
    """As much of `cuda.bindings.driver` as a version check needs."""
    return SimpleNamespace(
        cuDriverGetVersion=lambda: (0, version),
        cuGetErrorName=lambda status: (0, b"CUDA_ERROR_OUT_OF_MEMORY"),
        cuGetErrorString=lambda status: (0, b"out of memory"),
        cuMemAlloc=lambda nbytes: (2,) if nbytes > 10 else (0, 4096),
        cuMemFree=lambda address: (0,),
        cuMemGetInfo=lambda: (0, 1, 2),
    )


def test_calls_are_checked_and_unpacked():
    driver = cuda_driver.Driver(raw(13000), "13.0.0")
    assert driver.cuMemAlloc(4) == 4096 and driver.cuMemFree(1) is None and driver.cuMemGetInfo() == (1, 2)
    with pytest.raises(
        cuda_driver.DriverError, match=r"cuMemAlloc failed: CUDA_ERROR_OUT_OF_MEMORY, out of memory. Free"
    ) as caught:
        driver.cuMemAlloc(11)
    assert caught.value.code == "CUDA_ERROR_OUT_OF_MEMORY"


@pytest.mark.parametrize(
    ("version", "cure"), [(12080, r"pip install 'cudagraph\[cu12\]'"), (11080, "no package set for it")]
)
def test_an_old_driver_is_told_from_an_old_package(version, cure):
    with pytest.raises(
        DeviceError, match=rf"supports CUDA 1[12]\.8, but the installed packages are for CUDA 13.*580.*{cure}"
    ):
        cuda_driver.Driver(raw(version), "13.5.0").check_version()
    cuda_driver.Driver(raw(13000), "12.9.0").check_version()


def test_a_feature_newer_than_the_driver_is_refused_by_name():
    with pytest.raises(
        DeviceError, match=r"conditional nodes needs a driver for CUDA 12.4 or newer, this one supports 12.2"
    ):
        cuda_driver.Driver(raw(12020), "12.9.0").require(cuda_driver.CONDITIONAL_NODES, "conditional nodes")


MISSING = """
import sys, ctypes
{before}
from cudagraph.engine.devices.cuda import CudaDevice
from cudagraph.engine.devices.cuda.driver import usable
from cudagraph.errors import DeviceError
assert not usable()
for _ in range(3):
    try:
        CudaDevice()
    except DeviceError as error:
        print(error)
assert not usable()
"""


NO_DRIVER = """
class Library(ctypes.CDLL):
    def __init__(self, name, *more, **options):
        if "libcuda" in str(name):
            raise OSError(name)
        super().__init__(name, *more, **options)
ctypes.CDLL = Library
"""


def said_by(before: str) -> list[str]:
    """What three attempts to make a device say in a fresh interpreter; none of them may hang."""
    script = MISSING.format(before=before)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def test_without_packages_the_message_says_what_to_install():
    lines = said_by("sys.modules['cuda.bindings'] = None")
    assert len(lines) == 3 and len(set(lines)) == 1
    assert "pip install 'cudagraph[cu13]'" in lines[0] and "CUDAGRAPH_DEVICE=host" in lines[0]


def test_without_a_driver_no_call_hangs_and_the_message_says_so():
    pytest.importorskip("cuda.bindings", reason="no CUDA wheels in this interpreter")
    lines = said_by(NO_DRIVER)
    assert len(lines) == 3 and lines[0].startswith("No NVIDIA driver was found")


def test_importing_the_package_imports_no_cuda():
    script = """
import sys
before = set(sys.modules)
import cudagraph.engine.devices.cuda
print([name for name in set(sys.modules) - before if name.split('.')[0] in ('cuda', 'nvmath', 'cupy')])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
