"""y = x + table[offset + t]: learned and sinusoidal positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.parameter import Parameter
from cudagraph.port import Port
from cudagraph.shape import maximum
from cudagraph.work import Operand

from ..layout.limits import Limited
from .table import check_table, normal, rows_launch


class LearnedPositionalEmbedding(Block):
    """y = x + weight[offset + t] for token t.

    x, y: [..., T, C], weight: [N, C], all of `dtype` (float16, bfloat16, float32, float64). `offset` is hot: 2 in OPT
    and RoBERTa, the number of tokens so far when decoding. A position outside of the table adds nothing and is reported
    on the block. Weights start normal with deviation 0.02, from `seed`. `ShapeError` for T > N.
    """

    def __init__(
        self, max_len: int, dim: int, *, offset: int = 0, dtype: str = "float32", seed: int | None = None
    ) -> None:
        super().__init__()
        check_table("LearnedPositionalEmbedding", max_len, dim, dtype)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., "T", dim), dtype)
            self.weight = b.weight("weight", (max_len, dim), dtype, normal(seed, 0.02))
            self.offset = b.parameter("offset", offset, "int32", low=0)
            self.y = b.output("y", self.x.shape, dtype)
            _add_positions(b, self.x, self.weight, self.offset, self.y, max_len)

    @staticmethod
    def reference(x: np.ndarray, *, weight: np.ndarray, offset: int = 0) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        return _added(x, weight, offset)


class PositionalEncoding(Block):
    """y = x + table[offset + t], table[p, 2i] = sin(p / base^(2i / C)), table[p, 2i + 1] = cos(p / base^(2i / C)).

    x, y: [..., T, C] of one floating-point type (float16, bfloat16, float32, float64). halves=True has all sines first
    and then all cosines, as in tensor2tensor and Marian. `offset` is hot, and so is the float32 `table`: assign
    `sinusoidal_table(...)` to `table.value`. A position from max_len on adds nothing and is reported on the block.

    Vaswani et al. 2017, 1706.03762. `ShapeError` for T > max_len, `DescriptionError` for no columns or rows.
    """

    def __init__(
        self, dim: int, max_len: int = 5000, *, base: float = 10000.0, halves: bool = False, offset: int = 0
    ) -> None:
        super().__init__()
        check_table("PositionalEncoding", max_len, dim, "float32")
        table = sinusoidal_table(max_len, dim, base, halves=halves)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., "T", dim), "T")
            self.table = b.state("table", table.shape, "float32", table, persistent=False)
            self.offset = b.parameter("offset", offset, "int32", low=0)
            self.y = b.output("y", self.x.shape, "T")
            _add_positions(b, self.x, self.table, self.offset, self.y, max_len)

    def reference(self, x: np.ndarray, *, offset: int = 0) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return _added(x, self.table.value.astype(x.dtype), offset)


def sinusoidal_table(length: int, dim: int, base: float = 10000.0, *, halves: bool = False) -> np.ndarray:
    """Sines and cosines of positions, float32 [length, dim], computed in float64; side by side, or in `halves`."""
    if length < 1 or dim < 1:
        raise DescriptionError(f"sinusoidal positions have at least one row and column, not {length} x {dim}")
    angles = np.arange(length)[:, None] * float(base) ** (-np.arange(0, dim, 2) / dim)
    sines, cosines = np.sin(angles), np.cos(angles)[:, : dim // 2]
    if halves:
        return np.concatenate((sines, cosines), 1).astype(np.float32)
    table = np.empty((length, dim), np.float32)
    table[:, 0::2], table[:, 1::2] = sines, cosines
    return table


def _add_positions(b: BlockBuilder, x: Port, table: Operand, offset: Parameter[int], y: Port, length: int) -> None:
    columns: Any = table.shape[1]
    tokens = Limited(x.shape[-2], f"the number of tokens of {x.block.path}", 0, length)
    b.kernel(
        "embedding/add_positions",
        **rows_launch(x.rows, columns),
        x=x,
        table=table,
        offset=offset,
        y=y,
        outside=b.fault("outside", f"a position is outside of 0..{length - 1}"),
        rows=x.rows,
        tokens=maximum(1, tokens),
        length=length,
        columns=columns,
    )


def _added(x: np.ndarray, table: np.ndarray, offset: int) -> np.ndarray:
    rows = table[offset : offset + x.shape[-2]]
    missing = np.zeros((x.shape[-2] - len(rows), x.shape[-1]), table.dtype)
    return x + np.concatenate((rows, missing))
