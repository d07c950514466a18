"""What cuDNN is asked to do, as a graph of its operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .cudnn_library import CudnnLibrary, Descriptor
from .cudnn_names import CROSS_CORRELATION, Data, Pointwise, Type

ALIGNMENT = 16  # bytes that the fastest engines want addresses to be multiples of


@dataclass(frozen=True)
class Target:
    """The GPU that plans are made for: a handle's, or one that is only described."""

    handle: int = 0
    properties: Descriptor | None = None


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph. `identity` is what an address is given by; virtual ones have none."""

    descriptor: Descriptor
    identity: int
    shape: tuple[int, ...]


@dataclass
class Graph:
    """Tensors and operations between them, in an order in which they could run. Close it when plans are made."""

    library: CudnnLibrary
    compute: Data = Data.FLOAT  # virtual tensors and sums have this type
    values: dict[int, np.ndarray] = field(default_factory=dict)  # constants of the host, by their tensors' identities
    _operations: list[Descriptor] = field(default_factory=list)
    _owned: list[Descriptor] = field(default_factory=list)
    _count: int = 0

    def tensor(self, shape: Sequence[int], data: Data, strides: Sequence[int] | None = None, *, align: int) -> Tensor:
        """A tensor in memory, contiguous unless strides say otherwise, at a multiple of `align` bytes."""
        return self._tensor(shape, data, strides, align, None)

    def virtual(self, shape: Sequence[int]) -> Tensor:
        """A tensor that lies nowhere: the engine keeps it to itself."""
        return self._tensor(shape, self.compute, None, ALIGNMENT, "TENSOR_IS_VIRTUAL")

    def constant(self, value: float, data: Data = Data.FLOAT) -> Tensor:
        """One number, read on the host when the plan is queued."""
        made = self._tensor((1, 1, 1, 1), data, None, ALIGNMENT, "TENSOR_IS_BY_VALUE")
        self.values[made.identity] = np.array(value, np.float32 if data == Data.FLOAT else np.int32)
        return made

    def _tensor(
        self, shape: Sequence[int], data: Data, strides: Sequence[int] | None, align: int, flag: str | None
    ) -> Tensor:
        self._count += 1
        made = self._new("TENSOR").set("TENSOR_UNIQUE_ID", self._count).set("TENSOR_DATA_TYPE", data)
        made.set("TENSOR_DIMENSIONS", *shape).set("TENSOR_STRIDES", *(strides or contiguous(shape)))
        made.set("TENSOR_BYTE_ALIGNMENT", align)
        if flag is not None:
            made.set(flag, True)
        return Tensor(made.finalize(), self._count, tuple(shape))

    def convolution(
        self, x: Tensor, weight: Tensor, y: Tensor, *, before: Sequence[int], after: Sequence[int],
        stride: Sequence[int], dilation: Sequence[int],
    ) -> None:  # fmt: skip
        """y = weight * x."""
        window = self._new("CONVOLUTION").set("CONVOLUTION_COMP_TYPE", self.compute)
        window.set("CONVOLUTION_CONV_MODE", CROSS_CORRELATION).set("CONVOLUTION_SPATIAL_DIMS", len(stride))
        window.set("CONVOLUTION_PRE_PADDINGS", *before).set("CONVOLUTION_POST_PADDINGS", *after)
        window.set("CONVOLUTION_FILTER_STRIDES", *stride).set("CONVOLUTION_DILATIONS", *dilation).finalize()
        kind, scalar = "OPERATION_CONVOLUTION_FORWARD", Type.DOUBLE if self.compute == Data.DOUBLE else Type.FLOAT
        made = self._new(kind).set(f"{kind}_CONV_DESC", window)
        made.set(f"{kind}_ALPHA", 1.0, kind=scalar).set(f"{kind}_BETA", 0.0, kind=scalar)
        made.set(f"{kind}_X", x.descriptor).set(f"{kind}_W", weight.descriptor).set(f"{kind}_Y", y.descriptor)
        self._operations.append(made.finalize())

    def pointwise(self, mode: Pointwise, x: Tensor, b: Tensor | None, y: Tensor) -> Tensor:
        """y = mode(x, b), elementwise; b may have lengths of one."""
        about = self._new("POINTWISE").set("POINTWISE_MODE", mode).set("POINTWISE_MATH_PREC", self.compute)
        kind = "OPERATION_POINTWISE"
        made = self._new(kind).set(f"{kind}_PW_DESCRIPTOR", about.finalize())
        made.set(f"{kind}_XDESC", x.descriptor).set(f"{kind}_YDESC", y.descriptor)
        if b is not None:
            made.set(f"{kind}_BDESC", b.descriptor)
        self._operations.append(made.finalize())
        return y

    def band(self, x: Tensor, mode: Pointwise, **bounds: Tensor | None) -> Tensor:
        """x where a score lies in a diagonal band, -inf elsewhere. Bounds by their names of the attributes."""
        kind, y = "OPERATION_DIAGONAL_BAND_MASK", self.virtual(x.shape)
        made = self._new(kind).set(f"{kind}_COMPARISON_MODE", mode).set(f"{kind}_XDESC", x.descriptor)
        made.set(f"{kind}_BDESC", self.constant(-math.inf).descriptor).set(f"{kind}_YDESC", y.descriptor)
        for name, bound in bounds.items():
            if bound is not None:
                made.set(f"{kind}_{name}", bound.descriptor)
        self._operations.append(made.finalize())
        return y

    def attention(
        self, q: Tensor, k: Tensor, v: Tensor, y: Tensor, scale: Tensor, modify: Callable[[Tensor], Tensor]
    ) -> None:
        """y = softmax(modify(scale * q k^T)) v."""
        kind = "OPERATION_SDPA_FWD"
        made = self._new(kind).set(f"{kind}_SCALEDESC", scale.descriptor)
        for name, tensor in (("Q", q), ("K", k), ("V", v), ("O", y)):
            made.set(f"{kind}_{name}DESC", tensor.descriptor)
        outer, self._operations = self._operations, []
        scores = self.virtual((*q.shape[:3], k.shape[2]))
        modified = modify(scores)
        if self._operations:
            inner = self._new("OPERATIONGRAPH").set("OPERATIONGRAPH_OPS", *self._operations).finalize()
            made.set(f"{kind}_SUBGRAPH", inner).set(f"{kind}_SUBGRAPH_INPUT_UID", scores.identity)
            made.set(f"{kind}_SUBGRAPH_OUTPUT_UID", modified.identity)
        self._operations = [*outer, made.finalize()]

    def finish(self, target: Target) -> Descriptor:
        """The whole graph, checked by the library."""
        made = self._new("OPERATIONGRAPH").set("OPERATIONGRAPH_OPS", *self._operations)
        if target.properties is None:
            made.set("OPERATIONGRAPH_HANDLE", target.handle)
        return made.finalize()

    def close(self) -> None:
        """Destroy the descriptors; plans that were made of them stay."""
        for descriptor in reversed(self._owned):
            descriptor.close()
        self._owned.clear()

    def _new(self, kind: str) -> Descriptor:
        made = Descriptor(self.library, kind)
        self._owned.append(made)
        return made


_DATA: dict[str, Data] = {
    "float16": Data.HALF,
    "bfloat16": Data.BFLOAT16,
    "float32": Data.FLOAT,
    "float64": Data.DOUBLE,
}


def data_type(dtype: np.dtype[Any]) -> Data:
    """cuDNN's name of a type."""
    return _DATA[dtype.name]


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of a tensor without gaps, the last dimension fastest."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
