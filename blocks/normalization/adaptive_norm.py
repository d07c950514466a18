"""Layer norms whose weights depend on a condition: a vector, or a class."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import maximum

from ..activation.smooth import SiLU
from ..channel_mixing.linear import Linear
from ..row_norm import row_launch, scalar_type
from .launch import check_dtype

ORDERS = {"scale_shift": (0, 1), "shift_scale": (1, 0)}


class ModulatedLayerNorm(Block):
    """y = (x - mean x) / sqrt(var x + eps) * (1 + scale) + shift, with scale and shift per sample (FiLM).

    x, y: [B, ..., C], modulation: [B, 2 C], which is [scale, shift], or [shift, scale] with order="shift_scale", of
    `dtype` (float16, bfloat16, float32, float64); computed in float32 (float64 for float64). With `gated=True` the
    modulation is [B, 3 C], and its last third is given out as `gate`: [B, C]. eps is hot. `DescriptionError` for
    another type or order. Perez et al. 2017, arXiv 1709.07871.
    """

    def __init__(
        self,
        embedding_dim: int,
        eps: float = 1e-5,
        *,
        order: str = "scale_shift",
        gated: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        check_dtype("a ModulatedLayerNorm", dtype)
        if embedding_dim < 1 or order not in ORDERS:
            raise DescriptionError(
                f"a norm takes features in the order {' or '.join(ORDERS)}, not {embedding_dim} in {order!r}"
            )
        self.order, self.gated = ORDERS[order], gated
        width = embedding_dim * (3 if gated else 2)
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", ..., embedding_dim), dtype)
            self.modulation = b.input("modulation", ("B", width), dtype)
            self.eps = b.parameter("eps", eps, scalar_type(dtype), low=0.0)
            self.y = b.output("y", self.x.shape, dtype)
            self.gate = b.output("gate", ("B", embedding_dim), dtype) if gated else None
            rows: Any = self.x.size // embedding_dim
            launch = row_launch(rows, embedding_dim, dtype)
            launch["define"]["GATED"] = int(gated)
            scale_at, shift_at = (embedding_dim * place for place in self.order)
            b.kernel(
                "normalization/modulated_norm", **launch, x=self.x, modulation=self.modulation, y=self.y,
                gate=self.gate or self.y, eps=self.eps, rows=rows, each=rows // maximum(1, self.x.shape[0]),
                width=width, scale_at=scale_at, shift_at=shift_at, gate_at=2 * embedding_dim,
            )  # fmt: skip

    def reference(self, x: np.ndarray, modulation: np.ndarray, *, eps: float) -> Any:
        """The same in NumPy, in the precision of the inputs."""
        parts = np.split(modulation, 3 if self.gated else 2, axis=-1)
        scale, shift = (parts[place].reshape(len(x), *(1,) * (x.ndim - 2), -1) for place in self.order)
        y = layer_norm(x, eps) * (1 + scale) + shift
        return (y, parts[2]) if self.gated else y


class AdaptiveLayerNorm(Block):
    """y = LN(x) * (1 + scale) + shift, with [scale, shift] = linear(silu(condition)); LN has no weights of its own.

    x, y: [B, ..., C], condition: [B, D], of `dtype` (float16, bfloat16, float32, float64). Children `silu`, `linear`,
    `norm`, as in diffusers' AdaLayerNormContinuous; order="shift_scale" is that of DiT. With `zero=True` (AdaLN-Zero)
    the linear layer starts with zeros and gives a third part, the output `gate`: [B, C]. Three nodes. Peebles and Xie
    2022, arXiv 2212.09748.
    """

    def __init__(
        self,
        embedding_dim: int,
        conditioning_dim: int,
        eps: float = 1e-5,
        *,
        bias: bool = True,
        order: str = "scale_shift",
        zero: bool = False,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.silu = SiLU()
        self.linear = Linear(conditioning_dim, (3 if zero else 2) * embedding_dim, bias, dtype=dtype, seed=seed)
        self.norm = ModulatedLayerNorm(embedding_dim, eps, order=order, gated=zero, dtype=dtype)
        if zero:
            for weight in self.linear.weights.values():
                weight.value = np.zeros_like(weight.value)
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", ..., embedding_dim), dtype)
            self.condition = b.input("condition", ("B", conditioning_dim), dtype)
            modulation = b.apply(self.linear, b.apply(self.silu, self.condition))
            b.apply(self.norm, self.x, modulation)
            self.y = b.expose(self.norm.y)
            self.gate = None if self.norm.gate is None else b.expose(self.norm.gate)


class ConditionalLayerNorm(Block):
    """y = LN(x) * weight[ids] + bias[ids], with a row of weights per class; LN has no weights of its own.

    x, y: [B, ..., C] of `dtype` (float16, bfloat16, float32, float64), ids: [B] of int32 or int64, weight (starts with
    1) and bias (0): [N, C]; computed in float32 (float64 for float64). An id outside of 0..N-1 is reported on the
    block, and class 0 taken for it. eps is hot. `DescriptionError` for another type, or no classes or features. Chen
    et al. 2021, arXiv 2103.00993.
    """

    def __init__(self, num_classes: int, embedding_dim: int, eps: float = 1e-5, *, dtype: str = "float32") -> None:
        super().__init__()
        check_dtype("a ConditionalLayerNorm", dtype)
        if num_classes < 1 or embedding_dim < 1:
            raise DescriptionError(
                f"a ConditionalLayerNorm has classes and features, not {num_classes} and {embedding_dim}"
            )
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", ..., embedding_dim), dtype)
            self.ids = b.input("ids", ("B",), "I")
            self.weight = b.weight("weight", (num_classes, embedding_dim), dtype, 1)
            self.bias = b.weight("bias", (num_classes, embedding_dim), dtype)
            self.eps = b.parameter("eps", eps, scalar_type(dtype), low=0.0)
            self.y = b.output("y", self.x.shape, dtype)
            rows: Any = self.x.size // embedding_dim
            b.kernel(
                "normalization/conditional_norm", **row_launch(rows, embedding_dim, dtype), x=self.x, ids=self.ids,
                weight=self.weight, bias=self.bias, y=self.y, eps=self.eps, rows=rows,
                each=rows // maximum(1, self.x.shape[0]), classes=num_classes,
                outside=b.fault("index", f"a class is outside of 0..{num_classes - 1}"),
            )  # fmt: skip

    @staticmethod
    def reference(x: np.ndarray, ids: np.ndarray, *, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        ids = np.where((ids >= 0) & (ids < len(weight)), ids, 0)
        scale, shift = (table[ids].reshape(len(x), *(1,) * (x.ndim - 2), -1) for table in (weight, bias))
        return layer_norm(x, eps) * scale + shift


def layer_norm(x: np.ndarray, eps: float) -> np.ndarray:
    """Zero mean and unit variance along the last dimension, in NumPy."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
