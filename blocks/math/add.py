"""c = a + b."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.shape import ceil_div


class Add(Block):
    """c = a + b, elementwise.

    a, b, c: [...] of one type, floating-point or integer (which wraps around). `ShapeError` when a and b differ.
    """

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.a = b.input("a", (...,), "T")
            self.b = b.input("b", (...,), "T")
            self.c = b.output("c", self.a.shape, "T")
            b.kernel("math/add", elements=ceil_div(self.c.size, 4), a=self.a, b=self.b, c=self.c, n=self.c.size)

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of a and b."""
        return a + b
