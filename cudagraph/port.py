"""Ports: the tensors that go into and come out of a block."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .dtypes import show
from .shape import DimSpec, PortCount, Shape, show_shape

if TYPE_CHECKING:
    from .block import Block
    from .tensor import Tensor


class Direction(StrEnum):
    """Which way a port's data goes."""

    INPUT = "input"
    OUTPUT = "output"


class Port:
    """A tensor in or out of a block. It holds no data: the engine decides where its memory is.

    `dtype` is a NumPy dtype, or a name such as "T" that is found from what is connected.
    """

    __slots__ = ("block", "direction", "dtype", "inplace", "live", "name", "shape", "__weakref__")

    def __init__(
        self,
        block: Block,
        name: str,
        direction: Direction,
        shape: tuple[DimSpec, ...],
        dtype: np.dtype[Any] | str,
        inplace: Port | None = None,
    ) -> None:
        self.block = block
        self.name = name
        self.direction = direction
        self.shape = Shape(shape, self)
        self.dtype = dtype
        self.inplace = inplace  # an output that may take over this input's memory
        self.live: LivePorts | None = None  # set by the engine that runs the block

    @property
    def size(self) -> PortCount:
        """Number of elements, as an expression."""
        return PortCount(self, "size")

    @property
    def rows(self) -> PortCount:
        """Product of all dimensions but the last, as an expression."""
        return PortCount(self, "rows")

    @property
    def path(self) -> str:
        """Full name, such as `decoder/3/attn.q`."""
        return f"{self.block.path}.{self.name}"

    def __dlpack__(self, **options: Any) -> Any:
        return _live(self).array(self).__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return _live(self).array(self).__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        try:
            return _live(self).array(self).__cuda_array_interface__
        except AttributeError:  # what `hasattr` expects of a port that is not on a GPU
            raise AttributeError(f"{self.path} is not in CUDA memory") from None

    def __repr__(self) -> str:
        return f"{self.path}: {show(self.dtype)}{show_shape(tuple(self.shape))}"

    __str__ = __repr__


class LivePorts(Protocol):
    """What a running engine offers its ports: their memory as native arrays."""

    def array(self, tensor: Port | Tensor) -> Any:
        """The device's own array over the memory (NumPy on the host, CuPy on CUDA), without a copy."""
        ...


def _live(port: Port) -> LivePorts:
    if port.live is None:
        raise AttributeError(f"{port.path} has no memory yet: add its block to an engine and call update()")
    return port.live


class AppendPort(Port):
    """An output that kernels append to: `capacity` elements and a device counter, exposed as the port `count`.

    The counter starts each frame at 0. It counts every attempt, so it may end above `capacity`: then elements
    were lost.
    """

    __slots__ = ("capacity", "count")

    def __init__(self, block: Block, name: str, dtype: np.dtype[Any] | str, capacity: int) -> None:
        super().__init__(block, name, Direction.OUTPUT, (capacity,), dtype)
        self.capacity = capacity
        self.count = Port(block, f"{name}_count", Direction.OUTPUT, (), np.dtype(np.uint32))


class FaultPort(Port):
    """A device counter that kernels raise when their input is wrong: `message` then stands on the block."""

    __slots__ = ("inner", "message")

    capacity = 0

    def __init__(self, block: Block, name: str, message: str) -> None:
        super().__init__(block, name, Direction.OUTPUT, (), np.dtype(np.uint32))
        self.message = message
        self.inner = True  # read through `block.debug`: not one of the block's outputs

    @property
    def count(self) -> Port:
        """The counter: the port itself."""
        return self


class DelayPort(Port):
    """Last frame's value of another port; `init` before the first frame. It breaks cycles."""

    __slots__ = ("init", "inner", "source")

    def __init__(self, block: Block, name: str, source: Port, init: Any, inner: bool = False) -> None:
        super().__init__(block, name, Direction.OUTPUT, tuple(source.shape), source.dtype)
        self.source = source
        self.init = init
        self.inner = inner  # for the block's own use: not one of its outputs


class ViewPort(Port):
    """The memory of a port or tensor under another shape, starting `offset` elements later. No kernel, no copy."""

    __slots__ = ("inner", "offset", "source")

    def __init__(
        self,
        block: Block,
        name: str,
        source: Port | Tensor,
        shape: tuple[DimSpec, ...],
        offset: Any,
        inner: bool = False,
    ) -> None:
        super().__init__(block, name, Direction.OUTPUT, shape, source.dtype)
        self.source = source
        self.offset = offset
        self.inner = inner  # for the block's own use: not one of its outputs
