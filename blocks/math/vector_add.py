"""c = a + b * gain."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import vector_threads


class VectorAdd(Block):
    """c = a + b * gain, elementwise.

    a, b, c: [...] of one floating-point type (float16, bfloat16, float32, float64). gain: hot float32.
    `ShapeError` when a and b differ in shape or type; any other type is a `CompileError`.
    """

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.a = b.input("a", (...,), "T")
            self.b = b.input("b", (...,), "T")
            self.gain = b.parameter("gain", gain)
            self.c = b.output("c", self.a.shape, "T")
            b.kernel(
                "math/vector_add",
                elements=vector_threads(self.c.size),
                a=self.a,
                b=self.b,
                c=self.c,
                gain=self.gain,
                n=self.c.size,
            )

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray, *, gain: float) -> np.ndarray:
        """The same in NumPy, in the precision of a and b."""
        return a + b * gain
