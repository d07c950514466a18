"""Shape rules of rich sidecars: how an output's shape follows from the inputs' shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from .errors import DescriptionError, ShapeError


class RuleKind(StrEnum):
    """The kinds of rules."""

    SAME = "same"  # `same`, `same(1)`: the shape of that input
    BROADCAST = "broadcast"  # `broadcast(0,1)`: NumPy's broadcast of those inputs
    DIMS = "dims"  # `[N, 16]`: N is the first dimension of input 0
    SCALAR = "scalar"
    ELEMENT_COUNT = "element_count"  # a scalar whose value is the number of elements of input 0


@dataclass(frozen=True, slots=True)
class ShapeRule:
    """A rule: `inputs` are indices of inputs (same, broadcast), `dims` ints or None for N."""

    kind: RuleKind
    inputs: tuple[int, ...] = ()
    dims: tuple[int | None, ...] = ()

    def shape(self, inputs: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """The shape that the rule gives for these input shapes; `ShapeError` if they do not fit it."""
        needed = max(self.inputs, default=0 if None in self.dims else -1)
        if needed >= len(inputs):
            raise ShapeError(f"the shape rule {self} needs input {needed}; there are {len(inputs)} inputs")
        chosen = [inputs[index] for index in self.inputs]
        if self.kind is RuleKind.SAME:
            return chosen[0]
        if self.kind is RuleKind.BROADCAST:
            return self._broadcast(chosen)
        if None in self.dims and not inputs[0]:
            raise ShapeError(f"the shape rule {self} needs a first dimension, but input 0 is a scalar")
        return tuple(inputs[0][0] if dim is None else dim for dim in self.dims)

    def _broadcast(self, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            raise ShapeError(f"the shape rule {self} does not fit the shapes {shapes}") from None

    def count(self, inputs: Sequence[tuple[int, ...]]) -> int:
        """The number of elements of input 0: the value of an `element_count`."""
        return math.prod(inputs[0]) if inputs else 0

    def __str__(self) -> str:
        if self.kind is RuleKind.DIMS:
            return f"[{', '.join('N' if dim is None else str(dim) for dim in self.dims)}]"
        return self.kind + (f"({', '.join(map(str, self.inputs))})" if self.inputs else "")


_INDICES = re.compile(r"(same|broadcast)\s*\(\s*(\d{1,3}(?:\s*,\s*\d{1,3})*)\s*\)")
_DIMS = re.compile(r"\[\s*((?:N|\d{1,9})(?:\s*,\s*(?:N|\d{1,9}))*)?\s*\]")


def parse_shape_rule(text: str, subject: str = "shape rule") -> ShapeRule:
    """A rule as a sidecar writes it: `same`, `same(1)`, `broadcast(0,1)`, `[N, 16]`, `scalar`, `element_count`."""
    rule = text.strip()
    if rule in (RuleKind.SCALAR, RuleKind.ELEMENT_COUNT):
        return ShapeRule(RuleKind(rule))
    if rule == RuleKind.SAME:
        return ShapeRule(RuleKind.SAME, (0,))
    if match := _INDICES.fullmatch(rule):
        indices = tuple(int(index) for index in match[2].split(","))
        if match[1] == RuleKind.BROADCAST or len(indices) == 1:
            return ShapeRule(RuleKind(match[1]), indices)
    if match := _DIMS.fullmatch(rule):
        dims = [dim.strip() for dim in (match[1] or "").split(",") if dim.strip()]
        return ShapeRule(RuleKind.DIMS, dims=tuple(None if dim == "N" else int(dim) for dim in dims))
    raise DescriptionError(
        f"{subject}: shape_rule is {text!r}; write same, same(1), broadcast(0,1), [N, 16], scalar or element_count"
    )
