"""Sizes that have to lie in a range when a plan is made."""

from __future__ import annotations

from dataclasses import dataclass

from cudagraph.errors import ShapeError
from cudagraph.shape import Scope, Size, evaluate_size


@dataclass(frozen=True, eq=False)
class Limited(Size):
    """A size that is at least `low` and at most `high`, else a `ShapeError` that says `what` it is."""

    value: int | Size
    what: str
    low: int | Size = 0
    high: int | Size | None = None

    def evaluate(self, scope: Scope) -> int:
        """The size."""
        value, low = evaluate_size(self.value, scope), evaluate_size(self.low, scope)
        if value < low:
            raise ShapeError(f"{self.what} is {value}; it must be at least {low}")
        if self.high is not None and value > (high := evaluate_size(self.high, scope)):
            raise ShapeError(f"{self.what} is {value}; it must be at most {high}")
        return value

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, eq=False)
class Quotient(Size):
    """A number of elements divided by others, which has to come out even (and as `wanted`), else a `ShapeError`."""

    total: int | Size
    known: int | Size
    what: str
    wanted: int | None = None

    def evaluate(self, scope: Scope) -> int:
        """The quotient."""
        total, known = evaluate_size(self.total, scope), evaluate_size(self.known, scope)
        if known == 0 and total == 0:
            return self.wanted or 0
        if known == 0 or total % known or self.wanted not in (None, total // known):
            raise ShapeError(f"{self.what} does not hold {total} elements")
        return total // known

    def __str__(self) -> str:
        return f"({self.total} / {self.known})"
