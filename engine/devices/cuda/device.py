"""`CudaDevice`: one NVIDIA GPU behind the `Device` protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cudagraph.program import Program

from ...plan import Plan
from ..base import Compiler
from . import arrays
from .compiler import NvrtcCompiler
from .conditional import CONDITION_PROGRAM
from .context import PrimaryContext, acquire, release
from .deferred import Deferred
from .executable import CudaExecutable
from .libraries import CUDA_LIBRARY, CudaOperation, LibraryContext
from .memory import Memory
from .modules import CudaKernel, load_kernel
from .runtime import Runtime

Libraries = Mapping[str, Callable[[LibraryContext], CudaOperation]]


class CudaDevice:
    """GPU `ordinal`. Raises `DeviceError` when packages, driver or GPU are missing, saying what to do.

    `compiler` stands in for NVRTC; `libraries` makes the library operations by name. Everything runs on one
    non-blocking stream of the GPU's primary context.
    """

    name = "cuda"

    def __init__(
        self, ordinal: int = 0, *, compiler: Compiler | None = None, libraries: Libraries = CUDA_LIBRARY
    ) -> None:
        self._context = acquire(ordinal)
        self._closed = False
        self._executables: set[CudaExecutable] = set()  # until closed: what they hold in the driver is given back
        self._condition_kernel: CudaKernel | None = None
        self._stream: Any = None
        self._side: Any = None  # captures and their preparations
        try:
            with self._context:
                self._open(compiler, libraries)
        except BaseException:
            self._give_back()
            raise

    def _open(self, compiler: Compiler | None, libraries: Libraries) -> None:
        context, driver = self._context, self._context.driver
        major, minor = (context.attribute(f"COMPUTE_CAPABILITY_{part}") for part in ("MAJOR", "MINOR"))
        self.capability = major * 10 + minor
        self.description = f"{_device_name(context)} (sm_{self.capability})"
        self.compiler: Compiler = compiler or NvrtcCompiler(f"sm_{self.capability}")
        flags = driver.raw.CUstream_flags.CU_STREAM_NON_BLOCKING
        self._stream = driver.cuStreamCreate(flags)
        self._side = driver.cuStreamCreate(flags)
        self._deferred = Deferred(driver, self._stream)
        self._memory = Memory(driver, self._stream, self._deferred)
        self._library = LibraryContext(driver, self._memory, self._side, self.capability)
        self._runtime = Runtime(
            driver,
            context,
            self._stream,
            self._side,
            self._deferred,
            self._library,
            libraries,
            self._captured_view,
            self._condition,
        )

    @property
    def stream(self) -> int:
        """The stream that frames and transfers run on, for code that wants to order itself against them."""
        return int(self._stream)

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, int(self._stream)

    # Memory

    def allocate(self, nbytes: int) -> int:
        """Address of `nbytes` of uninitialised device memory, aligned to 256 bytes."""
        with self._context:
            return self._memory.allocate(nbytes)

    def free(self, address: int) -> None:
        """Give back what `allocate` returned, once the frames in flight are done with it."""
        if self._context.forked:  # it is the parent's
            return
        with self._context:
            self._memory.free(address)

    def upload(self, address: int, data: np.ndarray) -> None:
        """Copy a C-contiguous array to the device, in stream order. `data` may be reused when the call returns."""
        if self._context.bound:  # once per frame with changed parameters: skip what the context costs
            self._memory.upload(address, data)
        else:
            with self._context:
                self._memory.upload(address, data)

    def download(self, address: int, out: np.ndarray) -> None:
        """Copy from the device into `out` (C-contiguous); waits for it."""
        with self._context:
            self._memory.download(address, out)

    def fill(self, address: int, nbytes: int, value: int) -> None:
        """Set every byte, in stream order."""
        with self._context:
            self._memory.fill(address, nbytes, value)

    def borrow(self, array: object) -> tuple[int, tuple[int, ...], np.dtype[Any]] | None:
        """Address, shape and dtype of a CUDA array that is dense and on this GPU, else None."""
        with self._context:
            return arrays.borrow(self._context, self._stream, array)

    def view(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object) -> object:
        """A CuPy array over that memory; without CuPy an object with `__cuda_array_interface__` and DLPack."""
        return arrays.view(self._context, self._stream, address, shape, dtype, owner)

    def _captured_view(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object) -> object:
        return arrays.view(self._context, None, address, shape, dtype, owner)

    # Kernels and graphs

    def load(self, program: Program, binary: bytes, path: Path | None = None) -> CudaKernel:
        """A launchable kernel from a cubin or PTX. Equal ones are loaded once per process."""
        with self._context:
            self._unload_retired()
            return load_kernel(self._context, program, binary, path)

    def _unload_retired(self) -> None:
        retired, unload = self._context.retired, self._context.driver.cuModuleUnload
        while retired:
            module = retired.popleft()
            self._deferred.after_frames(lambda module=module: unload(module))

    def _condition(self) -> CudaKernel:
        if self._condition_kernel is None:
            self._condition_kernel = self.load(CONDITION_PROGRAM, self.compiler.compile(CONDITION_PROGRAM))
        return self._condition_kernel

    def build(self, plan: Plan, addresses: Sequence[int], kernels: Sequence[CudaKernel]) -> CudaExecutable:
        """An executable of `plan`: `addresses` has one entry per buffer, `kernels` one per program."""
        with self._context:
            self._deferred.collect()
        executable = CudaExecutable(self._runtime, plan, addresses, kernels, self._executables.discard)
        self._executables.add(executable)
        return executable

    def synchronize(self) -> None:
        """Block until the device's stream is idle. Raises `DeviceError` when the work failed."""
        with self._context:
            self._context.driver.cuStreamSynchronize(self._stream)
            self._deferred.collect()

    def close(self) -> None:
        """Close its executables, then give back memory, streams and context. Safe to call twice and after errors."""
        if self._closed:
            return
        self._closed = True
        if self._context.forked:  # everything is the parent's
            return
        for executable in list(self._executables):
            executable.close()
        self._condition_kernel = None
        with self._context:
            self._close_resources()
        self._give_back()

    def _close_resources(self) -> None:
        for shared in self._library.shared.values():
            shared.close()
        self._library.shared.clear()
        self._unload_retired()
        self._deferred.drain()
        self._memory.close()

    def _give_back(self) -> None:
        """The streams and the context."""
        with self._context:
            for stream in (self._side, self._stream):
                if stream is not None:
                    self._context.driver.raw.cuStreamDestroy(stream)
        release(self._context)


def _device_name(context: PrimaryContext) -> str:
    return context.driver.cuDeviceGetName(256, context.device).split(b"\0")[0].decode()
