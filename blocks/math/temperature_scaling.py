"""y = x / temperature."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import vector_threads


class TemperatureScaling(Block):
    """y = x / temperature, elementwise: logits before a softmax. Guo et al. 2017, arXiv 1706.04599.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). temperature: hot float32, not
    negative; the softmax is sharper below 1 and flatter above. Any other type is a `CompileError`.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.temperature = b.parameter("temperature", temperature, low=0.0)
            self.y = b.output("y", self.x.shape, "T")
            size = self.y.size
            b.kernel(
                "math/temperature",
                elements=vector_threads(size),
                x=self.x,
                y=self.y,
                temperature=self.temperature,
                n=size,
            )

    @staticmethod
    def reference(x: np.ndarray, *, temperature: float) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return x / temperature
