"""Convolutions with a part of the connections: per channel, per channel and then across, with gaps."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from .composed import computed
from .conv import Conv2d, Convolution

Sizes = int | tuple[int, ...]


class DepthwiseConv(Convolution):
    """y[m c + j] = activation(bias[m c + j] + sum over k of weight[m c + j, 0, k] x[c, t stride + k dilation - pad]).

    A convolution per channel, without mixing them, over the last `dims` dimensions: x: [..., C, spatial], weight:
    [m C, 1, K...], bias: [m C], y: [..., m C, spatial'], m = `multiplier` outputs per channel, next to each other as in
    torch. Types, errors and the other arguments: see `Conv1d`. Howard et al. 2017, arXiv 1704.04861.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: int | str | tuple[int, ...] = 0,
        dilation: Sizes = 1,
        multiplier: int = 1,
        bias: bool = True,
        *,
        dims: int = 2,
        activation: str | None = None,
        residual: bool = False,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        self.rank = checked_dims("DepthwiseConv", dims)
        super().__init__(
            channels, channels * multiplier, kernel_size, stride, padding, dilation, channels, bias,
            activation=activation, residual=residual, dtype=dtype, library="direct", seed=seed,
        )  # fmt: skip


class DilatedConv(Convolution):
    """y[o, t] = bias[o] + sum of weight[o, i, k] x[i, t + k dilation - pad]: a convolution with gaps between its taps.

    The receptive field is dilation (K - 1) + 1 wide; the default padding keeps the size. Over the last `dims`
    dimensions. Shapes, types, errors and the other arguments: see `Conv1d`. Yu and Koltun 2015, arXiv 1511.07122.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        dilation: Sizes = 2,
        padding: int | str | tuple[int, ...] = "same",
        bias: bool = True,
        *,
        dims: int = 2,
        activation: str | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        self.rank = checked_dims("DilatedConv", dims)
        super().__init__(
            in_channels, out_channels, kernel_size, 1, padding, dilation, 1, bias,
            activation=activation, dtype=dtype, seed=seed,
        )  # fmt: skip


class SeparableConv(Block):
    """y = pointwise(depthwise(x)): a convolution per channel, then one of a single element across the channels.

    x: [..., I, H, W], y: [..., O, H', W']; `depthwise.weight`: [m I, 1, KH, KW], `pointwise.weight`: [O, m I, 1, 1]
    and `pointwise.bias` [O]. One bias, at the end, and no activation between. Types and errors: see `Conv1d`.
    Chollet 2016, arXiv 1610.02357.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: int | str | tuple[int, ...] = 0,
        dilation: Sizes = 1,
        multiplier: int = 1,
        bias: bool = True,
        *,
        activation: str | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        middle = in_channels * multiplier
        self.depthwise = DepthwiseConv(
            in_channels, kernel_size, stride, padding, dilation, multiplier, False, dtype=dtype, seed=seed
        )
        self.pointwise = Conv2d(middle, out_channels, 1, bias=bias, activation=activation, dtype=dtype, seed=seed)
        with BlockBuilder(self) as b:
            b.child(self.depthwise)
            self.x = b.expose(self.depthwise.x)
            self.y = b.expose(b.apply(self.pointwise, self.depthwise.y))

    def reference(self, x: np.ndarray, **_: Any) -> np.ndarray:
        """The same in NumPy with the weights that the block has, in the precision of x."""
        return computed(self.pointwise, computed(self.depthwise, x))


def checked_dims(name: str, dims: int) -> int:
    """`DescriptionError` unless it is 1, 2 or 3."""
    if dims not in (1, 2, 3):
        raise DescriptionError(f"a {name} has 1, 2 or 3 spatial dimensions, not {dims!r}")
    return dims
