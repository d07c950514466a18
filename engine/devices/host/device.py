"""The host device: memory, compilation and execution on this machine's CPU."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from cudagraph.environment import Environment
from cudagraph.errors import CompileError, DeviceError
from cudagraph.program import Program

from ...plan import Plan
from .abi import SCHEDULES
from .executable import HostExecutable, Settings
from .library import HostKernel, RuntimeLibrary, runtime_library
from .memory import array_at, foreign_array
from .toolchain import HostCompiler, find_toolchain
from .work import HostOperation


class HostDevice:
    """Implements `Device` on the CPU. `libraries` says how library operations are computed, by name.

    A compiler is needed from the first allocation on; `CompileError` says how to get one where there is none.
    """

    name = "host"

    def __init__(
        self,
        libraries: Mapping[str, HostOperation] = MappingProxyType({}),
        environment: Environment | None = None,
    ) -> None:
        self._environment = environment or Environment.from_environ()
        self._libraries = libraries
        self._memory: dict[int, int] = {}  # sizes by address
        self._closed = False
        self.compiler = HostCompiler(cxx=self._environment.cxx, sanitize=self._environment.sanitize)

    @property
    def description(self) -> str:
        """For people: "AMD EPYC, 2 threads, g++ 12.2.0"."""
        return self._description

    @cached_property
    def _description(self) -> str:
        try:
            compiler = find_toolchain(self._environment.cxx).name
            threads = self._environment.threads or self.runtime.get_workers()
        except CompileError:
            return f"{_processor()}, no C++ compiler"
        return f"{_processor()}, {threads} thread{'s' * (threads != 1)}, {compiler}"

    @cached_property
    def runtime(self) -> RuntimeLibrary:
        """The library that runs kernels."""
        runtime = runtime_library(self.compiler.toolchain, self._environment.cache)
        if self._environment.threads:
            runtime.set_workers(self._environment.threads)
        return runtime

    @property
    def allocations(self) -> int:
        """How many allocations are not freed."""
        return len(self._memory)

    def allocate(self, nbytes: int) -> int:
        """Address of `nbytes` of uninitialised memory, aligned to 256 bytes."""
        if self._closed:
            raise DeviceError("allocate on a host device that is closed")
        address = self.runtime.allocate(nbytes)
        if not address:
            raise DeviceError(f"the host has no {nbytes:,} bytes of memory left")
        self._memory[address] = nbytes
        return address

    def free(self, address: int) -> None:
        """Give back what `allocate` returned."""
        if self._memory.pop(address, None) is None:
            raise DeviceError(f"{address:#x} is not the address of an allocation, or it is freed already")
        self.runtime.free(address)

    def upload(self, address: int, data: np.ndarray) -> None:
        """Copy a C-contiguous array into device memory."""
        if not data.flags.c_contiguous:
            raise DeviceError("upload takes C-contiguous arrays")
        ctypes.memmove(address, data.ctypes.data, data.nbytes)

    def download(self, address: int, out: np.ndarray) -> None:
        """Copy device memory into a C-contiguous array."""
        if not out.flags.c_contiguous:
            raise DeviceError("download takes C-contiguous arrays")
        ctypes.memmove(out.ctypes.data, address, out.nbytes)

    def fill(self, address: int, nbytes: int, value: int) -> None:
        """Set every byte."""
        ctypes.memset(address, value, nbytes)

    def borrow(self, array: object) -> tuple[int, tuple[int, ...], np.dtype[Any]] | None:
        """Address, shape and dtype of a writable, contiguous DLPack array in CPU memory (a torch tensor), else None."""
        found = foreign_array(array)
        return None if found is None else (found.ctypes.data, found.shape, found.dtype)

    def view(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object) -> np.ndarray:
        """A NumPy array over device memory, which keeps `owner` alive."""
        return array_at(address, shape, dtype, owner)

    def load(self, program: Program, binary: bytes, path: Path | None) -> HostKernel:
        """A launchable kernel from a compiled module."""
        return HostKernel(self.runtime, program, binary, path)

    def build(self, plan: Plan, addresses: Sequence[int], kernels: Sequence[HostKernel]) -> HostExecutable:
        """An executable of `plan`; `DeviceError` where arguments do not fit their kernel."""
        environment = self._environment
        settings = Settings(self.runtime, self._libraries, SCHEDULES[environment.schedule], environment.sanitize)
        return HostExecutable(settings, plan, addresses, kernels)

    def synchronize(self) -> None:
        """Nothing is ever pending."""

    def close(self) -> None:
        """Free all memory that is left. Safe to call twice."""
        self._closed = True
        for address in list(self._memory):
            self.free(address)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
