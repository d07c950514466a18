"""y = max(x, 0)."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.shape import ceil_div

from .formulas import activate


class ReLU(Block):
    """y = max(x, 0), elementwise; NaN stays NaN.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            b.kernel(
                "activation/activation",
                elements=ceil_div(self.y.size, 4),
                define={"ACTIVATION": "relu"},
                x=self.x,
                y=self.y,
                n=self.y.size,
            )

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return activate(x, "relu")
