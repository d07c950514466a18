"""One dimension of a tensor of any rank, counted from the front or from the back."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from cudagraph.errors import DescriptionError
from cudagraph.port import Port
from cudagraph.shape import DimSpec, PortSpan


@dataclass(frozen=True)
class Axis:
    """Dimension `index` of tensors that have at least that many, and any number of others."""

    index: int

    def spec(self, length: DimSpec = "n") -> tuple[DimSpec, ...]:
        """A shape with this length at the axis."""
        if self.index >= 0:
            return (*(f"d{i}" for i in range(self.index)), length, ...)
        return (..., length, *(f"e{i}" for i in range(-1 - self.index, 0, -1)))

    def around(self, inserted: DimSpec) -> tuple[tuple[DimSpec, ...], tuple[DimSpec, ...]]:
        """A shape without the axis, and the same with it."""
        whole = self.spec(inserted)
        at = self.index if self.index >= 0 else len(whole) + self.index
        return (*whole[:at], *whole[at + 1 :]), whole

    def outer(self, x: Port) -> PortSpan:
        """The product of the dimensions before the axis."""
        return PortSpan(x, 0, self.index)

    def inner(self, x: Port) -> Any:
        """The product of the dimensions after the axis."""
        return 1 if self.index == -1 else PortSpan(x, self.index + 1, None)


def axis_of(kind: str, axis: Any) -> Axis:
    """The axis of a block of this kind; `DescriptionError` when it is not an integer."""
    try:
        return Axis(operator.index(axis))
    except TypeError:
        raise DescriptionError(f"{kind}: an axis is an integer, not {axis!r}") from None
