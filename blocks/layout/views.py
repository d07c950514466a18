"""The same elements under another shape: no kernel and no copy."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from types import EllipsisType
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import DimSpec, PortSpan, show_shape

from .axis import axis_of
from .limits import Quotient


class Identity(Block):
    """y = x: the same memory. x, y: [...] of any type."""

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.view(self.x, self.x.shape, name="y")

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return x


class Reshape(Block):
    """y = the elements of x under another shape, in the same order and memory.

    x: [...] of any type, y: `shape`, which may hold one -1, found from the others. A shape that begins with `...`
    replaces only the last dimension of x: Reshape((..., 4, -1)) gives [B, T, 4, C / 4] for [B, T, C].
    `DescriptionError` for what is not a shape, `ShapeError` when the plan is made and the number of elements does not
    fit.
    """

    def __init__(self, shape: Iterable[int | EllipsisType]) -> None:
        super().__init__()
        lengths, keeps = _checked_shape(shape)
        self.target = tuple(lengths)
        self.keeps = keeps
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., "n") if keeps else (...,), "T")
            total: Any = self.x.shape[-1] if keeps else self.x.size
            what = f"a shape of {show_shape([*([...] if keeps else []), *lengths])}"
            at = lengths.index(-1) if -1 in lengths else 0
            dims: list[DimSpec] = list(lengths)
            if lengths:
                known = math.prod(lengths[:at] + lengths[at + 1 :])
                dims[at] = Quotient(total, known, what, None if lengths[at] < 0 else lengths[at])
            self.y = b.view(self.x, (..., *dims) if keeps else dims, name="y")

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return x.reshape((*x.shape[:-1], *self.target) if self.keeps else self.target)


def _checked_shape(shape: Iterable[int | EllipsisType]) -> tuple[list[int], bool]:
    try:
        items = list(shape)
        keeps = bool(items) and items[0] is ...
        lengths = [operator.index(item) for item in items[keeps:]]  # type: ignore[arg-type]
    except TypeError:
        raise DescriptionError(
            f"Reshape: a shape is a tuple of integers, `...` in front at most, not {shape!r}"
        ) from None
    if lengths.count(-1) > 1 or any(length < -1 for length in lengths) or (keeps and not lengths):
        raise DescriptionError(f"Reshape: a shape has lengths of at least 0, and one -1 at most, not {lengths}")
    return lengths, keeps


class Flatten(Block):
    """y = x with its dimensions from start_dim to end_dim as one, in the same memory.

    x: at least so many dimensions, of any type; both counts from the front or, when negative, from the back, as in
    torch. `DescriptionError` when start_dim comes after end_dim.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.dims = axis_of("Flatten", start_dim).index, axis_of("Flatten", end_dim).index
        start, end = self.dims
        if (start >= 0) == (end >= 0) and start > end:
            raise DescriptionError(f"Flatten: start_dim {start} comes after end_dim {end}")
        with BlockBuilder(self) as b:
            before, after = _kept(start, end)
            middle = [f"m{i}" for i in range(end - start + 1)] if (start >= 0) == (end >= 0) else []
            if start >= 0 and end >= 0:
                spec: list[DimSpec] = [*before, *middle, ...]
                after = [...]
            elif start < 0:
                spec = [..., *middle, *after]
                before = [...]
            else:
                spec = [*before, ..., *after]
            self.x = b.input("x", spec, "T")
            merged = PortSpan(self.x, start, None if end == -1 else end + 1)
            self.y = b.view(self.x, (*before, merged, *after), name="y")

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        start, end = (index % max(1, x.ndim) for index in self.dims)
        return x.reshape(*x.shape[:start], -1 if x.size else math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :])


def _kept(start: int, end: int) -> tuple[list[DimSpec], list[DimSpec]]:
    """Names for the dimensions before the first and after the last one that are merged, where their number is known."""
    before: list[DimSpec] = [f"d{i}" for i in range(max(0, start))]
    after: list[DimSpec] = [f"e{i}" for i in range(max(0, -1 - end))] if end < 0 else []
    return before, after


class Unsqueeze(Block):
    """y = x with a dimension of length 1 more, at `dim`, in the same memory. x: [...] of any type; as in torch."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = axis_of("Unsqueeze", dim)
        with BlockBuilder(self) as b:
            without, whole = self.dim.around(1)
            self.x = b.input("x", without, "T")
            self.y = b.view(self.x, whole, name="y")

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return np.expand_dims(x, self.dim.index)


class Squeeze(Block):
    """y = x without its dimension `dim`, which has length 1, in the same memory. x: of any type.

    `ShapeError` when that dimension has another length.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = axis_of("Squeeze", dim)
        with BlockBuilder(self) as b:
            without, whole = self.dim.around(1)
            self.x = b.input("x", whole, "T")
            self.y = b.view(self.x, without, name="y")

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return np.squeeze(x, self.dim.index)
