"""What `cudagraph doctor` looks at."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cudagraph.engine.cache import BinaryCache
from cudagraph.environment import Environment
from cudagraph.errors import CudaGraphError

_REQUIRED = ("numpy", "networkx", "ml-dtypes", "rich", "safetensors", "typer")
_CUDA = {  # what it is for, and the names it goes by with CUDA 13 and CUDA 12
    "CUDA driver bindings": ("cuda-bindings",),
    "CUDA core": ("cuda-core",),
    "kernel compiler (NVRTC)": ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"),
    "matrix products (cuBLAS)": ("nvidia-cublas", "nvidia-cublas-cu12"),
    "library bindings (nvmath)": ("nvmath-python",),
    "GPU arrays (CuPy)": ("cupy-cuda13x", "cupy-cuda12x"),
}
_INSTALL_CUDA = "for NVIDIA GPUs: pip install 'cudagraph[cu13]', or [cu12] for a driver older than 580"
_INSTALL_HOST = "to run on the CPU: pip install 'cudagraph[host]', or install g++ or clang"


class Status(StrEnum):
    """How a check ended. `MISSING`: something optional; `ERROR`: nothing works without it."""

    OK = "ok"
    MISSING = "missing"
    ERROR = "error"


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    name: str
    status: Status
    found: str = ""
    advice: str = ""


def package_checks() -> list[Check]:
    """Python and the packages that everything needs."""
    fits = sys.version_info >= (3, 11)
    advice = "" if fits else "Python 3.11 or newer is needed"
    checks = [Check("Python", Status.OK if fits else Status.ERROR, platform.python_version(), advice)]
    for name in _REQUIRED:
        version = _version(name)
        status = Status.OK if version else Status.ERROR
        checks.append(Check(name, status, version or "", "" if version else f"pip install {name}"))
    return checks


def compiler_checks() -> list[Check]:
    """C++ compilers that the host device can use; one is enough."""
    found = {name: shutil.which(name) for name in ("g++", "clang++")}
    found["zig"] = shutil.which("zig") or (_version("ziglang") and f"ziglang {_version('ziglang')}")
    advice = "" if any(found.values()) else _INSTALL_HOST
    return [Check(name, Status.OK if path else Status.MISSING, path or "", advice) for name, path in found.items()]


def cuda_checks() -> list[Check]:
    """NVIDIA's packages and driver."""
    checks = []
    for purpose, names in _CUDA.items():
        version = next((f"{name} {_version(name)}" for name in names if _version(name)), "")
        advice = "" if version else _INSTALL_CUDA
        checks.append(Check(purpose, Status.OK if version else Status.MISSING, version, advice))
    return [*checks, _cudnn_check(), _driver_check()]


def device_checks() -> list[Check]:
    """The devices that can run; an error when there is none."""
    checks = [_device_check(name) for name in ("cuda", "host")]
    if any(check.status is Status.OK for check in checks):
        return checks
    return [Check(check.name, Status.ERROR, check.found, check.advice) for check in checks]


def cache_checks() -> list[Check]:
    """Where compiled kernels are kept, and environment variables that look misspelt."""
    environment = Environment.from_environ()
    unknown = [Check("environment", Status.MISSING, name, "this variable is not known") for name in environment.unknown]
    return [_cache_check(environment.cache), *unknown]


def _cache_check(folder: Path | None) -> Check:
    if folder is None:
        advice = "CUDAGRAPH_CACHE names a folder to keep compiled kernels in"
        return Check("folder", Status.MISSING, "none: kernels are compiled in every process", advice)
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK | os.X_OK) or not existing.is_dir():
        return Check("folder", Status.MISSING, str(folder), "set CUDAGRAPH_CACHE to a folder that you can write")
    return Check("folder", Status.OK, f"{folder} ({BinaryCache(folder).size() / 1e6:.1f} MB)")


def _cudnn_check() -> Check:
    from cudagraph.engine.devices.cuda.cudnn_library import INSTALL, find

    name = "convolutions and attention (cuDNN)"
    try:
        return Check(name, Status.OK, f"cuDNN {find().version_text}")
    except CudaGraphError:
        return Check(name, Status.MISSING, "", f"for library='cudnn', which is optional: {INSTALL}")


def _driver_check() -> Check:
    from cudagraph.engine.devices.cuda.driver import is_present, library_name

    if is_present():
        return Check("NVIDIA driver", Status.OK, library_name())
    advice = "install NVIDIA's driver if this machine has an NVIDIA GPU"
    return Check("NVIDIA driver", Status.MISSING, "", advice)


def _device_check(name: str) -> Check:
    from cudagraph.engine.devices.select import open_device

    try:
        device = open_device(name, Environment.from_environ())
    except CudaGraphError as error:
        return Check(name, Status.MISSING, "", " ".join(str(error).split()))
    try:
        return Check(name, Status.OK, device.description)
    finally:
        device.close()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
