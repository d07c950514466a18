"""What the blocks that read rows of tables share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cudagraph.errors import DescriptionError
from cudagraph.shape import SizeLike, ceil_div, maximum, minimum

FLOATING = ("float16", "bfloat16", "float32", "float64")


def rows_launch(rows: Any, columns: Any) -> dict[str, Any]:
    """`threads` and `grid` of a kernel whose threads move rows of `columns` elements, side by side along x."""
    lanes: SizeLike = 8 * minimum(32, maximum(1, ceil_div(columns, 64)))
    beside = 256 // lanes  # type: ignore[operator]
    return {"threads": (lanes, beside), "grid": maximum(1, ceil_div(rows, beside))}


def normal(seed: int | None, deviation: float, zero: int | None = None) -> Callable[[Any, Any], np.ndarray]:
    """An initialiser: normally distributed; the row `zero` is zeros."""
    random = np.random.default_rng(seed)

    def init(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        values = deviation * random.standard_normal(shape, np.float32)
        if zero is not None:
            values[zero] = 0
        return values.astype(dtype)

    return init


def check_table(kind: str, rows: int, columns: int, dtype: str) -> None:
    """`DescriptionError` for an empty table or a type that is not computed in."""
    if rows < 1 or columns < 1:
        raise DescriptionError(f"{kind}: a table has at least one row and one column, not {rows} x {columns}")
    if dtype not in FLOATING:
        raise DescriptionError(f"{kind}: a table holds {', '.join(FLOATING)}, not {dtype!r}")


def take(table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The rows of a table in NumPy; zeros for an index outside."""
    inside = (ids >= 0) & (ids < len(table))
    rows = table[np.where(inside, ids, 0)]
    return np.where(inside[..., None], rows, np.zeros((), table.dtype))
