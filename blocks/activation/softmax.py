"""y = exp(x) / sum(exp(x)) along a dimension, and its logarithm."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.shape import ceil_div, maximum, minimum

from .launch import after, checked_axis, with_axis


class Softmax(Block):
    """y = exp(z - max z) / sum exp(z - max z) along `dim`, z = x / temperature.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64), at least 1 element along `dim`;
    computed in float32 (float64 for float64). temperature (> 0) is hot. A line of -inf gives NaN, as in torch.
    Any other type is a `CompileError`, a `dim` that x does not have a `ShapeError`.
    """

    logarithm = False

    def __init__(self, dim: int = -1, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.dim = checked_axis(type(self).__name__, dim)
        with BlockBuilder(self) as b:
            self.x = b.input("x", with_axis(dim), "T")
            self.temperature = b.parameter("temperature", temperature, low=1e-6)
            self.y = b.output("y", self.x.shape, "T")
            self._describe(b)

    def _describe(self, b: BlockBuilder) -> None:
        columns = self.x.shape[self.dim]
        inner = after(self.x, self.dim)
        values = {"x": self.x, "y": self.y, "temperature": self.temperature, "columns": columns}
        define = {"LOGARITHM": int(self.logarithm)}
        with b.where(inner <= 1):
            # One warp per 1024 columns, and as many rows as fill 256 threads.
            lanes = 32 * minimum(32, maximum(1, ceil_div(columns, 1024)))
            together, rows = maximum(1, 256 // lanes), self.x.size // maximum(1, columns)
            grid = maximum(1, ceil_div(rows, together))
            b.kernel("activation/softmax", threads=(lanes, together), grid=grid, define=define, rows=rows, **values)
        with b.where(inner > 1):
            lines = self.x.size // maximum(1, columns)
            b.kernel(
                "activation/softmax_strided",
                elements=lines,
                threads=256,
                define=define,
                lines=lines,
                inner=inner,
                **values,
            )

    def reference(self, x: np.ndarray, *, temperature: float = 1.0) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        x = x / temperature
        shifted = x - x.max(axis=self.dim, keepdims=True)
        total = np.exp(shifted).sum(axis=self.dim, keepdims=True)
        return shifted - np.log(total) if self.logarithm else np.exp(shifted) / total


class LogSoftmax(Softmax):
    """y = z - max z - log(sum exp(z - max z)) along `dim`, z = x / temperature: the logarithm of `Softmax`.

    x, y: [...] of one floating-point type, types and errors as for `Softmax`. temperature (> 0) is hot.
    """

    logarithm = True
