"""A device that runs nothing: it counts what it is asked, checks that it makes sense, and remembers uploads."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from cudagraph.errors import CompileError, DeviceError
from cudagraph.program import Program

from ..check import check_plan
from ..diff import compare
from ..plan import Constant, Hot, KernelNode, LibraryNode, Plan
from .base import FrameRecord, KernelFacts, Timing

_FIRST_ADDRESS = 0x7000_0000_0000
_ALIGNMENT = 256
_UNWRITTEN = 0xFF  # what memory holds that nobody wrote: NaN in every float type
_NODE_MS = 0.01  # pretended time of each node


@dataclass(frozen=True)
class RecordingKernel:
    """A "loaded" kernel."""

    program: Program
    binary: bytes = field(repr=False)
    path: Path | None = None
    facts: KernelFacts = field(default_factory=KernelFacts)


class RecordingCompiler:
    """Answers with a digest instead of machine code. A plain `#error` line in the source fails as it does anywhere."""

    def __init__(self, device: RecordingDevice) -> None:
        self._device = device
        self._lock = threading.Lock()  # several threads compile at once

    def key(self, program: Program) -> str:
        """Empty: nothing here is worth keeping on disk."""
        return ""

    def compile(self, program: Program) -> bytes:
        """A digest; `CompileError` for source with `#error` outside of any `#if`."""
        with self._lock:
            self._device.record("compile", program=program.entry)
        if isinstance(program.text, str):
            for number, message in _errors(program.text):
                origin = program.origin
                log = f'{origin}({number}): error: #error directive: {message}\n\n1 error detected in "{origin}".'
                raise CompileError(f"{origin}: kernel {program.entry} does not compile", origin=origin, log=log)
        return program.digest.encode()


class RecordingDevice:
    """Implements `Device` without any hardware.

    `calls` counts every request by name: allocate, free, upload, upload_bytes, download, fill, borrow, compile, load,
    build, launch, set_scalar, set_address, set_kernel, set_options, replace_same_topology, replace_rebuilt, nodes_kept,
    nodes_changed, nodes_added, nodes_removed, wait, synchronize, close. `log` holds them in order as (name, details),
    when `logging`. With `checking` off, plans and addresses are taken on trust (for benchmarks).
    """

    name = "recording"
    description = "recording (runs nothing)"

    def __init__(self, *, logging: bool = False, checking: bool = True) -> None:
        self.checking = checking
        self.attentive = False  # whether a request needs more than to be counted
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.compiler = RecordingCompiler(self)
        self.executables: list[RecordingExecutable] = []
        self._calls: Counter[str] = Counter()  # without what executables count on their own
        self._memory = _Memory()
        self._failures: dict[str, Exception] = {}
        self._forbidden: frozenset[str] = frozenset()
        self._closed = False
        self.logging = logging

    @property
    def calls(self) -> Counter[str]:
        """How often each thing was asked. Clear it to count from there."""
        for executable in self.executables:
            self._calls.update(executable.take_counts())
        return self._calls

    @property
    def logging(self) -> bool:
        """Whether requests are written to `log`."""
        return self._logging

    @logging.setter
    def logging(self, on: bool) -> None:
        self._logging = on
        self._look_closely()

    def _look_closely(self) -> None:
        self.attentive = bool(self._logging or self._forbidden or self._failures or self._closed)

    @property
    def allocated_nbytes(self) -> int:
        """Bytes allocated and not freed."""
        return self._memory.allocated_nbytes

    @property
    def allocations(self) -> int:
        """How many allocations are not freed."""
        return len(self._memory)

    def fail(self, name: str, error: Exception) -> None:
        """Let the next request of that name raise `error`: "allocate", "load", "build", "replace", "launch", ..."""
        self._failures[name] = error
        self._look_closely()

    @contextmanager
    def forbid(self, *names: str) -> Iterator[None]:
        """Inside, every request of these names raises `DeviceError`, such as "allocate" after the build."""
        before, self._forbidden = self._forbidden, self._forbidden | set(names)
        self._look_closely()
        try:
            yield
        finally:
            self._forbidden = before
            self._look_closely()

    def record(self, name: str, **details: Any) -> None:
        """Count one request; see `note` for what else may happen to it."""
        self._calls[name] += 1
        if self.attentive:
            self.note(name, **details)

    def note(self, name: str, **details: Any) -> None:
        """Write one request to the log, and refuse it where that was arranged or the device is closed."""
        if self._closed:
            raise DeviceError(f"{name} on a recording device that is closed")
        if name in self._forbidden:
            raise DeviceError(f"{name} {details or ''} is forbidden here")
        if self._logging:
            self.log.append((name, details))
        error = self._failures.pop(name, None)
        if error is not None:
            self._look_closely()
            raise error

    def allocate(self, nbytes: int) -> int:
        """A fresh address; addresses are never used twice, so that using freed memory is noticed."""
        self.record("allocate", nbytes=nbytes)
        return self._memory.allocate(nbytes)

    def free(self, address: int) -> None:
        """Forget an allocation; an error while an executable uses it."""
        self.record("free", address=address)
        if self.checking:
            for executable in self.executables:
                executable.check_unused(address, self._memory.nbytes(address))
        self._memory.free(address)

    def upload(self, address: int, data: np.ndarray) -> None:
        """Remember the bytes."""
        self.record("upload", address=address, nbytes=data.nbytes)
        self._calls["upload_bytes"] += data.nbytes
        if not data.flags.c_contiguous:
            raise DeviceError("upload takes C-contiguous arrays")
        self._memory.bytes_at(address, data.nbytes)[:] = data.reshape(-1).view(np.uint8)

    def download(self, address: int, out: np.ndarray) -> None:
        """Give back what was uploaded; bytes that nobody wrote are 0xFF."""
        self.record("download", address=address, nbytes=out.nbytes)
        if not out.flags.c_contiguous:
            raise DeviceError("download takes C-contiguous arrays")
        out.reshape(-1).view(np.uint8)[:] = self._memory.bytes_at(address, out.nbytes)

    def fill(self, address: int, nbytes: int, value: int) -> None:
        """Remember the bytes."""
        self.record("fill", address=address, nbytes=nbytes, value=value)
        self._memory.bytes_at(address, nbytes)[:] = value

    def borrow(self, array: object) -> tuple[int, tuple[int, ...], np.dtype[Any]] | None:
        """Contiguous arrays with `__cuda_array_interface__` are used in place."""
        interface = getattr(array, "__cuda_array_interface__", None)
        if interface is None or interface.get("strides") is not None:
            return None
        address, shape, dtype = interface["data"][0], tuple(interface["shape"]), np.dtype(interface["typestr"])
        self.record("borrow", address=address, shape=shape, dtype=dtype)
        self._memory.borrow(address, prod(shape) * dtype.itemsize)
        return address, shape, dtype

    def view(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object) -> np.ndarray:
        """The remembered bytes as an array, without a copy."""
        self.record("view", address=address)
        return self._memory.bytes_at(address, prod(shape) * dtype.itemsize).view(dtype).reshape(shape)

    def load(self, program: Program, binary: bytes, path: Path | None) -> RecordingKernel:
        """A kernel; the binary must be what the compiler made of this very program."""
        self.record("load", program=program.entry)
        if binary != program.digest.encode():
            raise DeviceError(f"the binary of {program.entry} is not the one compiled from it")
        return RecordingKernel(program, binary, path)

    def build(self, plan: Plan, addresses: Sequence[int], kernels: Sequence[Any]) -> RecordingExecutable:
        """An executable, after checking plan, addresses and kernels."""
        self.record("build", nodes=len(plan.nodes))
        self.check(plan, addresses, kernels)
        executable = RecordingExecutable(self, plan, addresses, kernels)
        self.executables.append(executable)
        return executable

    def forget(self, executable: RecordingExecutable) -> None:
        """An executable was closed."""
        self._calls.update(executable.take_counts())
        self.executables.remove(executable)

    def synchronize(self) -> None:
        """Nothing is ever pending."""
        self.record("synchronize")

    def close(self) -> None:
        """Every later request is an error. Safe to call twice."""
        if not self._closed:
            self.record("close")
            self._closed = True
            self._look_closely()

    def check(self, plan: Plan, addresses: Sequence[int], kernels: Sequence[Any]) -> None:
        """Raise `DeviceError` unless plan, addresses and kernels fit each other."""
        if len(addresses) != len(plan.buffers) or len(kernels) != len(plan.programs):
            given = f"{len(addresses)} addresses and {len(kernels)} kernels were given"
            raise DeviceError(f"{given} for {len(plan.buffers)} buffers and {len(plan.programs)} programs")
        if not self.checking:
            return
        check_plan(plan)
        for buffer, address in zip(plan.buffers, addresses, strict=True):
            self.check_address(address, prod(buffer.shape) * buffer.dtype.itemsize, buffer.name)
            if buffer.is_view and address != addresses[buffer.base] + buffer.offset:
                root = addresses[buffer.base]
                raise DeviceError(f"view {buffer.name} is at {address:#x}, not {buffer.offset} bytes into {root:#x}")
        for program, kernel in zip(plan.programs, kernels, strict=True):
            _check_kernel(program, kernel)

    def check_address(self, address: int, nbytes: int, subject: str) -> None:
        """Raise `DeviceError` unless these bytes are allocated (or borrowed), and not freed."""
        if nbytes and not self._memory.holds(address, nbytes):
            raise DeviceError(f"{subject}: {nbytes} bytes at {address:#x} are not allocated (any more)")


class RecordingExecutable:
    """Implements `Executable`. `scalars` holds the bytes that were set, `counters` the counts that frames report."""

    def __init__(self, device: RecordingDevice, plan: Plan, addresses: Sequence[int], kernels: Sequence[Any]) -> None:
        self.timing = Timing.OFF
        self.failure: DeviceError | None = None  # raised by the next `wait`
        self._device = device
        self._launches = 0
        self._known_scalars = 0
        self._counted = 0  # launches that the device knows of
        self._reported = 0  # launches that `finished` told of
        self._last = -1
        self._closed = False
        self._adopt(plan, addresses, kernels)

    def launch(self, frame: int) -> None:
        """Count one frame."""
        if self._closed:
            raise DeviceError("launch of an executable that is closed")
        self._launches += 1
        self._last = frame
        if self._device.attentive:
            self._device.note("launch", frame=frame)

    def take_counts(self) -> Counter[str]:
        """What was asked since the last call and the device does not know of."""
        counts = Counter(launch=self._launches - self._counted, set_scalar=self._known_scalars)
        self._counted, self._known_scalars = self._launches, 0
        return +counts

    def set_scalar(self, node: int, argument: int, data: bytes) -> None:
        """Remember the bytes; they must be as many as the argument has."""
        key = (node, argument)
        known = self.scalars.get(key)
        if known is not None and len(known) == len(data) and not self._device.attentive:
            self._known_scalars += 1  # checked before; kept short because hot changes are timed on this device
        else:
            self._record("set_scalar", node=node, argument=argument, data=data)
            if self._device.checking:
                _check_scalar(self.plan, node, argument, data)
        self.scalars[key] = data

    def set_address(self, buffer: int, address: int) -> None:
        """Remember the address of a root buffer; its views follow."""
        self._record("set_address", buffer=buffer, address=address)
        root = _item(self.plan.buffers, buffer, "buffer")
        if root.is_view:
            raise DeviceError(f"{root.name} is a view; only {self.plan.buffers[root.base].name} can be moved")
        if self._device.checking:
            self._device.check_address(address, root.nbytes, root.name)
        self.addresses[buffer] = address

    def address_of(self, buffer: int) -> int:
        """Where a buffer or a view is now."""
        found = self.plan.buffers[buffer]
        return self.addresses[found.base] + found.offset

    def set_kernel(self, program: int, kernel: Any) -> None:
        """Remember the kernel."""
        self._record("set_kernel", program=program)
        _item(self.plan.programs, program, "program")
        if not isinstance(kernel, RecordingKernel):
            raise DeviceError(f"{kernel!r} is not a kernel of this device")
        self.kernels[program] = kernel

    def set_options(self, node: int, options: dict[str, Any]) -> None:
        """Remember the options of a library call."""
        self._record("set_options", node=node, options=options)
        call = _item(self.plan.nodes, node, "node")
        if not isinstance(call, LibraryNode):
            raise DeviceError(f"{call.name} is no library call and takes no options")
        unknown = sorted(options.keys() - call.options.keys())
        if unknown:
            names = ", ".join(call.options) or "none"
            raise DeviceError(f"{call.name} has no option {', '.join(unknown)}; it has {names}")
        self.options.setdefault(node, dict(call.options)).update(options)

    def replace(self, plan: Plan, addresses: Sequence[int], kernels: Sequence[Any]) -> str:
        """Compare the plans, count what an update would have to touch, and go on with the new one."""
        self._record("replace", nodes=len(plan.nodes))
        self._device.check(plan, addresses, kernels)
        difference = compare(self.plan, plan)
        self._record("replace_same_topology" if difference.same_topology else "replace_rebuilt")
        self._device.calls.update(
            nodes_kept=len(difference.kept),
            nodes_changed=len(difference.changed),
            nodes_added=len(difference.added),
            nodes_removed=len(difference.removed),
        )
        self._adopt(plan, addresses, kernels)
        return difference.summary()

    def finished(self) -> list[FrameRecord]:
        """The newest three of the frames launched since the last call, with `counters` and pretended times."""
        count = min(self._launches - self._reported, 3)
        self._reported = self._launches
        return [self._frame(self._last - back) for back in range(count - 1, -1, -1)]

    def wait(self) -> None:
        """Nothing is ever pending; raises `failure`, once."""
        self._record("wait")
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Every later request is an error. Safe to call twice."""
        if not self._closed:
            self._record("close_executable")
            self._device.forget(self)
            self._closed = True
            self.scalars = {}

    def check_unused(self, address: int, nbytes: int) -> None:
        """Raise `DeviceError` if a buffer lies in these bytes."""
        for buffer in self.plan.roots():
            if address <= self.addresses[buffer.index] < address + nbytes and buffer.nbytes:
                raise DeviceError(f"memory at {address:#x} is freed while the running graph uses it for {buffer.name}")

    def _adopt(self, plan: Plan, addresses: Sequence[int], kernels: Sequence[Any]) -> None:
        self.plan = plan
        self.addresses = list(addresses)
        self.kernels = list(kernels)
        self.scalars: dict[tuple[int, int], bytes] = {}
        self.options: dict[int, dict[str, Any]] = {}
        self.counters = np.zeros(len(plan.counters), np.uint32)

    def _record(self, name: str, **details: Any) -> None:
        if self._closed:
            raise DeviceError(f"{name} on an executable that is closed")
        self._device.record(name, **details)

    def _frame(self, frame: int) -> FrameRecord:
        count = len(self.plan.nodes)
        starts = _NODE_MS * np.arange(count)
        return FrameRecord(
            frame=frame,
            elapsed_ms=None if self.timing is Timing.OFF else _NODE_MS * count,
            counters=self.counters.copy() if self.plan.counters else None,
            node_times=np.stack((starts, starts + _NODE_MS), axis=1) if self.timing is Timing.NODE else None,
        )


class _Memory:
    """Fake addresses with real bytes behind those that were written."""

    def __init__(self) -> None:
        self._next = _FIRST_ADDRESS
        self._starts: list[int] = []  # ascending, because addresses are given out in ascending order
        self._nbytes: dict[int, int] = {}
        self._bytes: dict[int, np.ndarray] = {}
        self._borrowed: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._nbytes)

    @property
    def allocated_nbytes(self) -> int:
        return sum(self._nbytes.values())

    def allocate(self, nbytes: int) -> int:
        if nbytes < 0:
            raise DeviceError(f"cannot allocate {nbytes} bytes")
        address = self._next
        self._next += -(-(nbytes + 1) // _ALIGNMENT) * _ALIGNMENT  # never adjacent: running over the end is noticed
        self._starts.append(address)
        self._nbytes[address] = nbytes
        return address

    def free(self, address: int) -> None:
        self.nbytes(address)
        del self._nbytes[address]
        del self._starts[bisect_right(self._starts, address) - 1]
        self._bytes.pop(address, None)

    def nbytes(self, address: int) -> int:
        if address not in self._nbytes:
            raise DeviceError(f"{address:#x} is not the address of an allocation, or it is freed already")
        return self._nbytes[address]

    def borrow(self, address: int, nbytes: int) -> None:
        self._borrowed[address] = nbytes

    def holds(self, address: int, nbytes: int) -> bool:
        if self._find(address, nbytes) is not None:
            return True
        return any(start <= address and address + nbytes <= start + size for start, size in self._borrowed.items())

    def bytes_at(self, address: int, nbytes: int) -> np.ndarray:
        if nbytes == 0:
            return np.empty(0, np.uint8)
        start = self._find(address, nbytes)
        if start is None:
            raise DeviceError(f"{nbytes} bytes at {address:#x} are not allocated (any more)")
        if start not in self._bytes:
            self._bytes[start] = np.full(self._nbytes[start], _UNWRITTEN, np.uint8)
        return self._bytes[start][address - start : address - start + nbytes]

    def _find(self, address: int, nbytes: int) -> int | None:
        position = bisect_right(self._starts, address) - 1
        if position < 0:
            return None
        start = self._starts[position]
        return start if address + nbytes <= start + self._nbytes[start] else None


def _item(items: Sequence[Any], index: int, kind: str) -> Any:
    if not 0 <= index < len(items):
        raise DeviceError(f"there is no {kind} {index}; the plan has {len(items)}")
    return items[index]


def _check_kernel(program: Program, kernel: Any) -> None:
    if not isinstance(kernel, RecordingKernel):
        raise DeviceError(f"{kernel!r} is not a kernel of this device")
    if kernel.program != program:
        made = f"{kernel.program.entry} of {kernel.program.origin}"
        raise DeviceError(f"the kernel given for {program.entry} of {program.origin} was made from {made}")


def _check_scalar(plan: Plan, node: int, argument: int, data: bytes) -> None:
    kernel = _item(plan.nodes, node, "node")
    if not isinstance(kernel, KernelNode):
        raise DeviceError(f"{kernel.name} is no kernel and has no arguments")
    bound = _item(kernel.arguments, argument, "argument")
    subject = f"argument {argument} of {kernel.name}"
    if isinstance(bound, Hot):
        itemsize = plan.parameters[bound.parameter].dtype.itemsize
        if not data or len(data) % itemsize:  # a vector parameter has several elements
            raise DeviceError(f"{subject} takes {itemsize} bytes per element; {len(data)} were given")
    elif not isinstance(bound, Constant):
        raise DeviceError(f"{subject} is a pointer; set_address moves its buffer")
    elif len(data) != len(bound.data):
        raise DeviceError(f"{subject} takes {len(bound.data)} bytes; {len(data)} were given")


def _errors(text: str) -> Iterator[tuple[int, str]]:
    """Line number and message of each `#error` that no `#if` surrounds."""
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        directive = line.strip()
        if directive.startswith("#if"):
            depth += 1
        elif directive.startswith("#endif"):
            depth -= 1
        elif directive.startswith("#error") and depth == 0:
            yield number, directive.removeprefix("#error").strip()
