"""Running sums."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import launch_of
from cudagraph.shape import Size, ceil_div, equal, maximum, minimum

from .reduction import Reduce, axes_of, one_axis, stored_type

_MOST = 128  # segments that a thread adds up to know where its own begins


class CumSum(Block):
    """y[..., c, ...] = sum of x[..., k, ...] over k <= c along an axis, as torch.cumsum.

    x: [...] of one type, floating-point or integer; y: the same shape, of `dtype` or of that type. dim: an axis, which
    may be negative. Integers are added in 64 bits and wrap around where y has fewer (torch and NumPy: dtype="int64"),
    others in float32 (float64 for float64), in an order that only the shape decides. `DescriptionError` for other axes.
    """

    def __init__(self, dim: int, *, dtype: str | None = None) -> None:
        super().__init__()
        self._axis = one_axis("a CumSum", dim)
        axes = axes_of("a CumSum", self._axis)
        with BlockBuilder(self) as b:
            self.x = b.input("x", axes.written(), "T")
            self.y = b.output("y", axes.written(), dtype or "T")
            groups, _, _, columns, inner = axes.spans(self.x)
            sizes = {"repeats": 1, "middle": 1, "columns": columns, "correction": 0.0}
            plan = Reduce(b, "Sum", sizes, self.x, groups * inner, groups, columns, inner, _MOST)
            parts = plan.parts()
            with b.where(plan.splits > 1):
                plan.reduce(parts, plan.splits)
            bound = {"x": self.x, "parts": parts, "y": self.y, "columns": columns, "splits": plan.splits}
            with b.where(plan.in_columns):
                launch = launch_of(groups * plan.splits, inner, 1)
                b.kernel("math/scan_columns", **launch, groups=groups, inner=inner, **bound)
            with b.where(equal(plan.in_columns, 0)):
                lanes, height = _lanes(columns, plan.splits)
                grid = (maximum(1, ceil_div(groups, height)), plan.splits)
                b.kernel("math/scan_rows", grid=grid, threads=(lanes, height), outputs=groups, **bound)

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.cumsum(x, self._axis, dtype=stored_type(self.y, x))


def _lanes(columns: Size, splits: Size) -> tuple[Size, Size]:
    """Threads of a row, and rows of a block."""
    lanes = 32 * minimum(8, maximum(1, ceil_div(ceil_div(columns, splits), 512)))
    return lanes, maximum(1, 256 // lanes)
