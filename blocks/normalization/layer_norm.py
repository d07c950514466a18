"""y = (x - mean) / sqrt(var + eps) * weight + bias over the last dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from ..row_norm import normalize_rows, scalar_type
from .launch import check_dtype, checked_shape


class LayerNorm(Block):
    """y = (x - mean x) / sqrt(var x + eps) * weight + bias over the last dimensions: torch's layer, names included.

    x, y: [..., *normalized_shape], weight and bias: normalized_shape, all of `dtype` (float16, bfloat16, float32,
    float64); computed in float32 (float64 for float64), with the biased variance. `elementwise_affine=False` has no
    weight and bias, `bias=False` no bias. With `residual=True` there is an input `residual` of x's shape and an output
    `sum` = x + residual, which is what is normalised, all in one kernel. eps (>= 0) is hot. `DescriptionError` for
    another type or no elements. Ba et al. 2016, arXiv 1607.06450.
    """

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        residual: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.normalized_shape = checked_shape("a LayerNorm", normalized_shape)
        check_dtype("a LayerNorm", dtype)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., *self.normalized_shape), dtype)
            self.residual = b.input("residual", self.x.shape, dtype) if residual else None
            self.weight = b.weight("weight", self.normalized_shape, dtype, 1) if elementwise_affine else None
            self.bias = b.weight("bias", self.normalized_shape, dtype) if elementwise_affine and bias else None
            self.eps = b.parameter("eps", eps, scalar_type(dtype), low=0.0)
            self.y = b.output("y", self.x.shape, dtype)
            self.sum = b.output("sum", self.x.shape, dtype) if residual else None
            describe(b, self, dtype, CENTERED=1)

    def reference(
        self,
        x: np.ndarray,
        residual: np.ndarray | None = None,
        *,
        eps: float,
        weight: np.ndarray | None = None,
        bias: np.ndarray | None = None,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The same in NumPy, in the precision of the inputs."""
        v = x if residual is None else x + residual
        axes = tuple(range(-len(self.normalized_shape), 0))
        y = (v - v.mean(axes, keepdims=True)) / np.sqrt(v.var(axes, keepdims=True) + eps)
        y = y if weight is None else y * weight
        y = y if bias is None else y + bias
        return y if residual is None else (y, v)


class RMSNorm(Block):
    """y = x / sqrt(mean x^2 + eps) * weight over the last dimensions: torch's layer, names included.

    x, y: [..., *normalized_shape], weight: normalized_shape, all of `dtype` (float16, bfloat16, float32, float64);
    computed in float32 (float64 for float64) up to the result. eps=None is the machine epsilon of `dtype`, as in torch;
    models say 1e-6 or so. `unit_offset=True` multiplies with 1 + weight (which starts at 0), as Gemma does. `residual`
    and errors as for `LayerNorm`. eps is hot. Zhang and Sennrich 2019, arXiv 1910.07467.
    """

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        unit_offset: bool = False,
        residual: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.normalized_shape = checked_shape("an RMSNorm", normalized_shape)
        self.unit_offset = unit_offset
        check_dtype("an RMSNorm", dtype)
        start = 0 if unit_offset else 1
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., *self.normalized_shape), dtype)
            self.residual = b.input("residual", self.x.shape, dtype) if residual else None
            self.weight = b.weight("weight", self.normalized_shape, dtype, start) if elementwise_affine else None
            self.bias = None
            self.eps = b.parameter("eps", EPSILONS[dtype] if eps is None else eps, scalar_type(dtype), low=0.0)
            self.y = b.output("y", self.x.shape, dtype)
            self.sum = b.output("sum", self.x.shape, dtype) if residual else None
            describe(b, self, dtype, CENTERED=0, OFFSET=int(unit_offset))

    def reference(
        self, x: np.ndarray, residual: np.ndarray | None = None, *, eps: float, weight: np.ndarray | None = None
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The same in NumPy, in the precision of the inputs."""
        v = x if residual is None else x + residual
        axes = tuple(range(-len(self.normalized_shape), 0))
        y = v / np.sqrt((v * v).mean(axes, keepdims=True) + eps)
        y = y if weight is None else y * (weight + int(self.unit_offset))
        return y if residual is None else (y, v)


EPSILONS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


def describe(b: BlockBuilder, norm: LayerNorm | RMSNorm, dtype: str, **define: int) -> None:
    """The one launch of a norm over rows."""
    normalize_rows(
        b,
        norm.x,
        norm.y,
        prod(norm.normalized_shape),
        norm.eps,
        dtype,
        define,
        weight=norm.weight,
        bias=norm.bias,
        residual=norm.residual,
        sum=norm.sum,
    )
