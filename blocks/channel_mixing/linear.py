"""y = activation(x @ weight.T + bias)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum, minimum

from ..activation.formulas import ACTIVATIONS, activate

_FLOATING = ("float16", "bfloat16", "float32", "float64")


class Linear(Block):
    """y = activation(x @ weight.T + bias): torch's linear layer, names and layout included.

    x: [..., I], weight: [O, I], bias: [O], y: [..., O], all of `dtype` (float16, bfloat16, float32, float64); sums are
    float32 (float64 for float64). activation: "none", "relu" or "gelu" (tanh), changeable live. Weights start as in
    torch, uniform in +-1/sqrt(I), from `seed`. By cuBLAS, or with `library=False` by CUDA C++ that can be edited
    live. `DescriptionError` for another type or activation, or no features.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        activation: str = "none",
        dtype: str = "float32",
        library: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        _check(in_features, out_features, dtype)
        bound = in_features**-0.5
        random = np.random.default_rng(seed)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., in_features), dtype)
            self.weight = b.weight("weight", (out_features, in_features), dtype, _uniform(random, bound))
            self.bias = b.weight("bias", (out_features,), dtype, _uniform(random, bound)) if bias else None
            self.activation = b.option("activation", activation, ACTIVATIONS)
            self.y = b.output("y", (*self.x.shape[:-1], out_features), dtype)
            if library:
                self._describe_library_call(b)
            else:
                self._describe_kernels(b, out_features, in_features)

    def _describe_library_call(self, b: BlockBuilder) -> None:
        bias = {} if self.bias is None else {"bias": self.bias}
        b.library("cublas.gemm", a=self.x, b=self.weight, c=self.y, transpose_b=True, epilogue=self.activation, **bias)

    def _describe_kernels(self, b: BlockBuilder, columns: int, inner: int) -> None:
        rows = self.x.rows
        product = b.scratch(self.y.shape, self.y.dtype)
        b.kernel(
            "channel_mixing/matmul",
            threads=(16, 16),
            grid=(maximum(1, ceil_div(rows, 64)), ceil_div(columns, 64)),
            x=self.x,
            weight=self.weight,
            y=product,
            rows=rows,
            columns=columns,
            inner=inner,
        )
        define = {"ACTIVATION": self.activation}
        if self.bias is None:
            elements = ceil_div(self.y.size, 4)
            b.kernel("activation/activation", elements=elements, define=define, x=product, y=self.y, n=self.y.size)
            return
        b.kernel(
            "channel_mixing/bias_activation",
            threads=(32, 8),
            grid=(ceil_div(columns, 32), minimum(1024, maximum(1, ceil_div(rows, 8)))),
            define=define,
            x=product,
            bias=self.bias,
            y=self.y,
            rows=rows,
            columns=columns,
        )

    @staticmethod
    def reference(
        x: np.ndarray, *, weight: np.ndarray, bias: np.ndarray | None = None, activation: str = "none"
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        y = x @ weight.T
        return activate(y if bias is None else y + bias, activation)


def _uniform(random: np.random.Generator, bound: float) -> Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray]:
    return lambda shape, dtype: random.uniform(-bound, bound, shape).astype(dtype)


def _check(in_features: int, out_features: int, dtype: str) -> None:
    if in_features < 1 or out_features < 1:
        raise DescriptionError(f"a Linear has at least one feature on each side, not {in_features} -> {out_features}")
    if dtype not in _FLOATING:
        raise DescriptionError(f"a Linear computes in {', '.join(_FLOATING)}, not {dtype!r}")
