"""Library operations on CUDA: what each has to offer, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from .driver import Driver
from .memory import Memory


class Operand(NamedTuple):
    """One tensor of a library call, where it lies now. Scalars have shape () and live on the device too."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


Operands = Mapping[str, Operand]
Options = Mapping[str, Any]


class Closable(Protocol):
    """Something that holds on to the library or the driver until closed."""

    def close(self) -> None:
        """Give it back."""
        ...


@dataclass(frozen=True, slots=True)
class LibraryContext:
    """What an operation may use. `shared` belongs to all operations of the device: handles, constants."""

    driver: Driver
    memory: Memory
    stream: Any  # free for preparations, such as a first run; becomes the captured one afterwards
    capability: int  # 90 for sm_90
    shared: dict[str, Closable] = field(default_factory=dict)


class CudaOperation(Protocol):
    """One library call of a plan. It outlives its captures, so descriptors and chosen algorithms are kept in it."""

    def prepare(self, operands: Operands, options: Options) -> None:
        """Everything that a capture cannot hold: choose an algorithm, allocate, load kernels. May be called again."""
        ...

    def capture(self, stream: int, operands: Operands, options: Options) -> None:
        """Queue the operation on a stream that is being captured."""
        ...

    def close(self) -> None:
        """Give back what it holds; no frame uses it any more."""
        ...


def _gemm(context: LibraryContext) -> CudaOperation:
    from .cublas import Gemm

    return Gemm(context)


def _convolution(context: LibraryContext) -> CudaOperation:
    from .cudnn_convolution import Convolution

    return Convolution(context)


def _attention(context: LibraryContext) -> CudaOperation:
    from .cudnn_attention import Attention

    return Attention(context)


CUDA_LIBRARY: Mapping[str, Callable[[LibraryContext], CudaOperation]] = MappingProxyType(
    {"cublas.gemm": _gemm, "cudnn.convolution": _convolution, "cudnn.attention": _attention}
)
"""How to make the operation of each name."""
