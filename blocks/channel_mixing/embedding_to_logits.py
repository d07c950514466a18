"""y = scale * x @ weight.T + bias: from features to a score for every word."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.port import Port
from cudagraph.tensor import Scratch

from .products import check_features, linear_product, scalar_type, uniform


class EmbeddingToLogits(Block):
    """y = scale * x @ weight.T + bias, and with `cap`, cap * tanh(y / cap) of that: a language model's head.

    x: [..., C], weight: [V, C], bias: [V], y: [..., V], all of `dtype` (float16, bfloat16, float32, float64). The
    weight is the block's own, or with `tied=True` an input `weight`, to which a block around this one wires a view of
    the embedding's: one copy in memory, `b.connect(b.view(embedding.weight, (V, C)), head.weight)`. `last=True` is for
    x: [..., T, C] and scores the last position only, y: [..., V]. `scale` and `cap`, when given, are hot. One to eight
    rows are one kernel, more are cuBLAS's. `DescriptionError` for another type or no features.
    """

    def __init__(
        self,
        features: int,
        vocabulary: int,
        bias: bool = False,
        *,
        tied: bool = False,
        last: bool = False,
        scale: float | None = None,
        cap: float | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        check_features("an EmbeddingToLogits", features, vocabulary, dtype)
        start = uniform(np.random.default_rng(seed), features**-0.5)
        shape, scalar = (vocabulary, features), scalar_type(dtype)
        self.last = last
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., "T", features) if last else (..., features), dtype)
            self.weight = b.input("weight", shape, dtype) if tied else b.weight("weight", shape, dtype, start)
            self.bias = b.weight("bias", (vocabulary,), dtype, start) if bias else None
            self.scale = None if scale is None else b.parameter("scale", scale, scalar)
            self.cap = None if cap is None else b.parameter("cap", cap, scalar)
            self.y = b.output("y", (..., vocabulary), dtype)
            x = _last_position(b, self.x, features, dtype) if last else self.x
            logits = self.y if cap is None else b.scratch(self.y.shape, dtype)
            linear_product(b, x, self.weight, logits, bias=self.bias, alpha=self.scale)
            if cap is not None:
                b.elementwise("y = cap * tanh(logits / cap)", logits=logits, cap=self.cap, y=self.y)

    def reference(
        self,
        x: np.ndarray,
        tied: np.ndarray | None = None,
        *,
        weight: np.ndarray | None = None,
        bias: np.ndarray | None = None,
        scale: float = 1.0,
        cap: float | None = None,
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        table = tied if weight is None else weight
        assert table is not None
        y = scale * ((x[..., -1, :] if self.last else x) @ table.T)
        y = y if bias is None else y + bias
        return y if cap is None else cap * np.tanh(y / cap)


def _last_position(b: BlockBuilder, x: Port, features: int, dtype: str) -> Scratch:
    rows = b.scratch((..., features), dtype)
    b.kernel(
        "channel_mixing/last_position",
        elements=rows.size,
        x=x,
        y=rows,
        n=rows.size,
        positions=x.shape[-2],
        columns=features,
    )
    return rows
