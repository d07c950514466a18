"""The launch of a norm over rows, as a block of its own or in front of a product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cudagraph.builder import BlockBuilder
from cudagraph.dtypes import parse_dtype
from cudagraph.parameter import Parameter
from cudagraph.shape import ceil_div, maximum
from cudagraph.work import Operand


def normalize_rows(
    b: BlockBuilder,
    x: Operand,
    y: Operand,
    columns: int,
    eps: Parameter[float],
    dtype: str,
    define: Mapping[str, int],
    *,
    weight: Operand | None = None,
    bias: Operand | None = None,
    residual: Operand | None = None,
    sum: Operand | None = None,
) -> None:
    """Describe y = norm(x), of rows of so many columns; with `residual`, y = norm(x + residual) and `sum` of both.

    `define`: the macros CENTERED and OFFSET of the kernel.
    """
    rows = x.size // columns
    launch = row_launch(rows, columns, dtype)
    there = {"WEIGHT": weight, "BIAS": bias, "RESIDUAL": residual}
    launch["define"] |= {name: int(tensor is not None) for name, tensor in there.items()} | dict(define)
    b.kernel(
        "normalization/row_norm",
        **launch,
        x=x,
        residual=residual or x,
        weight=weight or x,
        bias=bias or x,
        y=y,
        sum=sum or y,
        eps=eps,
        rows=rows,
    )


def row_launch(rows: Any, columns: int, dtype: str) -> dict[str, Any]:
    """Threads, grid and macros of `kernels/normalization/row_norm.cuh`: a warp per row, or up to 32 of them."""
    size = parse_dtype(dtype).itemsize
    if columns <= (256 if size == 8 else 1024):
        lanes = min(32, _power_of_two(-(-columns * size // 16)))
    else:
        lanes = min(1024, _power_of_two(-(-columns // (8 if size == 8 else 16))))
    together = max(1, 128 // lanes)
    return {
        "threads": (lanes, together),
        "grid": maximum(1, ceil_div(rows, together)),
        "define": {"COLUMNS": columns, "LANES": lanes, "THREADS": lanes * together},
    }


def scalar_type(dtype: str) -> str:
    """The type in which a norm of `dtype` computes."""
    return "float64" if dtype == "float64" else "float32"


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
