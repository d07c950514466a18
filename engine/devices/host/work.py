"""What each node of a plan becomes: an entry of the runtime's node list, or a Python call on NumPy views."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from ctypes import c_void_p
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cudagraph.errors import CudaGraphError, DeviceError

from ...plan import (
    Argument,
    Buffer,
    CaptureNode,
    Constant,
    CopyNode,
    FillNode,
    KernelNode,
    LibraryNode,
    ParameterSlot,
    Pointer,
)
from .abi import Node, NodeKind, Range
from .library import HostKernel
from .memory import array_at

_SLOT = 16  # bytes; arguments begin at multiples of it

HostOperation = Callable[[dict[str, np.ndarray], dict[str, Any]], None]
"""A library operation on the host: operands by name, options by name."""


@dataclass(frozen=True)
class Storage:
    """The buffers of a plan and where they are. `addresses` has one entry per buffer, views included."""

    buffers: Sequence[Buffer]
    addresses: list[int]

    def view(self, index: int) -> np.ndarray:
        """A buffer as an array."""
        buffer = self.buffers[index]
        return array_at(self.addresses[index], buffer.shape, buffer.dtype)


class Slot(NamedTuple):
    """Where the bytes of a kernel argument are: `bytes[begin:end]`, `length` in all."""

    bytes: bytearray
    begin: int
    end: int
    length: int


class KernelWork:
    """One launch: its arguments' bytes, and the pointers to them."""

    def __init__(
        self, node: KernelNode, kernel: HostKernel, storage: Storage, parameters: Sequence[ParameterSlot]
    ) -> None:
        _check_launch(node, kernel)
        _check_arguments(node, kernel, parameters)
        self.node = node
        self.kernel = kernel
        self._offsets = _offsets(kernel.sizes)
        self._bytes = bytearray(self._offsets[-1])
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._bytes)) if self._bytes else 0
        self._pointers = (c_void_p * max(len(kernel.sizes), 1))(*(base + offset for offset in self._offsets[:-1]))
        self._ranges: ctypes.Array[Range] | None = None
        for position, argument in enumerate(node.arguments):
            self._fill(position, argument, storage)

    def _fill(self, position: int, argument: Argument, storage: Storage) -> None:
        if isinstance(argument, Pointer):
            self.move(position, storage.addresses[argument.buffer])
        elif isinstance(argument, Constant):
            self.set(position, argument.data)

    @property
    def places(self) -> list[tuple[int, int]]:
        """Buffer and position of every pointer argument."""
        return pointers(self.node)

    def limit(self, storage: Storage) -> None:
        """Let the sanitizer hold the kernel to the buffers of its arguments."""
        places = self.places
        self._ranges = (Range * len(places))()
        for entry, (buffer, position) in zip(self._ranges, places, strict=True):
            begin = storage.addresses[buffer]
            entry.begin, entry.end = begin, begin + storage.buffers[buffer].nbytes
            name = self.kernel.argument_name(position).partition("(")[2].rstrip(")")
            entry.name = f"{name} ({storage.buffers[buffer].name})".strip().encode()
            entry.argument = position
            entry.item_bytes = storage.buffers[buffer].dtype.itemsize

    def place(self, native: Node, schedule: int) -> None:
        """Become the work of this entry of the node list."""
        node, launch = self.node, native.launch
        native.kind = NodeKind.KERNEL
        native.kernel = self.kernel.address
        launch.grid[:] = node.grid
        launch.threads[:] = node.threads
        launch.shared = node.shared
        launch.schedule = schedule
        launch.arguments = ctypes.addressof(self._pointers)
        launch.ranges = ctypes.addressof(self._ranges) if self._ranges is not None else None
        launch.range_count = len(self._ranges) if self._ranges is not None else 0

    def matches(self, node: KernelNode, storage: Storage) -> bool:
        """Whether it is what a node of another plan asks for, hot arguments aside."""
        mine = self.node
        if (mine.grid, mine.threads, mine.shared) != (node.grid, node.threads, node.shared):
            return False
        for position, argument in enumerate(node.arguments):
            if isinstance(argument, Pointer):
                if self._argument(position) != storage.addresses[argument.buffer].to_bytes(8, "little"):
                    return False
            elif isinstance(argument, Constant) and self._argument(position) != argument.data:
                return False
        return len(mine.arguments) == len(node.arguments)

    def adopt(self, node: KernelNode) -> None:
        """Stand for an equal node of another plan."""
        self.node = node

    def slot(self, position: int) -> Slot:
        """Where the bytes of one argument are."""
        if not 0 <= position < len(self.kernel.sizes):
            count = len(self.kernel.sizes)
            raise DeviceError(f"{self.node.name} has no argument {position}; it has {count}", node=self.node.index)
        begin, length = self._offsets[position], self.kernel.sizes[position]
        return Slot(self._bytes, begin, begin + length, length)

    def _argument(self, position: int) -> bytearray:
        slot = self.slot(position)
        return slot.bytes[slot.begin : slot.end]

    def with_kernel(self, kernel: HostKernel, parameters: Sequence[ParameterSlot]) -> Callable[[], None]:
        """Checks that another kernel takes the same arguments; the result makes the launch run it."""
        _check_launch(self.node, kernel)
        _check_arguments(self.node, kernel, parameters)
        if kernel.sizes != self.kernel.sizes:
            subject = f"{self.node.name}: the new kernel {kernel.program.entry}"
            raise DeviceError(f"{subject} has other argument sizes", node=self.node.index)
        return lambda: setattr(self, "kernel", kernel)

    def set(self, position: int, data: bytes) -> None:
        """New bytes for one argument."""
        slot = self.slot(position)
        if len(data) != slot.length:
            raise self.wrong_size(position, len(data))
        slot.bytes[slot.begin : slot.end] = data

    def wrong_size(self, position: int, given: int) -> DeviceError:
        """The error for an argument of another size."""
        return _wrong_size(self.node, self.kernel, position, given)

    def move(self, position: int, address: int) -> None:
        """A new address for one argument."""
        offset = self._offsets[position]
        self._bytes[offset : offset + 8] = address.to_bytes(8, "little")


def pointers(node: KernelNode) -> list[tuple[int, int]]:
    """Buffer and position of every pointer argument."""
    return [(each.buffer, position) for position, each in enumerate(node.arguments) if isinstance(each, Pointer)]


def _offsets(sizes: Iterable[int]) -> list[int]:
    offsets = [0]
    for size in sizes:
        offsets.append(offsets[-1] + (size + _SLOT - 1) // _SLOT * _SLOT)
    return offsets


def _check_launch(node: KernelNode, kernel: HostKernel) -> None:
    threads = node.threads[0] * node.threads[1] * node.threads[2]
    most = kernel.facts.max_threads
    if not 1 <= threads <= most:
        wanted = f"kernel {kernel.program.entry} takes 1 to {most}"
        raise DeviceError(f"{node.name}: {threads} threads per block; {wanted}", node=node.index)


def _check_arguments(node: KernelNode, kernel: HostKernel, parameters: Sequence[ParameterSlot]) -> None:
    if len(node.arguments) != len(kernel.sizes):
        wanted = f"kernel {kernel.program.entry} takes {len(kernel.sizes)} arguments"
        raise DeviceError(f"{node.name}: {wanted}; the plan gives {len(node.arguments)}", node=node.index)
    for position, (argument, size) in enumerate(zip(node.arguments, kernel.sizes, strict=True)):
        given = _size_of(argument, parameters, size)
        if given != size:
            raise _wrong_size(node, kernel, position, given)


def _size_of(argument: Argument, parameters: Sequence[ParameterSlot], wanted: int) -> int:
    if isinstance(argument, Pointer):
        return 8
    if isinstance(argument, Constant):
        return len(argument.data)
    itemsize = parameters[argument.parameter].dtype.itemsize
    return wanted if wanted % itemsize == 0 else itemsize  # a vector parameter has several elements


def _wrong_size(node: KernelNode, kernel: HostKernel, position: int, given: int) -> DeviceError:
    return DeviceError(
        f"{node.name}: {kernel.argument_name(position)} of kernel {kernel.program.entry} takes "
        f"{kernel.sizes[position]} bytes; {given} were given",
        node=node.index,
    )


class CopyWork:
    """A copy between buffers, or a fill of one."""

    def __init__(self, node: CopyNode | FillNode, storage: Storage) -> None:
        self.node = node
        self._target = storage.addresses[node.target]
        self._source = storage.addresses[node.source] if isinstance(node, CopyNode) else 0
        self.places = [(node.target, 0)] if isinstance(node, FillNode) else [(node.target, 0), (node.source, 1)]
        self._native: Node | None = None

    def place(self, native: Node, schedule: int) -> None:
        """Become the work of this entry of the node list."""
        node = self.node
        native.kind = NodeKind.COPY if isinstance(node, CopyNode) else NodeKind.FILL
        native.value = 0 if isinstance(node, CopyNode) else node.value & 0xFF
        native.bytes = node.nbytes
        native.target, native.source = self._target, self._source
        self._native = native

    def move(self, position: int, address: int) -> None:
        """A new address of the target (0) or the source (1)."""
        if position == 0:
            self._target = address
        else:
            self._source = address
        if self._native is not None:
            self._native.target, self._native.source = self._target, self._source


class LibraryWork:
    """A library operation on views of its operands."""

    def __init__(self, node: LibraryNode, storage: Storage, operation: HostOperation) -> None:
        self.node = node
        self.options = dict(node.options)
        self.names = tuple(node.operands)
        self.places = [(buffer, position) for position, buffer in enumerate(node.operands.values())]
        self._operation = operation
        self._operands = {name: storage.view(buffer) for name, buffer in node.operands.items()}

    def run(self) -> None:
        """Compute it."""
        self._operation(self._operands, self.options)

    def move(self, position: int, address: int) -> None:
        """An operand is elsewhere."""
        old = self._operands[self.names[position]]
        self._operands[self.names[position]] = array_at(address, old.shape, old.dtype)


class CaptureWork:
    """The user's own code on views of its arrays."""

    def __init__(self, node: CaptureNode, storage: Storage) -> None:
        if node.host is None:
            raise DeviceError(
                f"{node.name}: this captured function runs on a GPU only; give b.capture(..., host=function) what "
                "computes the same on NumPy arrays, or run on device='cuda'",
                node=node.index,
            )
        self.node = node
        self.places = [(buffer, position) for position, buffer in enumerate((*node.inputs, *node.outputs))]
        self._function = node.host
        self._arrays = [storage.view(buffer) for buffer, _ in self.places]

    def run(self) -> None:
        """Call it."""
        self._function(*self._arrays)

    def move(self, position: int, address: int) -> None:
        """An array is elsewhere."""
        old = self._arrays[position]
        self._arrays[position] = array_at(address, old.shape, old.dtype)


def call(work: LibraryWork | CaptureWork) -> None:
    """Run Python code of a node; whatever it raises becomes a `DeviceError` that names the node."""
    try:
        work.run()
    except CudaGraphError as error:
        raise DeviceError(f"{work.node.name}: {error}", node=work.node.index) from error
    except Exception as error:
        what = f"failed with {type(error).__name__}: {error}"
        raise DeviceError(f"{work.node.name} {what}", node=work.node.index) from error


def operation_of(node: LibraryNode, libraries: Mapping[str, HostOperation]) -> HostOperation:
    """How the host computes a library call; `DeviceError` lists what there is."""
    operation = libraries.get(node.operation)
    if operation is None:
        names = ", ".join(sorted(libraries)) or "none"
        missing = f"the host device has no library operation {node.operation!r}"
        raise DeviceError(f"{node.name}: {missing}; it has: {names}", node=node.index)
    return operation
