"""The nodes of a plan as nodes of a CUDA graph: their parameters, kept ready, and how to put them into a graph."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any, Protocol

from cudagraph.errors import DeviceError

from ...plan import Constant, CopyNode, FillNode, KernelNode, ParameterSlot, Pointer
from .driver import Driver
from .modules import CudaKernel
from .runtime import Runtime, Storage


class Refused(Exception):
    """The driver does not let this change into the running graph: it has to be updated as a whole or built anew."""


class Work(Protocol):
    """One node's current parameters. `moves` lists the buffers it uses, each with a place that `move` understands."""

    moves: tuple[tuple[int, int], ...]

    def move(self, place: int, address: int) -> None:
        """A buffer lies elsewhere from now on."""
        ...

    def add(self, graph: Any, after: list[Any]) -> Any:
        """Add this work to a graph definition; returns the graph node."""
        ...

    def apply(self, executable: Any, node: Any) -> None:
        """Bring the current parameters into an instantiated graph, or raise `Refused`."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


def accept(driver: Driver, status: Any, call: str) -> None:
    """Turn the status of an in-place change into `Refused` when the driver said no."""
    if status:
        raise Refused(f"{call}: {driver.code(status)}")


class EmptyWork:
    """Work without any bytes to work on. The driver refuses such copies and fills, so it becomes an empty node."""

    moves: tuple[tuple[int, int], ...] = ()

    def __init__(self, runtime: Runtime) -> None:
        self._driver = runtime.driver

    def move(self, place: int, address: int) -> None:
        """Nothing to move."""

    def add(self, graph: Any, after: list[Any]) -> Any:
        """An empty node keeps the order."""
        return self._driver.cuGraphAddEmptyNode(graph, after, len(after))

    def apply(self, executable: Any, node: Any) -> None:
        """Nothing to change."""

    def close(self) -> None:
        """Nothing to give back."""


class KernelWork:
    """A kernel launch. Arguments lie in one long-lived buffer that the driver reads at each change."""

    def __init__(
        self, runtime: Runtime, node: KernelNode, kernel: CudaKernel, storage: Storage, slots: tuple[ParameterSlot, ...]
    ) -> None:
        self._raw = runtime.driver.raw
        self._driver = runtime.driver
        self.node = node
        data = [_initial(argument, storage, slots) for argument in node.arguments]
        self._places = _layout(map(len, data))
        self._buffer = ctypes.create_string_buffer(max(sum(map(_padded, map(len, data))), 1))
        self._bytes = memoryview(self._buffer).cast("B")
        start = ctypes.addressof(self._buffer)
        self._pointers = (ctypes.c_void_p * max(len(data), 1))(*(start + place.start for place in self._places))
        for place, value in zip(self._places, data, strict=True):
            self._bytes[place] = value
        self.moves = tuple(
            (argument.buffer, i) for i, argument in enumerate(node.arguments) if isinstance(argument, Pointer)
        )
        self.params = self._launch_params(node)
        self.kernel = kernel
        self.set_kernel(kernel)

    def _launch_params(self, node: KernelNode) -> Any:
        params = self._raw.CUDA_KERNEL_NODE_PARAMS()
        params.gridDimX, params.gridDimY, params.gridDimZ = node.grid
        params.blockDimX, params.blockDimY, params.blockDimZ = node.threads
        params.sharedMemBytes = node.shared
        params.kernelParams = ctypes.addressof(self._pointers)
        return params

    def set_bytes(self, argument: int, data: bytes) -> None:
        """Replace one argument's bytes."""
        place = self._places[argument]
        if len(data) != place.stop - place.start:
            raise DeviceError(
                f"{self.node.name}: argument {argument} has {place.stop - place.start} bytes, {len(data)} were given"
            )
        self._bytes[place] = data

    def move(self, place: int, address: int) -> None:
        """Replace one pointer."""
        self._bytes[self._places[place]] = address.to_bytes(8, "little")

    def check_kernel(self, kernel: CudaKernel) -> None:
        """Raise `DeviceError` when a kernel cannot be launched as this node wants it."""
        x, y, z = self.node.threads
        kernel.allow(x * y * z, self.node.shared, self.node.name)

    def set_kernel(self, kernel: CudaKernel) -> None:
        """Launch another kernel with the same arguments from now on."""
        self.check_kernel(kernel)
        self.kernel = kernel
        self.params.func = kernel.function

    def add(self, graph: Any, after: list[Any]) -> Any:
        """A kernel node."""
        return self._driver.cuGraphAddKernelNode(graph, after, len(after), self.params)

    def apply(self, executable: Any, node: Any) -> None:
        """Patch the running kernel node."""
        status = self._raw.cuGraphExecKernelNodeSetParams(executable, node, self.params)[0]
        if status:
            accept(self._driver, status, "cuGraphExecKernelNodeSetParams")

    def close(self) -> None:
        """Nothing to give back."""


class CopyWork:
    """A device-to-device copy."""

    def __init__(self, runtime: Runtime, node: CopyNode, storage: Storage) -> None:
        self._driver = runtime.driver
        self._context = runtime.context.handle
        self.params = copy_params(runtime.driver.raw, node.nbytes)
        self.moves = ((node.source, 0), (node.target, 1))
        self.move(0, storage.addresses[node.source])
        self.move(1, storage.addresses[node.target])

    def move(self, place: int, address: int) -> None:
        """Another source (0) or target (1)."""
        if place == 0:
            self.params.srcDevice = address
        else:
            self.params.dstDevice = address

    def add(self, graph: Any, after: list[Any]) -> Any:
        """A memcpy node."""
        return self._driver.cuGraphAddMemcpyNode(graph, after, len(after), self.params, self._context)

    def apply(self, executable: Any, node: Any) -> None:
        """Patch the running memcpy node."""
        status = self._driver.raw.cuGraphExecMemcpyNodeSetParams(executable, node, self.params, self._context)[0]
        accept(self._driver, status, "cuGraphExecMemcpyNodeSetParams")

    def close(self) -> None:
        """Nothing to give back."""


class FillWork:
    """Every byte of a range set to one value."""

    def __init__(self, runtime: Runtime, node: FillNode, storage: Storage) -> None:
        self._driver = runtime.driver
        self._context = runtime.context.handle
        self.params = params = runtime.driver.raw.CUDA_MEMSET_NODE_PARAMS()
        params.value, params.elementSize = node.value & 0xFF, 1
        params.width, params.height, params.pitch = node.nbytes, 1, 0
        self.moves = ((node.target, 0),)
        self.move(0, storage.addresses[node.target])

    def move(self, place: int, address: int) -> None:
        """Another target."""
        self.params.dst = address

    def add(self, graph: Any, after: list[Any]) -> Any:
        """A memset node."""
        return self._driver.cuGraphAddMemsetNode(graph, after, len(after), self.params, self._context)

    def apply(self, executable: Any, node: Any) -> None:
        """Patch the running memset node."""
        status = self._driver.raw.cuGraphExecMemsetNodeSetParams(executable, node, self.params, self._context)[0]
        accept(self._driver, status, "cuGraphExecMemsetNodeSetParams")

    def close(self) -> None:
        """Nothing to give back."""


def copy_params(raw: Any, nbytes: int, *, to_host: bool = False) -> Any:
    """Parameters of a one-dimensional copy from device memory."""
    params = raw.CUDA_MEMCPY3D()
    kinds = raw.CUmemorytype
    params.srcMemoryType = kinds.CU_MEMORYTYPE_DEVICE
    params.dstMemoryType = kinds.CU_MEMORYTYPE_HOST if to_host else kinds.CU_MEMORYTYPE_DEVICE
    params.WidthInBytes, params.Height, params.Depth = nbytes, 1, 1
    return params


def _initial(argument: Any, storage: Storage, slots: tuple[ParameterSlot, ...]) -> bytes:
    if isinstance(argument, Pointer):
        return storage.addresses[argument.buffer].to_bytes(8, "little")
    if isinstance(argument, Constant):
        return argument.data
    slot = slots[argument.parameter]
    return slot.parameter.pack() if slot.parameter is not None else bytes(slot.dtype.itemsize)


def _padded(nbytes: int) -> int:
    return -(-nbytes // 16) * 16


def _layout(sizes: Iterable[int]) -> tuple[slice, ...]:
    """A place for each argument, aligned for the widest vector types."""
    places, start = [], 0
    for size in sizes:
        places.append(slice(start, start + size))
        start += _padded(size)
    return tuple(places)
