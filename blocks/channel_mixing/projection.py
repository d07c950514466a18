"""A linear map from tensors of one shape to tensors of another."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from .linear import Linear
from .products import inside, next_seed


class Projection(Block):
    """y = reshape(linear(flatten(x))): a linear layer between any two shapes.

    x: [..., *in_shape], y: [..., *out_shape] of `dtype` (float16, bfloat16, float32, float64). The trailing dimensions
    are flattened for a `Linear` called "linear"; with `rank`, for two of them, "down" (without bias) and "up", through
    that many features. Only the linear layers are work. `DescriptionError` for shapes that are not of at least 1, and
    as for Linear.
    """

    def __init__(
        self,
        in_shape: int | Iterable[int],
        out_shape: int | Iterable[int],
        bias: bool = True,
        *,
        rank: int | None = None,
        activation: str = "none",
        dtype: str = "float32",
        library: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.in_shape, self.out_shape = _shape(in_shape), _shape(out_shape)
        features, out = math.prod(self.in_shape), math.prod(self.out_shape)
        shared: dict[str, Any] = {"dtype": dtype, "library": library}
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., *self.in_shape), dtype)
            rows = b.view(self.x, (..., features))
            if rank is None:
                self.linear = Linear(features, out, bias, activation=activation, seed=seed, **shared)
                result = b.apply(self.linear, rows)
            else:
                self.down = Linear(features, rank, False, seed=seed, **shared)
                self.up = Linear(rank, out, bias, activation=activation, seed=next_seed(seed), **shared)
                result = b.apply(self.up, b.apply(self.down, rows))
            self.y = b.view(result, (..., *self.out_shape), name="y")

    def reference(self, x: np.ndarray, **values: Any) -> np.ndarray:
        """The same in NumPy, in the precision of the input; `values` by path."""
        lead = x.shape[: x.ndim - len(self.in_shape)]
        rows = x.reshape(*lead, math.prod(self.in_shape))
        for name in ("linear", "down", "up"):
            given = inside(values, name)
            rows = getattr(self, name).reference(rows, **given) if given else rows
        return rows.reshape(*lead, *self.out_shape)


def _shape(shape: int | Iterable[int]) -> tuple[int, ...]:
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    if not lengths or any(length < 1 for length in lengths):
        raise DescriptionError(f"a Projection's shapes have dimensions of at least 1, not {lengths}")
    return lengths
