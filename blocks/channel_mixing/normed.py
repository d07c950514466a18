"""A norm in front of a product, whose weights belong to the product's block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.parameter import Parameter
from cudagraph.tensor import Weight
from cudagraph.work import Operand

from ..row_norm import normalize_rows, scalar_type

NORMS = ("layer", "rms")


@dataclass(frozen=True)
class Norm:
    """y = (x - mean x) / sqrt(var x + eps) * weight + bias, or with `kind` "rms" x / sqrt(mean x^2 + eps) * weight."""

    kind: str
    weight: Weight
    bias: Weight | None
    eps: Parameter[float]

    @classmethod
    def described(cls, b: BlockBuilder, kind: str, columns: int, eps: float, bias: bool, dtype: str) -> Norm:
        """Weights norm.weight and norm.bias, and the hot norm_eps. `DescriptionError` for another kind."""
        if kind not in NORMS:
            raise DescriptionError(f"the norm of a product's input is one of {', '.join(NORMS)}, not {kind!r}")
        weight = b.weight("norm_weight", (columns,), dtype, 1)
        b.stored_as(weight, "norm.weight")
        offset = None
        if kind == "layer" and bias:
            offset = b.weight("norm_bias", (columns,), dtype)
            b.stored_as(offset, "norm.bias")
        return cls(kind, weight, offset, b.parameter("norm_eps", eps, scalar_type(dtype), low=0.0))

    def describe(self, b: BlockBuilder, x: Operand, y: Operand) -> None:
        """The norm as a launch of its own."""
        columns, dtype = self.weight.shape[0], np.dtype(self.weight.dtype).name
        centred = {"CENTERED": int(self.kind == "layer")}
        normalize_rows(b, x, y, columns, self.eps, dtype, centred, weight=self.weight, bias=self.bias)

    def define(self) -> dict[str, Any]:
        """The macros with which a product's kernel normalises for itself."""
        return {"NORM": 1 + NORMS[::-1].index(self.kind), "NORM_BIAS": int(self.bias is not None)}

    def arguments(self) -> dict[str, Any]:
        """The arguments of such a kernel."""
        return {"norm_weight": self.weight, "norm_bias": self.bias or self.weight, "eps": self.eps}


def store_norm(b: BlockBuilder, norm: Norm | None, name: str) -> None:
    """The weights of a norm that is part of a product, under the name of a norm."""
    for kind, weight in (("weight", norm and norm.weight), ("bias", norm and norm.bias)):
        if weight is not None:
            b.stored_as(weight, f"{name}.{kind}")


def normalised(x: np.ndarray, norm: Norm | None, values: Mapping[str, Any]) -> np.ndarray:
    """The norm in NumPy, in the precision of x, with the values of its weights; x itself where there is none."""
    if norm is None:
        return x
    centred = x - x.mean(-1, keepdims=True) if norm.kind == "layer" else x
    y = centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + values["norm_eps"]) * values["norm_weight"]
    return y if norm.bias is None else y + values["norm_bias"]
