"""Comparisons, and choices between two tensors. Everything broadcasts."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.shape import broadcast

from .binary import Binary


class _Comparison(Binary):
    dtype = "bool"


class Equal(_Comparison):
    """c = (a == b), elementwise. a and b broadcast to c, as in NumPy.

    a, b: [...] of one type, floating-point or integer; c: bool. NaN equals nothing. `ShapeError` when a and b differ in
    type or do not broadcast.
    """

    operation = "equal"

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return a == b


class Less(_Comparison):
    """c = (a < b), elementwise. a and b broadcast to c, as in NumPy.

    a, b: [...] of one type, floating-point or integer; c: bool. False beside NaN. `ShapeError` when a and b differ in
    type or do not broadcast.
    """

    operation = "less"

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return a < b


class Greater(_Comparison):
    """c = (a > b), elementwise. a and b broadcast to c, as in NumPy.

    a, b: [...] of one type, floating-point or integer; c: bool. False beside NaN. `ShapeError` when a and b differ in
    type or do not broadcast.
    """

    operation = "greater"

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return a > b


class Where(Block):
    """y = a where the condition holds, else b; elementwise. All three broadcast to y, as in NumPy.

    condition: [...] bool; a, b, y: [...] of one type, floating-point or integer. `ShapeError` when a and b differ in
    type or the three do not broadcast.
    """

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.condition = b.input("condition", ("*condition",), "bool")
            self.a = b.input("a", ("*a",), "T")
            self.b = b.input("b", ("*b",), "T")
            self.y = b.output("y", broadcast(self.condition, self.a, self.b), "T")
            b.elementwise("y = condition ? a : b", condition=self.condition, a=self.a, b=self.b, y=self.y)

    @staticmethod
    def reference(condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of a and b."""
        return np.where(np.asarray(condition, bool), a, b)
