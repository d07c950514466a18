"""y = exp(x) / sum(exp(x)) over the last dimension."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.shape import Dim, ceil_div, maximum, minimum


class Softmax(Block):
    """y = exp(x - max x) / sum exp(x - max x), over the last dimension.

    x, y: [..., C] of one floating-point type (float16, bfloat16, float32, float64), C >= 1; computed in float32
    (float64 for float64). A row of -inf gives NaN, as in torch. Any other type is a `CompileError`.
    """

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., "C"), "T")
            self.y = b.output("y", self.x.shape, "T")
            columns = Dim("C")
            # One warp per 1024 columns, and as many rows as fill 256 threads.
            lanes = 32 * minimum(32, maximum(1, ceil_div(columns, 1024)))
            rows = maximum(1, 256 // lanes)
            b.kernel(
                "activation/softmax",
                threads=(lanes, rows),
                grid=maximum(1, ceil_div(self.x.rows, rows)),
                x=self.x,
                y=self.y,
                rows=self.x.rows,
                columns=columns,
            )

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        raised = np.exp(x - x.max(axis=-1, keepdims=True))
        return raised / raised.sum(axis=-1, keepdims=True)
