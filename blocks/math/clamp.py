"""y = min(max(x, low), high)."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import vector_threads


class Clamp(Block):
    """y = min(max(x, low), high), elementwise; NaN stays NaN, and `high` wins where the bounds cross.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). low, high: hot float32, no bound by
    default. Any other type is a `CompileError`.
    """

    def __init__(self, low: float = -np.inf, high: float = np.inf) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.low = b.parameter("low", low)
            self.high = b.parameter("high", high)
            self.y = b.output("y", self.x.shape, "T")
            size = self.y.size
            b.kernel(
                "math/clamp", elements=vector_threads(size), x=self.x, y=self.y, low=self.low, high=self.high, n=size
            )

    @staticmethod
    def reference(x: np.ndarray, *, low: float, high: float) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.minimum(np.maximum(x, low), high)
