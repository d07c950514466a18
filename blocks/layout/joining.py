"""Several tensors in one: joined along a dimension, or stacked along a new one."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from .axis import axis_of
from .box import copy_box


class Concatenate(Block):
    """y = x0, x1, ... joined along one dimension, as torch.cat.

    x0, x1, ...: n tensors of one type, with the same lengths but along `axis` (`ShapeError` otherwise). One kernel for
    each. `DescriptionError` for fewer than one.
    """

    def __init__(self, n: int = 2, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis_of("Concatenate", axis)
        _check_count("Concatenate", n)
        with BlockBuilder(self) as b:
            parts = [b.input(f"x{k}", self.axis.spec(f"n{k}"), "T") for k in range(n)]
            lengths: list[Any] = [x.shape[self.axis.index] for x in parts]
            self.y = b.output("y", self.axis.spec(sum(lengths[1:], lengths[0])), "T")
            inner, total = self.axis.inner(parts[0]), self.y.shape[self.axis.index]
            before: Any = 0
            for x, length in zip(parts, lengths, strict=True):
                rows = (self.axis.outer(x), length * inner, total * inner)
                copy_box(b, x, self.y, length * inner, [rows], y_start=before * inner)
                before = length + before

    def reference(self, *parts: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return np.concatenate(parts, self.axis.index)


class Stack(Block):
    """y = x0, x1, ... side by side along a new dimension, as torch.stack.

    x0, x1, ...: n tensors of one shape and type (`ShapeError` otherwise). One kernel for each. `DescriptionError` for
    fewer than one.
    """

    def __init__(self, n: int = 2, axis: int = 0) -> None:
        super().__init__()
        self.axis = axis_of("Stack", axis)
        _check_count("Stack", n)
        with BlockBuilder(self) as b:
            without, whole = self.axis.around(n)
            parts = [b.input(f"x{k}", without, "T") for k in range(n)]
            self.y = b.output("y", whole, "T")
            outer, inner = self.axis.outer(self.y), self.axis.inner(self.y)
            for k, x in enumerate(parts):
                copy_box(b, x, self.y, inner, [(outer, inner, n * inner)], y_start=k * inner)

    def reference(self, *parts: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return np.stack(parts, self.axis.index)


def _check_count(kind: str, n: int) -> None:
    if n < 1:
        raise DescriptionError(f"{kind} joins at least one tensor, not {n}")
