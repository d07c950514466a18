"""y = weight * x + bias: convolutions over one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum

from ..activation.formulas import ACTIVATIONS, activate
from .launch import lengths, product, rows_of, samples, spatial
from .window import SPATIAL, check_dtype, window

LIBRARIES = ("cublas", "cudnn", "direct")
_FUSED = ("none", "relu")  # activations that cuDNN computes with the convolution


class Convolution(Block):
    """What convolutions over one, two and three dimensions share; `rank` is how many."""

    rank: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | str | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        activation: str | None = None,
        residual: bool = False,
        shift: bool = False,
        dtype: str = "float32",
        library: str | None = None,
        tf32: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        subject = f"a {type(self).__name__}"
        check_channels(subject, in_channels, out_channels, groups)
        check_dtype(subject, dtype)
        check_library(subject, library, LIBRARIES)
        if padding_mode != "zeros":
            raise DescriptionError(f"{subject} pads with zeros; put a Pad in front for {padding_mode!r}")
        self.window = window(subject, self.rank, kernel_size, stride, padding, dilation)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        inner = in_channels // groups * self.window.taps
        start = uniform(np.random.default_rng(seed), inner**-0.5)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., in_channels, *SPATIAL[3 - self.rank :]), dtype)
            shape = (*self.x.shape[: -1 - self.rank], out_channels, *self.window.outputs(lengths(self.x, self.rank)))
            self.residual = b.input("residual", shape, dtype) if residual else None
            self.shift = b.input("shift", shape[: -self.rank], dtype) if shift else None
            kernel_shape = (out_channels, in_channels // groups, *self.window.kernel)
            self.weight = b.weight("weight", kernel_shape, dtype, start)
            self.bias = b.weight("bias", (out_channels,), dtype, start) if bias else None
            if library is None:
                worth = _worth_a_product(in_channels // groups, out_channels // groups, self.window.taps)
                library = "cublas" if worth else "direct"
            fused = library == "cudnn" and not shift and activation in (None, *_FUSED)
            choices = _FUSED if fused else ACTIVATIONS
            self.activation = None if activation is None else b.option("activation", activation, choices)
            if library == "cublas" and groups == 1 and activation is None and not (bias or residual or shift):
                self.y = b.view(self._product(b, tf32), shape, name="y")
                return
            self.y = b.output("y", shape, dtype)
            if library == "direct":
                self._direct(b)
            elif library == "cublas":
                self._epilogue(b, self._product(b, tf32), folded=groups > 1)
            elif fused:
                added = {"bias": self.bias, "residual": self.residual}
                self._cudnn(b, tf32, self.y, activation=self.activation or "none", **added)
            else:
                result = b.scratch(shape, dtype, name="product")
                self._cudnn(b, tf32, result)
                self._epilogue(b, result, folded=False)

    def _cudnn(self, b: BlockBuilder, tf32: bool, y: Any, **more: Any) -> None:
        """weight * x and what cuDNN adds to it in one go, in the layout that the tensors have."""
        w = self.window
        window = {"stride": w.stride, "dilation": w.dilation, "before": w.before, "after": w.after}
        given = {name: value for name, value in more.items() if value is not None}
        b.library("cudnn.convolution", x=self.x, weight=self.weight, y=y, tf32=tf32, **window, **given)

    def _product(self, b: BlockBuilder, tf32: bool) -> Any:
        """weight [O, K] @ columns [K, positions], in batches of samples, or of groups."""
        count, inner = samples(self.x, self.in_channels, self.rank), self.in_channels // self.groups * self.window.taps
        positions = product(self.window.outputs(lengths(self.x, self.rank)))
        if self.groups == 1:
            batch, columns, weight_shape = count, positions, (self.out_channels, inner)
        else:
            batch, columns = self.groups, count * positions
            weight_shape = (self.groups, self.out_channels // self.groups, inner)
        if self.window.pointwise and self.groups == 1:
            unfolded: Any = b.view(self.x, (batch, inner, columns))
        else:
            unfolded = b.scratch((batch, inner, columns), self.x.dtype, name="columns")
            self._unfold(b, unfolded, count, positions)
        result = b.scratch((batch, self.out_channels // self.groups, columns), self.x.dtype, name="product")
        b.library("cublas.gemm", a=b.view(self.weight, weight_shape), b=unfolded, c=result, tf32=tf32)
        return result

    def _unfold(self, b: BlockBuilder, columns: Any, count: Any, positions: Any) -> None:
        extents = spatial(self.x, self.window)
        rows = count * extents["out_depth"] * extents["out_height"]
        launch = rows_of(extents["out_width"], rows)
        b.kernel(
            "convolution/im2col",
            threads=launch["threads"],
            grid=(launch["grid"], self.in_channels),
            define=self.window.define(),
            x=self.x,
            col=columns,
            rows=rows,
            channels=self.in_channels,
            strips=launch["strips"],
            sample=positions * (self.in_channels * self.window.taps if self.groups == 1 else 1),
            pitch=positions if self.groups == 1 else positions * count,
            **extents,
        )

    def _epilogue(self, b: BlockBuilder, result: Any, *, folded: bool) -> None:
        """The bias and all that follows; `folded`: channels come before samples in the result."""
        count = samples(self.x, self.in_channels, self.rank)
        positions = product(self.window.outputs(lengths(self.x, self.rank)))
        strips = ceil_div(positions, 4 * 256)
        b.kernel(
            "convolution/channel_epilogue",
            grid=maximum(1, strips * count * self.out_channels),
            define=self._define_epilogue(),
            x=result,
            bias=result if self.bias is None else self.bias,
            residual=result if self.residual is None else self.residual,
            shift=result if self.shift is None else self.shift,
            y=self.y,
            channels=self.out_channels,
            planes=count * self.out_channels,
            positions=positions,
            strips=strips,
            sample=positions if folded else positions * self.out_channels,
            pitch=positions * count if folded else positions,
        )

    def _direct(self, b: BlockBuilder) -> None:
        inner, outer = self.in_channels // self.groups, self.out_channels // self.groups
        most = 4 if self.window.taps <= 9 else 2 if self.window.taps <= 25 else 1  # what fits into registers
        tile = next(size for size in (4, 2, 1) if size <= most and outer % size == 0)
        slides = self.rank > 1 and self.window.dilation[-2] == 1 and self.window.kernel[-2] > 1
        rows_each = 4 if slides else 1
        extents = spatial(self.x, self.window)
        bands = ceil_div(extents["out_height"], rows_each)
        rows = samples(self.x, self.in_channels, self.rank) * extents["out_depth"] * bands
        launch = rows_of(extents["out_width"], rows)
        b.kernel(
            "convolution/convolve",
            threads=launch["threads"],
            grid=(launch["grid"], self.out_channels // tile),
            define=self.window.define()
            | {"IN": inner, "OUT": outer, "TILE": tile, "ROWS": rows_each}
            | self._define_epilogue(),
            x=self.x,
            weight=self.weight,
            bias=self.weight if self.bias is None else self.bias,
            residual=self.x if self.residual is None else self.residual,
            shift=self.x if self.shift is None else self.shift,
            y=self.y,
            rows=rows,
            out_channels=self.out_channels,
            strips=launch["strips"],
            **extents,
        )

    def _define_epilogue(self) -> dict[str, Any]:
        activation = {} if self.activation is None else {"ACTIVATION": self.activation}
        there = {"BIAS": self.bias, "RESIDUAL": self.residual, "SHIFT": self.shift}
        return {name: int(value is not None) for name, value in there.items()} | activation

    def reference(
        self,
        x: np.ndarray,
        *added: np.ndarray,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        activation: str = "none",
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs; `added` are residual and shift, where there are."""
        windows = self.window.of(x)  # [..., I, out..., kernel...]
        spaces = windows.shape[-2 * self.rank : -self.rank]
        lead = x.shape[: -1 - self.rank]
        windows = windows.reshape(
            -1, self.groups, x.shape[-1 - self.rank] // self.groups, product(spaces), self.window.taps
        )
        filters = weight.reshape(self.groups, -1, *windows.shape[2:3], self.window.taps)
        y = np.einsum("ngipt,goit->ngop", windows, filters, optimize=True)
        y = y.reshape(*lead, self.out_channels, *spaces)
        if bias is not None:
            y = y + bias.reshape(-1, *(1,) * self.rank)
        if self.shift is not None:
            y = y + added[-1].reshape(*added[-1].shape, *(1,) * self.rank)
        return activate(y if self.residual is None else y + added[0], activation)


class Conv1d(Convolution):
    """y[o, t] = activation(bias[o] + sum over i, k of weight[o, i, k] x[i, t stride + k dilation - pad] + residual).

    x: [..., I, W], weight: [O, I / groups, K], bias: [O], y and residual: [..., O, W'] of one floating-point type
    (float16, bfloat16, float32, float64); sums are float32 (float64 for float64). Arguments and names as in torch,
    and: padding "causal" pads in front only; `activation` ("none", "relu", ..., changeable live) and a second input
    `residual` are computed in the same pass, and `shift`: [..., O], added to whole channels of a sample. Weights
    start uniform in +-1/sqrt(I K / groups), from `seed`. `library`: "cublas" (unfolded columns), "direct" (a kernel of
    ours; None takes it for few channels per group) or "cudnn", which computes bias, residual and "none" or "relu" too;
    `activation` is one of these two then, others and `shift` are a kernel behind it. tf32=True may round float32.
    `DescriptionError` for arguments that contradict each other, `ShapeError` for an input smaller than the window.
    """

    rank = 1


class Conv2d(Convolution):
    """y[o, h, w] = activation(bias[o] + sum over i, kh, kw of weight[o, i, kh, kw] x[i, h + kh, w + kw] + residual).

    With strides, padding, dilation and groups as in torch. x: [..., I, H, W], weight: [O, I / groups, KH, KW],
    bias: [O], y and residual: [..., O, H', W'], H' = (H + 2 padding - dilation (KH - 1) - 1) // stride + 1. Types,
    errors and the other arguments: see `Conv1d`. A 1x1 convolution of stride 1 is one matrix product.
    """

    rank = 2


class Conv3d(Convolution):
    """y[o, d, h, w] = activation(bias[o] + sum of weight[o, i, kd, kh, kw] x[i, d + kd, h + kh, w + kw] + residual).

    x: [..., I, D, H, W], weight: [O, I / groups, KD, KH, KW], bias: [O], y and residual: [..., O, D', H', W'].
    Arguments, types and errors: see `Conv1d` and `Conv2d`.
    """

    rank = 3


def uniform(random: np.random.Generator, bound: float) -> Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray]:
    """An initialiser: uniform in +-bound."""
    return lambda shape, dtype: random.uniform(-bound, bound, shape).astype(dtype)


def check_library(subject: str, library: str | None, choices: tuple[str, ...]) -> None:
    """`DescriptionError` for a library that is none of the choices, and not None."""
    if library is not None and library not in choices:
        raise DescriptionError(
            f"{subject}: library is {', '.join(map(repr, choices))} or None, which chooses, not {library!r}"
        )


def check_channels(subject: str, in_channels: int, out_channels: int, groups: int) -> None:
    """`DescriptionError` unless there are channels and the groups divide them."""
    if min(in_channels, out_channels, groups) < 1:
        raise DescriptionError(
            f"{subject} has at least one channel on each side and one group, "
            f"not {in_channels} -> {out_channels} in {groups}"
        )
    if in_channels % groups or out_channels % groups:
        raise DescriptionError(f"{subject}: {groups} groups do not divide {in_channels} -> {out_channels} channels")


def _worth_a_product(inner: int, outer: int, taps: int) -> bool:
    """Whether a group has enough rows and columns to fill the tiles of a matrix product."""
    return outer >= 8 and inner * taps >= 16
