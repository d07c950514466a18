"""y = activation(gate) * value, both from one product."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from ..activation.formulas import ACTIVATIONS, activate
from .normed import Norm, normalised
from .products import check_features, gated_product, uniform


class GatedLinear(Block):
    """y = activation(x @ gate.T + gate_bias) * (x @ value.T + value_bias), with gate and value packed into one weight.

    x: [..., I], weight: [2 O, I], bias: [2 O], y: [..., O], all of `dtype` (float16, bfloat16, float32, float64); the
    gates' rows come first, or with `value_first=True` the values'. activation: any of `ACTIVATIONS`, changeable live.
    One product for both; one to eight rows are one kernel in all. With `library=False` by CUDA C++ that can be edited
    live. `norm` is that of x, as for `Linear`. `DescriptionError` for another type or activation, or no features.

    Dauphin et al. 2016, arXiv:1612.08083; Shazeer 2020, arXiv:2002.05202.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        activation: str = "sigmoid",
        value_first: bool = False,
        dtype: str = "float32",
        library: bool = True,
        norm: str | None = None,
        norm_eps: float = 1e-5,
        norm_bias: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        check_features("a GatedLinear", in_features, out_features, dtype)
        self.value_first = value_first
        random = np.random.default_rng(seed)
        start = uniform(random, in_features**-0.5)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., in_features), dtype)
            self.weight = b.weight("weight", (2 * out_features, in_features), dtype, start)
            self.bias = b.weight("bias", (2 * out_features,), dtype, start) if bias else None
            self.norm = None if norm is None else Norm.described(b, norm, in_features, norm_eps, norm_bias, dtype)
            self.activation = b.option("activation", activation, ACTIVATIONS)
            self.y = b.output("y", (..., out_features), dtype)
            gated_product(
                b,
                self.x,
                self.weight,
                self.y,
                bias=self.bias,
                activation=self.activation,
                value_first=value_first,
                library=library,
                norm=self.norm,
            )

    def reference(
        self,
        x: np.ndarray,
        *,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        activation: str = "sigmoid",
        **norm: Any,
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        y = normalised(x, self.norm, norm) @ weight.T
        first, second = np.split(y if bias is None else y + bias, 2, axis=-1)
        return activate(second, activation) * first if self.value_first else activate(first, activation) * second
