"""y = activation(alpha * x @ weight.T + bias + residual)."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from ..activation.formulas import ACTIVATIONS, activate
from .normed import Norm, normalised
from .products import check_features, linear_product, scalar_type, uniform

FUSED = ("none", "relu", "gelu_tanh")
"""The activations that cuBLASLt computes in its epilogue."""


class Linear(Block):
    """y = activation(alpha * n @ weight.T + bias + residual), n = x: torch's linear layer, names and layout included.

    x: [..., I], weight: [O, I], bias: [O], y: [..., O], all of `dtype` (float16, bfloat16, float32, float64); sums are
    float32 (float64 for float64). activation: "none", "relu" and "gelu_tanh" are part of cuBLAS's product and change
    live among themselves; the other `ACTIVATIONS` ("gelu", "silu", "sigmoid", ...) take a kernel more, and any of them
    is then a live choice. `residual=True` adds an input `residual`: [..., O]. `alpha`, when given, is a hot factor.
    `transposed=True` is for state dicts that hold the weight as [I, O], such as GPT-2's. Weights start as in torch,
    uniform in +-1/sqrt(I), from `seed`. With norm="layer" or "rms", n = norm(x): a LayerNorm or RMSNorm with weights
    norm.weight and norm.bias (`norm_bias`), [I], and the hot `norm_eps`.

    One to eight rows are one kernel, norm included, that reads every weight once; more are cuBLAS's, or with
    `library=False` CUDA C++ that can be edited live. `DescriptionError` for another type, norm or activation, or no
    features.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        activation: str = "none",
        residual: bool = False,
        alpha: float | None = None,
        transposed: bool = False,
        dtype: str = "float32",
        library: bool = True,
        norm: str | None = None,
        norm_eps: float = 1e-5,
        norm_bias: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        check_features("a Linear", in_features, out_features, dtype)
        random = np.random.default_rng(seed)
        start = uniform(random, in_features**-0.5)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., in_features), dtype)
            self.residual = b.input("residual", (..., out_features), dtype) if residual else None
            self.weight = b.weight("weight", (out_features, in_features), dtype, start)
            self.bias = b.weight("bias", (out_features,), dtype, start) if bias else None
            self.alpha = None if alpha is None else b.parameter("alpha", alpha, scalar_type(dtype))
            self.norm = None if norm is None else Norm.described(b, norm, in_features, norm_eps, norm_bias, dtype)
            fused = library and activation in FUSED
            self.activation = b.option("activation", activation, FUSED if fused else ACTIVATIONS)
            self.y = b.output("y", (..., out_features), dtype)
            if transposed:
                b.stored_as(self.weight, "weight", transpose=True)
            linear_product(
                b,
                self.x,
                self.weight,
                self.y,
                bias=self.bias,
                residual=self.residual,
                alpha=self.alpha,
                activation=self.activation,
                fused=fused,
                library=library,
                norm=self.norm,
            )

    def reference(
        self,
        x: np.ndarray,
        residual: np.ndarray | None = None,
        *,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        alpha: float = 1.0,
        activation: str = "none",
        **norm: Any,
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        y = alpha * (normalised(x, self.norm, norm) @ weight.T)
        for addend in (bias, residual):
            y = y if addend is None else y + addend
        return activate(y, activation)
