"""y = weight transposed * x + bias: the convolutions that make images larger."""

from __future__ import annotations

from itertools import product as combinations
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import Size

from ..activation.formulas import ACTIVATIONS, activate
from .conv import check_channels, check_library, uniform
from .launch import lengths, product, rows_of, samples
from .window import SPATIAL, Window, check_dtype, per_dimension, three, window


class _ConvTranspose(Block):
    rank: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        padding_mode: str = "zeros",
        *,
        activation: str | None = None,
        dtype: str = "float32",
        library: str | None = None,
        tf32: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        subject = f"a {type(self).__name__}"
        check_channels(subject, in_channels, out_channels, groups)
        check_dtype(subject, dtype)
        if padding_mode != "zeros" or isinstance(padding, str):
            raise DescriptionError(f"{subject} takes padding as numbers, of zeros; not {padding!r}, {padding_mode!r}")
        check_library(subject, library, ("cublas", "direct"))
        if library == "cublas" and groups > 1:
            raise DescriptionError(f"{subject} with groups has no library path; leave library to choose itself")
        self.window = window(subject, self.rank, kernel_size, stride, padding, dilation)
        self.extra = _output_padding(subject, self.window, output_padding)
        self.groups, self.out_channels = groups, out_channels
        start = uniform(np.random.default_rng(seed), (out_channels // groups * self.window.taps) ** -0.5)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., in_channels, *SPATIAL[3 - self.rank :]), dtype)
            outer = [self._length(size, axis) for axis, size in enumerate(lengths(self.x, self.rank))]
            kernel_shape = (in_channels, out_channels // groups, *self.window.kernel)
            self.weight = b.weight("weight", kernel_shape, dtype, start)
            self.bias = b.weight("bias", (out_channels,), dtype, start) if bias else None
            self.activation = None if activation is None else b.option("activation", activation, ACTIVATIONS)
            self.y = b.output("y", (*self.x.shape[: -1 - self.rank], out_channels, *outer), dtype)
            shared = self._shared(in_channels, outer)
            if library == "cublas" or (library is None and groups == 1 and in_channels >= 8):
                columns = self._product(b, in_channels, tf32)
                b.kernel("convolution/col2im", col=columns, bias=columns if self.bias is None else self.bias, **shared)
            else:
                shared["define"] |= {"IN": in_channels // groups, "OUT": out_channels // groups}
                bias_or_any = self.weight if self.bias is None else self.bias
                b.kernel("convolution/convolve_transposed", x=self.x, weight=self.weight, bias=bias_or_any, **shared)

    def _length(self, size: Any, axis: int) -> Any:
        w = self.window
        constant = w.dilation[axis] * (w.kernel[axis] - 1) + self.extra[axis] + 1 - 2 * w.before[axis]
        return (size - 1) * w.stride[axis] + constant

    def _product(self, b: BlockBuilder, in_channels: int, tf32: bool) -> Any:
        """weight^T [O taps, I] @ x [I, positions], in batches of samples."""
        count, positions = samples(self.x, in_channels, self.rank), product(lengths(self.x, self.rank))
        rows = self.out_channels * self.window.taps
        columns = b.scratch((count, rows, positions), self.x.dtype, name="columns")
        weight = b.view(self.weight, (in_channels, rows))
        image = b.view(self.x, (count, in_channels, positions))
        b.library("cublas.gemm", a=weight, b=image, c=columns, transpose_a=True, tf32=tf32)
        return columns

    def _shared(self, in_channels: int, outer: list[Size]) -> dict[str, Any]:
        names = ("depth", "height", "width")
        extents: dict[str, Any] = dict(zip(names, three(lengths(self.x, self.rank), 1), strict=True))
        extents |= {f"out_{name}": size for name, size in zip(names, three(outer, 1), strict=True)}
        rows = samples(self.x, in_channels, self.rank) * extents["out_depth"] * extents["out_height"]
        launch = rows_of(extents["out_width"], rows)
        activation = {} if self.activation is None else {"ACTIVATION": self.activation}
        return {
            "threads": launch["threads"],
            "grid": (launch["grid"], self.out_channels),
            "define": self.window.define() | {"BIAS": int(self.bias is not None)} | activation,
            "y": self.y,
            "rows": rows,
            "out_channels": self.out_channels,
            "strips": launch["strips"],
            **extents,
        }

    def reference(
        self, x: np.ndarray, *, weight: np.ndarray, bias: np.ndarray | None = None, activation: str = "none"
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        w, spaces = self.window, x.shape[-self.rank :]
        planes = x.reshape(-1, self.groups, x.shape[-1 - self.rank] // self.groups, *spaces)
        filters = weight.reshape(self.groups, -1, *weight.shape[1:])
        sizes = [self._length(size, axis) for axis, size in enumerate(spaces)]
        room = [size + b + d * k for size, b, d, k in zip(sizes, w.before, w.dilation, w.kernel, strict=True)]
        y = np.zeros((planes.shape[0], self.groups, weight.shape[1], *room), x.dtype)
        for tap in combinations(*map(range, w.kernel)):
            at = [t * d for t, d in zip(tap, w.dilation, strict=True)]
            places = tuple(slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(at, w.stride, spaces, strict=True))
            y[(..., *places)] += np.einsum("ngi...,gio->ngo...", planes, filters[(..., *tap)], optimize=True)
        y = y[(..., *(slice(b, b + size) for b, size in zip(w.before, sizes, strict=True)))]
        y = y.reshape(*x.shape[: -1 - self.rank], self.out_channels, *sizes)
        return activate(y if bias is None else y + bias.reshape(-1, *(1,) * self.rank), activation)


class ConvTranspose1d(_ConvTranspose):
    """y[o, t] = activation(bias[o] + sum over i, u, k with t = u stride + k dilation - pad of w[i, o, k] x[i, u]).

    x: [..., I, W], weight: [I, O / groups, K], bias: [O], y: [..., O, W'] of one floating-point type (float16,
    bfloat16, float32, float64), W' = (W - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1; sums are
    float32 (float64 for float64). Arguments as in torch (the order of groups and dilation too), and `activation`,
    changeable live. A matrix product and a gather without atomics, or with library="direct" (chosen for groups and
    few channels) one direct kernel. `DescriptionError` for arguments that contradict each other. Zeiler et al. 2010.
    """

    rank = 1


class ConvTranspose2d(_ConvTranspose):
    """y[o, out] = activation(bias[o] + sum over in, k with out = in stride + k dilation - pad of w[i, o, k] x[i, in]).

    x: [..., I, H, W], weight: [I, O / groups, KH, KW], bias: [O], y: [..., O, H', W']. Sizes, types, arguments and
    errors: see `ConvTranspose1d`.
    """

    rank = 2


class ConvTranspose3d(_ConvTranspose):
    """y[o, out] = activation(bias[o] + sum over in, k with out = in stride + k dilation - pad of w[i, o, k] x[i, in]).

    x: [..., I, D, H, W], weight: [I, O / groups, KD, KH, KW], bias: [O], y: [..., O, D', H', W']. Sizes, types,
    arguments and errors: see `ConvTranspose1d`.
    """

    rank = 3


def _output_padding(subject: str, w: Window, output_padding: Any) -> tuple[int, ...]:
    extra = per_dimension(subject, "output_padding", output_padding, w.rank, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, w.stride, w.dilation, strict=True)):
        raise DescriptionError(
            f"{subject}: output_padding {extra} has to be smaller than stride {w.stride} or dilation {w.dilation}"
        )
    return extra
