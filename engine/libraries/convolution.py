"""`cudnn.convolution`: what it takes, on every device, and its computation on the host."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cudagraph.errors import DeviceError
from cudagraph.shape import show_shape

from .gemm import widened

_TYPES = ("float16", "bfloat16", "float32", "float64")
_SPACES = range(1, 4)


class Shaped(Protocol):
    """An operand, wherever it lies."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its lengths."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its type."""
        ...


@dataclass(frozen=True)
class ConvolutionShape:
    """Everything about a convolution but its addresses: x [N, C, spatial], weight [O, C / groups, kernel]."""

    dtype: np.dtype[Any]
    x: tuple[int, ...]
    weight: tuple[int, ...]
    y: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    activation: str
    has_bias: bool
    has_residual: bool
    tf32: bool

    @property
    def groups(self) -> int:
        """Parts of the channels that see only each other."""
        return self.x[1] // self.weight[1]


def convolution_shape(operands: Mapping[str, Shaped], options: Mapping[str, Any]) -> ConvolutionShape:
    """The convolution of these operands; `DeviceError` for what is none."""
    x, weight, y = (operands[name] for name in ("x", "weight", "y"))
    rank = len(weight.shape) - 2
    if rank not in _SPACES:
        raise _error(
            f"weight is [O, C, kernel] with one to three lengths of the kernel, not {show_shape(weight.shape)}"
        )
    if y.dtype.name not in _TYPES:
        raise _error(f"works on {', '.join(_TYPES)}, not on {y.dtype.name}")
    for name in ("x", "weight", "bias", "residual"):
        if name in operands and operands[name].dtype != y.dtype:
            raise _error(f"{name} is {operands[name].dtype.name} and y is {y.dtype.name}; they have one type")
    if len(x.shape) <= rank or weight.shape[1] == 0 or x.shape[-1 - rank] % weight.shape[1]:
        raise _error(f"x {show_shape(x.shape)} has not a multiple of {weight.shape[1]} channels before its last {rank}")
    stride, dilation, before, after = (_each(options, name, rank) for name in ("stride", "dilation", "before", "after"))
    spaces, kernel = x.shape[-rank:], weight.shape[2:]
    outputs = tuple(
        (space + low + high - step * (taps - 1) - 1) // jump + 1
        for space, taps, jump, step, low, high in zip(spaces, kernel, stride, dilation, before, after, strict=True)
    )
    lead = x.shape[: -1 - rank]
    wanted = (*lead, weight.shape[0], *outputs)
    _check_shapes(operands, wanted, weight.shape[0], x.shape[-1 - rank] // weight.shape[1])
    count = math.prod(lead)
    return ConvolutionShape(
        y.dtype, (count, *x.shape[-1 - rank :]), tuple(weight.shape), (count, *wanted[-1 - rank :]),
        stride, dilation, before, after, options.get("activation", "none"),
        "bias" in operands, "residual" in operands, bool(options.get("tf32", False)),
    )  # fmt: skip


def _each(options: Mapping[str, Any], name: str, rank: int) -> tuple[int, ...]:
    """One number for all dimensions, or one for each."""
    given = options.get(name, int(name in ("stride", "dilation")))
    values = given if isinstance(given, tuple) else (given,) * rank
    if len(values) != rank:
        raise _error(f"{name} is one number or {rank}, not {values}")
    return values


def _check_shapes(operands: Mapping[str, Shaped], wanted: tuple[int, ...], channels: int, groups: int) -> None:
    if min(wanted[1 - len(operands["weight"].shape) :]) < 1 or channels % groups:
        shapes = f"x {show_shape(operands['x'].shape)} and weight {show_shape(operands['weight'].shape)}"
        raise _error(f"{shapes} leave nothing, or {groups} groups do not divide {channels} channels")
    for name, shape in (("y", wanted), ("residual", wanted), ("bias", (channels,))):
        if name in operands and tuple(operands[name].shape) != shape:
            raise _error(f"{name} is {show_shape(operands[name].shape)}, but {show_shape(shape)} is wanted")


def _error(message: str) -> DeviceError:
    return DeviceError(f"cudnn.convolution: {message}")


def convolution(operands: dict[str, np.ndarray], options: dict[str, Any]) -> None:
    """y = activation(weight * x + bias + residual), summed in float32 (float64 for float64), a product per sample."""
    shape = convolution_shape(operands, options)
    x, y = operands["x"].reshape(shape.x), operands["y"].reshape(shape.y)
    weight = widened(operands["weight"]).reshape(shape.groups, shape.weight[0] // shape.groups, -1)
    bias = widened(operands["bias"]).reshape(-1, *(1,) * len(shape.stride)) if shape.has_bias else None
    residual = operands["residual"].reshape(shape.y) if shape.has_residual else None
    for number in range(shape.x[0]):
        result = np.matmul(weight, _columns(shape, widened(x[number]))).reshape(shape.y[1:])
        if bias is not None:
            result += bias
        if residual is not None:
            result += widened(residual[number])
        y[number] = np.maximum(result, 0, out=result) if shape.activation == "relu" else result


def _columns(shape: ConvolutionShape, x: np.ndarray) -> np.ndarray:
    """What each output sees of one sample: [groups, inner * taps, positions]."""
    kernel, rank = shape.weight[2:], len(shape.stride)
    padded = np.pad(x, ((0, 0), *zip(shape.before, shape.after, strict=True)))
    extents = tuple(step * (taps - 1) + 1 for step, taps in zip(shape.dilation, kernel, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(padded, extents, tuple(range(1, 1 + rank)))
    taken = windows[(slice(None), *(slice(None, None, jump) for jump in shape.stride))]
    taken = taken[(..., *(slice(None, None, step) for step in shape.dilation))]
    order = (0, *range(1 + rank, 1 + 2 * rank), *range(1, 1 + rank))
    return taken.transpose(order).reshape(shape.groups, shape.weight[1] * math.prod(kernel), -1)
