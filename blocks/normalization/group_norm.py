"""y = (x - mean) / sqrt(var + eps) * weight + bias over groups of channels of each sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.option import Option
from cudagraph.parameter import Parameter
from cudagraph.port import Port
from cudagraph.shape import maximum
from cudagraph.tensor import Weight

from ..activation.formulas import ACTIVATIONS, activate
from ..row_norm import scalar_type
from .launch import check_dtype
from .moments import Rows, Settings, by_planes, scratch_for

SMALL = 16384  # elements of a group up to which one thread block does it


class GroupNorm(Block):
    """y = activation((x - mean) / sqrt(var + eps) * weight + bias) over each group of channels of a sample.

    torch's layer, names included. x, y: [B, C, ...], weight and bias: [C], of `dtype` (float16, bfloat16, float32,
    float64); computed in float32 (float64 for float64), with the biased variance. `affine=False` has neither weight nor
    bias. eps is hot, and activation ("none", "silu", ...) a live choice. One node for groups of up to 16384 elements,
    otherwise two. `DescriptionError` where num_channels is not a multiple of num_groups, or for another type. Wu and He
    2018, arXiv 1803.08494.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        activation: str = "none",
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels < 1 or num_channels % num_groups:
            raise DescriptionError(
                f"a GroupNorm has groups of equal size; {num_channels} channels are not {num_groups} of them"
            )
        check_dtype("a GroupNorm", dtype)
        self.num_groups = num_groups
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", num_channels, ...), dtype)
            self.weight = b.weight("weight", (num_channels,), dtype, 1) if affine else None
            self.bias = b.weight("bias", (num_channels,), dtype) if affine else None
            self.eps = b.parameter("eps", eps, scalar_type(dtype), low=0.0)
            self.activation = b.option("activation", activation, ACTIVATIONS)
            self.y = b.output("y", self.x.shape, dtype)
            describe(b, self.x, self.y, num_channels, num_groups, self.eps, self.weight, self.bias, self.activation)

    def reference(
        self,
        x: np.ndarray,
        *,
        eps: float,
        activation: str,
        weight: np.ndarray | None = None,
        bias: np.ndarray | None = None,
    ) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return group_norm(x, self.num_groups, eps, activation, weight, bias)


class InstanceNorm1d(Block):
    """y = activation((x - mean) / sqrt(var + eps) * weight + bias) over each channel of each sample: torch's layer.

    x, y: [B, C, L]; weight and bias: [C] where `affine=True` (off, as in torch). No running statistics, as torch's
    default. Everything else as for `GroupNorm` with one channel to a group. Ulyanov et al. 2016, arXiv 1607.08022.
    """

    dims: tuple[str, ...] = ("L",)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        *,
        affine: bool = False,
        activation: str = "none",
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if num_features < 1:
            raise DescriptionError(f"an {name} has at least one feature, not {num_features}")
        check_dtype(f"an {name}", dtype)
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", num_features, *self.dims), dtype)
            self.weight = b.weight("weight", (num_features,), dtype, 1) if affine else None
            self.bias = b.weight("bias", (num_features,), dtype) if affine else None
            self.eps = b.parameter("eps", eps, scalar_type(dtype), low=0.0)
            self.activation = b.option("activation", activation, ACTIVATIONS)
            self.y = b.output("y", self.x.shape, dtype)
            describe(b, self.x, self.y, num_features, num_features, self.eps, self.weight, self.bias, self.activation)

    @staticmethod
    def reference(
        x: np.ndarray,
        *,
        eps: float,
        activation: str,
        weight: np.ndarray | None = None,
        bias: np.ndarray | None = None,
    ) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return group_norm(x, x.shape[1], eps, activation, weight, bias)


class InstanceNorm2d(InstanceNorm1d):
    """y = activation((x - mean) / sqrt(var + eps) * weight + bias) over each channel of each image: torch's layer.

    x, y: [B, C, H, W]; everything else as for `InstanceNorm1d`.
    """

    dims = ("H", "W")


def describe(
    b: BlockBuilder,
    x: Port,
    y: Port,
    channels: int,
    groups: int,
    eps: Parameter[float],
    weight: Weight | None,
    bias: Weight | None,
    activation: Option,
) -> None:
    """The launches of a group norm: one for small groups, two for large ones."""
    grouped = channels // groups
    samples: Any = x.shape[0]
    positions = x.size // maximum(1, samples * channels)
    with b.where(grouped * positions <= SMALL):
        b.kernel(
            "normalization/group_norm", threads=256, grid=maximum(1, samples * groups),
            define={"ACTIVATION": activation, "AFFINE": int(weight is not None)},
            x=x, weight=weight or x, bias=bias or x, y=y, eps=eps, groups=groups, grouped=grouped, positions=positions,
        )  # fmt: skip
    rows = Rows(samples * groups, grouped * positions, 1, grouped * positions, 0)
    scratch = scratch_for(b, rows.count, rows.pieces, eps.dtype)
    with b.where(grouped * positions > SMALL):
        by_planes(b, x, y, rows, channels, grouped, positions, Settings(eps, weight, bias, activation), scratch)


def group_norm(
    x: np.ndarray, groups: int, eps: float, activation: str, weight: np.ndarray | None, bias: np.ndarray | None
) -> np.ndarray:
    """A group norm in NumPy, in the precision of x."""
    grouped = x.reshape(x.shape[0], groups, -1)
    y = (grouped - grouped.mean(-1, keepdims=True)) / np.sqrt(grouped.var(-1, keepdims=True) + eps)
    y, along = y.reshape(x.shape), (-1, *(1,) * (x.ndim - 2))
    y = y if weight is None else y * weight.reshape(along)
    return activate(y if bias is None else y + bias.reshape(along), activation)
