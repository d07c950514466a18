"""What norms check."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np

from cudagraph.errors import DescriptionError

FLOATING = ("float16", "bfloat16", "float32", "float64")


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
