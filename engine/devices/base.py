"""What the engine asks of a device. Three of them answer: `cuda`, `host` (the same kernels on a CPU), `recording`.

Addresses are plain integers; everything a device is told is ordered on its one stream. A device never sees blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from cudagraph.program import Program

from ..plan import Plan


class Timing(IntEnum):
    """How finely an executable measures itself. `OFF` and `FRAME` leave the plain frame untouched."""

    OFF = 0
    FRAME = 1
    NODE = 2


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """What one finished frame left behind. Times are in milliseconds."""

    frame: int
    elapsed_ms: float | None  # device time of the whole frame; None when Timing.OFF
    counters: np.ndarray | None  # uint32, one per `Plan.counters`; None when the plan has none
    node_times: np.ndarray | None  # float64 (nodes, 2): start and end since the frame began; None below Timing.NODE


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """What a compiler says of one kernel. Zero where a device cannot know."""

    registers: int = 0
    shared_bytes: int = 0
    local_bytes: int = 0
    max_threads: int = 1024


class Kernel(Protocol):
    """A loaded, launchable kernel. Each device has its own kind, and takes only those that it loaded itself."""

    @property
    def program(self) -> Program:
        """What it was compiled from."""
        ...

    @property
    def facts(self) -> KernelFacts:
        """What the compiler or the device says of it."""
        ...


class Compiler(Protocol):
    """Turns a program into a binary that the device loads. Called from several threads at once."""

    def key(self, program: Program) -> str:
        """A cache key: the program's digest and everything of the compiler that shapes the result."""
        ...

    def compile(self, program: Program) -> bytes:
        """The binary, or `CompileError` with the compiler's message (line numbers refer to the user's own file)."""
        ...


class Executable(Protocol):
    """One frame's work, ready to run. Changes requested between launches take effect at the next launch."""

    @property
    def plan(self) -> Plan:
        """What it runs."""
        ...

    @property
    def timing(self) -> Timing:
        """How finely it measures. Settable at any time; what is needed to measure is built on first use."""
        ...

    @timing.setter
    def timing(self, timing: Timing) -> None: ...

    def launch(self, frame: int) -> None:
        """Apply the pending changes and start one frame. May return before it is done."""
        ...

    def set_scalar(self, node: int, argument: int, data: bytes) -> None:
        """Replace the bytes of one by-value kernel argument."""
        ...

    def set_address(self, buffer: int, address: int) -> None:
        """Move a root buffer; every argument, copy and captured call that uses it or a view of it follows."""
        ...

    def set_kernel(self, program: int, kernel: Any) -> None:
        """Swap the kernel of every node that runs `plan.programs[program]`."""
        ...

    def set_options(self, node: int, options: dict[str, Any]) -> None:
        """Capture one library call anew with other options; nothing else is touched."""
        ...

    def replace(self, plan: Plan, addresses: Sequence[int], kernels: Sequence[Any]) -> str:
        """Run another plan from now on, at the least cost the device knows; says in words what was done and why.

        On an error nothing has changed: the old plan still runs.
        """
        ...

    def finished(self) -> list[FrameRecord]:
        """Records of the frames that ended since the last call, oldest first; at most the three newest are kept."""
        ...

    def wait(self) -> None:
        """Block until every started frame is done. Raises `DeviceError` (with `node`) when one failed."""
        ...

    def close(self) -> None:
        """Release what the device holds for it. Safe to call twice."""
        ...


@runtime_checkable
class Device(Protocol):
    """Memory, compilation and execution on one machine."""

    @property
    def name(self) -> str:
        """ "cuda", "host" or "recording"."""
        ...

    @property
    def description(self) -> str:
        """For people: "NVIDIA H200 (sm_90)", "AMD EPYC, 2 threads, g++ 12.2"."""
        ...

    @property
    def compiler(self) -> Compiler:
        """What makes the binaries that `load` takes."""
        ...

    def allocate(self, nbytes: int) -> int:
        """Address of `nbytes` of uninitialised device memory, aligned to 256 bytes."""
        ...

    def free(self, address: int) -> None:
        """Give back what `allocate` returned, once the frames in flight are done with it."""
        ...

    def upload(self, address: int, data: np.ndarray) -> None:
        """Copy a C-contiguous array to the device, in stream order. `data` may be reused when the call returns."""
        ...

    def download(self, address: int, out: np.ndarray) -> None:
        """Copy from the device into `out` (C-contiguous); waits for it."""
        ...

    def fill(self, address: int, nbytes: int, value: int) -> None:
        """Set every byte, in stream order."""
        ...

    def borrow(self, array: object) -> tuple[int, tuple[int, ...], np.dtype[Any]] | None:
        """Address, shape and dtype of a foreign array this device can use without a copy, else None."""
        ...

    def view(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object) -> object:
        """The device's native array over that memory, without a copy: NumPy on the host, CuPy on CUDA."""
        ...

    def load(self, program: Program, binary: bytes, path: Path | None) -> Kernel:
        """A launchable kernel from a compiled binary; `path` is its cache file where there is one."""
        ...

    def build(self, plan: Plan, addresses: Sequence[int], kernels: Sequence[Any]) -> Executable:
        """An executable of `plan`: `addresses` has one entry per buffer, `kernels` one per program."""
        ...

    def synchronize(self) -> None:
        """Block until the device is idle."""
        ...

    def close(self) -> None:
        """Release the device. Safe to call twice."""
        ...
