"""What the norms over rows share: their launch and their checks."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np

from cudagraph.dtypes import parse_dtype
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum

FLOATING = ("float16", "bfloat16", "float32", "float64")


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


def checked_shape(block: str, normalized_shape: int | Iterable[int]) -> tuple[int, ...]:
    """The last dimensions, which are normalised together; `DescriptionError` when there are none, or empty ones."""
    one = isinstance(normalized_shape, (int, np.integer))
    shape = (int(normalized_shape),) if one else tuple(normalized_shape)
    if not shape or not all(isinstance(length, int) and length >= 1 for length in shape) or prod(shape) > 1 << 30:
        raise DescriptionError(f"{block}: normalized_shape is lengths of at least 1, not {normalized_shape!r}")
    return shape


def check_dtype(block: str, dtype: str) -> None:
    """`DescriptionError` for what norms do not compute in."""
    if dtype not in FLOATING:
        raise DescriptionError(f"{block} computes in {', '.join(FLOATING)}, not {dtype!r}")


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
