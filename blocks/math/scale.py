"""y = x * factor."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.shape import ceil_div


class Scale(Block):
    """y = x * factor, elementwise.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). factor: hot float32.
    Any other type is a `CompileError`.
    """

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.factor = b.parameter("factor", factor)
            self.y = b.output("y", self.x.shape, "T")
            b.kernel(
                "math/scale", elements=ceil_div(self.y.size, 4), x=self.x, y=self.y, factor=self.factor, n=self.y.size
            )

    @staticmethod
    def reference(x: np.ndarray, *, factor: float) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return x * factor
