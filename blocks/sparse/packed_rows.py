"""Rows side by side: for tables that reach over the whole grid, where each gather then is one line of memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum
from cudagraph.tensor import Scratch
from cudagraph.work import Operand

LAYOUTS = ("auto", "rows", "packed")
TILE = 256
FILL = 132  # thread blocks that give each multiprocessor of a large GPU one
MOST_PIECES = 256  # of a row's moments
LEAST_ROWS = 8  # from which on packing pays
_CACHED = 1 << 12  # cells of 8 rows that a GPU's first cache holds


@dataclass(frozen=True)
class PackedRows:
    """Memory for packed rows, `together` side by side."""

    memory: Scratch
    together: int
    rows: Any
    cells: int
    unused: Scratch  # moments that nobody asks for

    def launch(self, cells: int) -> dict[str, Any]:
        """Grid and span of the kernels that go over the cells of each group of rows."""
        span, pieces = spans(self.groups, cells)
        return {"threads": TILE, "grid": pieces * self.groups, "span": span}

    def pack(self, b: BlockBuilder, x: Operand, moments: int = 0, parts: Operand | None = None) -> None:
        """Pack x, and write its rows' moments where a norm wants them."""
        b.kernel(
            "sparse/geo_pack", define={"MOMENTS": moments}, x=x, packed=self.memory, parts=parts or self.unused,
            rows=self.rows, inputs=self.cells, **self.launch(self.cells),
        )  # fmt: skip

    @property
    def groups(self) -> Any:
        """How many times `together` rows there are."""
        return maximum(1, ceil_div(self.rows, self.together))


def packed_rows(b: BlockBuilder, rows: Any, cells: int, dtype: object) -> PackedRows:
    """Memory for `rows` rows of `cells` numbers."""
    double = str(dtype) == "float64"
    together = 8 if double else 16
    memory = b.scratch((maximum(1, ceil_div(rows, together)), cells, together), dtype)
    return PackedRows(memory, together, rows, cells, b.scratch((1,), "float64" if double else "float32"))


def spans(groups: Any, cells: int) -> tuple[Any, Any]:
    """Tiles of 256 cells for a thread block, so that blocks fill a GPU and pieces of moments stay few; and how many."""
    tiles = ceil_div(cells, TILE)
    span = maximum(maximum(1, groups * tiles // (8 * FILL)), ceil_div(tiles, MOST_PIECES))
    return span, ceil_div(tiles, span)


def is_packed(layout: str, table: np.ndarray) -> bool:
    """Whether a layer of this first table packs its rows."""
    if layout not in LAYOUTS:
        raise DescriptionError(f"layout is one of {', '.join(LAYOUTS)}, not {layout!r}")
    return layout == "packed" or (layout == "auto" and is_scattered(table))


def is_scattered(table: np.ndarray) -> bool:
    """Whether outputs look at inputs that are far from each other, and neighbours not at neighbours."""
    if len(table) < 2:
        return False
    chosen = np.arange(0, len(table) - 1, max(1, len(table) // 1024))  # outputs spread over the grid
    some, following = table[chosen].astype(np.int64), table[chosen + 1]
    side_by_side = np.mean(following - some == 1) > 0.5
    return not side_by_side and bool(np.median(np.ptp(some, axis=1)) > _CACHED)
