"""The CUDA driver as Python sees it: whether it is there, how old it is, and what its errors mean."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from cudagraph.errors import DeviceError

INSTALL = (
    "type `pip install 'cudagraph[cu13]'` (driver 580 or newer) "
    "or `pip install 'cudagraph[cu12]'` (driver 525 or newer)"
)
HOST = "or run on the CPU with CUDAGRAPH_DEVICE=host"

CONDITIONAL_NODES = 12040  # the driver version that brought IF and WHILE nodes
SWITCH_NODES = 12080  # and the one that brought SWITCH and ELSE

_ADVICE = {
    "OUT_OF_MEMORY": "Free memory on the GPU (other processes count too), or use smaller arrays",
    "NO_DEVICE": f"Check `nvidia-smi` and CUDA_VISIBLE_DEVICES, {HOST}",
    "INVALID_DEVICE": "Choose an ordinal that `nvidia-smi -L` lists",
    "NO_BINARY_FOR_GPU": "The binary was compiled for another GPU: empty the cache with `cudagraph cache clear`",
    "INVALID_PTX": "The PTX is broken, or newer than this driver: lower its `.version` or update the driver",
    "UNSUPPORTED_PTX_VERSION": "The PTX is newer than this driver: update the driver, or compile to a cubin",
    "ILLEGAL_ADDRESS": "A kernel left its arrays: the host device names file and line with CUDAGRAPH_SANITIZE=1",
    "ASSERT": "A device-side assert failed: its text is on stderr",
    "LAUNCH_TIMEOUT": "A kernel ran longer than the display's watchdog allows: give each launch less work",
    "LAUNCH_OUT_OF_RESOURCES": "The kernel needs more registers or shared memory than there are: use fewer threads",
    "STREAM_CAPTURE_UNSUPPORTED": "The captured function did what a capture cannot hold, such as a synchronisation",
    "STREAM_CAPTURE_INVALIDATED": "The captured function did what a capture cannot hold (waiting, another stream)",
    "SYSTEM_DRIVER_MISMATCH": "The kernel module and libcuda differ in version: reboot, or reinstall the driver",
    "NOT_INITIALIZED": "The driver is shutting down: close the engine before the interpreter ends",
}

# After one of these the context is dead: every later call reports the same error.
STICKY = frozenset(
    f"CUDA_ERROR_{name}"
    for name in (
        "ILLEGAL_ADDRESS MISALIGNED_ADDRESS INVALID_ADDRESS_SPACE INVALID_PC ILLEGAL_INSTRUCTION HARDWARE_STACK_ERROR "
        "LAUNCH_FAILED LAUNCH_TIMEOUT ASSERT ECC_UNCORRECTABLE UNKNOWN CONTEXT_IS_DESTROYED EXTERNAL_DEVICE "
        "TENSOR_MEMORY_LEAK"
    ).split()
)


class DriverError(DeviceError):
    """A driver call failed. `code` is the driver's own name of it, such as `CUDA_ERROR_OUT_OF_MEMORY`."""

    def __init__(self, message: str, *, code: str, node: int | None = None) -> None:
        super().__init__(message, node=node)
        self.code = code


def library_name() -> str:
    """File name of the driver's library on this system."""
    return "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def is_present() -> bool:
    """Whether the driver's library can be loaded. Says nothing about a device."""
    try:
        ctypes.CDLL(library_name())
    except OSError:
        return False
    return True


def usable() -> bool:
    """Whether packages, driver and at least one GPU are there and fit together. Never raises."""
    try:
        return load().cuDeviceGetCount() > 0
    except DeviceError:
        return False


@cache
def load() -> Driver:
    """The driver, found, initialised and new enough for the installed packages; `DeviceError` says what is missing.

    The library is looked for before any CUDA package is touched: without it `cuda.core` raises once and then hangs.
    """
    raw = import_bindings("driver")
    if not is_present():
        raise DeviceError(
            f"No NVIDIA driver was found: {library_name()} cannot be loaded. Install the display driver (in a "
            f"container: start it with `--gpus all`), {HOST}"
        )
    driver = Driver(raw, _bindings_version())
    driver.check_version()
    driver.cuInit(0)
    return driver


def is_loaded() -> bool:
    """Whether this process, or the one that it was forked from, has started the driver."""
    return load.cache_info().currsize > 0


def import_bindings(name: str) -> Any:
    """The module `cuda.bindings.<name>`, or `DeviceError` saying what to install."""
    try:
        return importlib.import_module(f"cuda.bindings.{name}")
    except ImportError as error:
        raise DeviceError(
            f"The cuda device needs NVIDIA's Python packages, but `cuda.bindings` cannot be imported ({error}); "
            f"{INSTALL}, {HOST}"
        ) from error


def _bindings_version() -> str:
    return str(importlib.import_module("cuda.bindings").__version__)


class Driver:
    """`cuda.bindings.driver` with every call checked: `driver.cuMemAlloc(n)` gives the address or raises `DriverError`.

    `raw` is the unchecked module, for the hot path.
    """

    def __init__(self, raw: Any, bindings_version: str) -> None:
        self.raw = raw
        self.bindings_version = bindings_version
        self.version: int = _value(self, raw.cuDriverGetVersion(), "cuDriverGetVersion")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self.raw, name)

        def call(*arguments: Any) -> Any:
            return _value(self, function(*arguments), name)

        self.__dict__[name] = call
        return call

    def check_version(self) -> None:
        """Raise `DeviceError` when the driver is older than the installed CUDA packages."""
        packages = int(self.bindings_version.split(".")[0])
        if self.version < packages * 1000:
            known = f"CUDA {self.version // 1000}.{self.version % 1000 // 10}"
            cure = "type `pip install 'cudagraph[cu12]'`" if self.version >= 12000 else "there is no package set for it"
            raise DeviceError(
                f"The NVIDIA driver supports {known}, but the installed packages are for CUDA {packages} "
                f"(cuda-bindings {self.bindings_version}). Update the driver ({'580' if packages >= 13 else '525'} or "
                f"newer); for this driver {cure}, {HOST}"
            )

    def require(self, version: int, what: str) -> None:
        """Raise `DeviceError` when the driver is older than `version` (12040 is CUDA 12.4), which `what` needs."""
        if self.version < version:
            raise DeviceError(
                f"{what} needs a driver for CUDA {version // 1000}.{version % 1000 // 10} or newer, this one supports "
                f"{self.version // 1000}.{self.version % 1000 // 10}: update the NVIDIA driver, {HOST}"
            )

    def error(self, status: Any, call: str, *, subject: str = "", node: int | None = None) -> DriverError:
        """The exception for a status that is not success."""
        code = self.code(status)
        text = self._text(self.raw.cuGetErrorString(status))
        advice = _ADVICE.get(code.removeprefix("CUDA_ERROR_"), "")
        prefix = f"{subject}: " if subject else ""
        return DriverError(
            f"{prefix}{call} failed: {code}, {text}{'. ' + advice if advice else ''}", code=code, node=node
        )

    def code(self, status: Any) -> str:
        """The driver's name of a status."""
        return self._text(self.raw.cuGetErrorName(status)) or f"status {int(status)}"

    @staticmethod
    def _text(answer: tuple[Any, Any]) -> str:
        return answer[1].decode() if not answer[0] and answer[1] else ""


def _value(driver: Driver, answer: tuple[Any, ...], call: str) -> Any:
    """What a raw call returned besides its status: nothing, one value or a tuple."""
    if answer[0]:
        raise driver.error(answer[0], call)
    return answer[1] if len(answer) == 2 else answer[1:] or None
