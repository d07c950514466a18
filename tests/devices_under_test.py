"""The devices that one suite runs on: the CPU, the cuda device on an emulated driver, the cuda device on a GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from cudagraph.engine.devices.cuda.driver import is_present, library_name
from cudagraph.engine.devices.host.library import runtime_path
from cudagraph.engine.devices.host.toolchain import HostCompiler, find_toolchain

EMULATED = os.environ.get("CUDAGRAPH_TEST_DRIVER") == "emulated"
ROOT = Path(__file__).parents[1]


def open_device(name: str) -> Any:
    """A device, or the name of one, for `CudaEngine`: "host", "cuda" (a GPU) or "emulated"."""
    if name != "emulated":
        return name
    emulated_driver()
    from cudagraph.engine.devices.cuda import CudaDevice

    return CudaDevice(compiler=HostCompiler())


@cache
def emulated_driver() -> Any:
    """The emulated driver of tests/driver, loaded into this process."""
    spec = importlib.util.spec_from_file_location("emulated_driver", ROOT / "tests" / "driver" / "emulated.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    folder = os.environ.get("CUDAGRAPH_TEST_CACHE")
    return module.load(runtime_path(find_toolchain(), Path(folder) if folder else None), folder)


@cache
def missing_gpu() -> str | None:
    """Why no test can run on a GPU here: there is no driver, or no device. Anything else is a failure, not a reason."""
    if not is_present():
        return "no driver"
    driver = ctypes.CDLL(library_name())
    count = ctypes.c_int(0)
    found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    return None if found else "no device"


@cache
def missing_cudnn() -> str | None:
    """Why nothing that cuDNN computes can run on the GPU here: it is not installed."""
    from cudagraph.engine.devices.cuda.cudnn_library import find
    from cudagraph.errors import DeviceError

    try:
        find()
    except DeviceError as error:
        return str(error)
    return None
