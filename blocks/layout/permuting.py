"""The dimensions of a tensor in another order."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import DimSpec, PortSpan

from .axis import axis_of
from .box import permute


class Permute(Block):
    """y = x with its dimensions in another order: y's dimension k is x's axes[k], as torch.permute.

    x: as many dimensions as there are axes, of any type. A view where nothing moves; else one kernel: rows are copied
    where the last dimension stays, and tiles are turned where it does not. `DescriptionError` for what is no order, or
    for one in which more than six groups of dimensions move.
    """

    def __init__(self, *axes: int) -> None:
        super().__init__()
        rank = len(axes)
        self.axes = tuple(axis_of("Permute", axis).index for axis in axes)
        order = [axis + rank if axis < 0 else axis for axis in self.axes]
        if not axes or sorted(order) != list(range(rank)):
            raise DescriptionError(f"Permute: an order holds each of {rank} axes once, not {axes}")
        with BlockBuilder(self) as b:
            names = [f"d{k}" for k in range(rank)]
            self.x = b.input("x", names, "T")
            if order == sorted(order):
                self.y = b.view(self.x, names, name="y")
                return
            self.y = b.output("y", [names[k] for k in order], "T")
            starts = [k for k in range(rank) if k == 0 or order.index(k) != order.index(k - 1) + 1]
            ends = [*starts[1:], rank]
            sizes = [PortSpan(self.x, start, end) for start, end in zip(starts, ends, strict=True)]
            permute(b, self.x, self.y, sizes, [starts.index(k) for k in order if k in starts])

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return np.transpose(x, self.axes)


class Transpose(Block):
    """y = x with two of its dimensions swapped, as torch.transpose; the last two unless said.

    x: any number of dimensions that has both, of any type. dim0 and dim1 count both from the front or both from the
    back (`DescriptionError` otherwise). One kernel: rows are copied where the last dimension stays, and tiles are
    turned where it does not.
    """

    def __init__(self, dim0: int = -2, dim1: int = -1) -> None:
        super().__init__()
        low, high = sorted((axis_of("Transpose", dim0).index, axis_of("Transpose", dim1).index))
        if low == high or (low < 0) != (high < 0):
            raise DescriptionError(
                f"Transpose swaps two dimensions, both from the front or both from the back, not {dim0} and {dim1}"
            )
        self.dims = low, high
        with BlockBuilder(self) as b:
            spec, swapped = _swapped(low, high)
            self.x = b.input("x", spec, "T")
            self.y = b.output("y", swapped, "T")
            sizes, order = self._groups()
            permute(b, self.x, self.y, sizes, order)

    def _groups(self) -> tuple[list[Any], list[int]]:
        """The dimensions before, first, between, second and after, and their new order, without those that are none."""
        low, high = self.dims
        ends: list[Any] = [0, low, low + 1, high, high + 1 or None, None]
        here = [low != 0, True, high > low + 1, True, high != -1]
        spans = [PortSpan(self.x, *ends[k : k + 2]) for k in range(5)]
        kept = [k for k in range(5) if here[k]]
        return [spans[k] for k in kept], [kept.index(k) for k in (0, 3, 2, 1, 4) if here[k]]

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return np.swapaxes(x, *self.dims)


def _swapped(low: int, high: int) -> tuple[list[DimSpec], list[DimSpec]]:
    names: list[DimSpec] = [f"d{k}" for k in range(high + 1 if high >= 0 else -low)]
    others = names.copy()
    first, second = (low, high) if low >= 0 else (0, len(names) + high)
    others[first], others[second] = names[second], names[first]
    return ([*names, ...], [*others, ...]) if low >= 0 else ([..., *names], [..., *others])
