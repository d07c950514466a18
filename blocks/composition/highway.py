"""y = t * h + (1 - t) * x: a layer, and a gate that lets it pass or not."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from ..activation.formulas import ACTIVATIONS, activate
from ..activation.launch import row_launch
from ..channel_mixing.linear import Linear
from .wrapped import entry, expose_others, result


class HighwayConnection(Block):
    """y = t * h + (1 - t) * x, t = sigmoid(x @ gate.T + gate_bias), h = activation(x @ linear.T + bias) or block(x).

    x, y: [..., C] of `dtype` (float16, bfloat16, float32, float64). Both layers are one product, stored as
    `linear.weight` and `gate.weight` (and biases), and all after it is one kernel; activation is a live choice. With a
    `block` there is the gate only. The gate's bias starts with `gate_bias`, so that a new block carries x. Srivastava
    et al. 2015, arXiv 1505.00387.
    """

    def __init__(
        self,
        features: int,
        block: Block | None = None,
        *,
        activation: str = "relu",
        gate_bias: float = -1.0,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.block = block
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., features), dtype)
            if block is None:
                self._packed(b, features, activation, gate_bias, dtype, seed)
            else:
                self._around(b, block, features, gate_bias, dtype, seed)

    def _packed(
        self, b: BlockBuilder, features: int, activation: str, gate_bias: float, dtype: str, seed: int | None
    ) -> None:
        self.linear = Linear(features, 2 * features, dtype=dtype, seed=seed)
        bias: Any = self.linear.bias
        bias.value = np.concatenate([bias.value[:features], np.full(features, gate_bias, bias.dtype)])
        z = b.apply(self.linear, self.x)
        for weight in self.linear.weights.values():
            b.stored_as(weight, {f"linear.{weight.name}": features, f"gate.{weight.name}": features})
        self.activation = b.option("activation", activation, ACTIVATIONS)
        self.y = b.output("y", self.x.shape, dtype)
        launch = row_launch(self.x.rows, features)
        define = {"ACTIVATION": self.activation}
        b.kernel(
            "composition/highway", **launch, define=define, z=z, x=self.x, y=self.y, rows=self.x.rows, columns=features
        )

    def _around(
        self, b: BlockBuilder, block: Block, features: int, gate_bias: float, dtype: str, seed: int | None
    ) -> None:
        self.gate = Linear(features, features, activation="sigmoid", dtype=dtype, seed=seed)
        bias: Any = self.gate.bias
        bias.value = np.full(features, gate_bias, bias.dtype)
        b.child(block)
        expose_others(b, block)
        b.connect(self.x, entry("HighwayConnection", block))
        h, t = result("HighwayConnection", block), b.apply(self.gate, self.x)
        self.y = b.output("y", self.x.shape, dtype)
        b.elementwise("y = x + t * (h - x)", x=self.x, t=t, h=h, y=self.y)

    def reference(self, x: np.ndarray, *, activation: str, **weights: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs; without a block inside."""
        z = x @ weights["linear/weight"].T + weights["linear/bias"]
        h, gate = np.split(z, 2, axis=-1)
        return x + activate(gate, "sigmoid") * (activate(h, activation) - x)
