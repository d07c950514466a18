"""What a kernel did wrong, in words."""

from __future__ import annotations

from cudagraph.errors import DeviceError

from .abi import Error, Fault
from .lines import source_line
from .work import KernelWork

_HINTS = {
    Fault.DEADLOCK: "all threads of the block (or of the mask) have to get there, or to have returned",
    Fault.BARRIER_IN_LOOP: "the source does not show that the kernel gets there; add `#define CUDAGRAPH_FIBERS` to it",
}


def fault(work: KernelWork, error: Error) -> DeviceError:
    """The `DeviceError` for a launch that failed: kernel, what happened, where in the source, which thread."""
    code = Fault(error.code)
    program = work.kernel.program
    message = error.message.decode(errors="replace")
    if code is Fault.BARRIER_IN_LOOP:
        message = f"{message} was reached in a kernel that was taken for one without barriers"
    if code in _HINTS:
        message = f"{message}; {_HINTS[code]}"
    where = _place(work, error, code)
    thread = "" if code is Fault.BAD_LAUNCH else f", in thread {_triple(error.thread)} of block {_triple(error.block)}"
    return DeviceError(f"{work.node.name}: kernel {program.entry}{where}: {message}{thread}", node=work.node.index)


def _place(work: KernelWork, error: Error, code: Fault) -> str:
    if code is Fault.ASSERT and error.line:
        return f" at {error.file.decode(errors='replace')}:{error.line}"
    if code is Fault.OUT_OF_BOUNDS and error.address:
        found = source_line(work.kernel.binary, error.address - 1)
        return f" at {found[0]}:{found[1]}" if found else ""
    return ""


def _triple(values: object) -> str:
    return f"({', '.join(str(value) for value in values)})"  # type: ignore[attr-defined]
