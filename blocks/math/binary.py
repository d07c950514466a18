"""Arithmetic on two tensors that broadcast."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import Iteration, vector_threads
from cudagraph.shape import broadcast, equal

from .broadcasting import launch_rows


class Binary(Block):
    """c = operation(a, b), elementwise. What arithmetic and comparisons have in common."""

    operation: ClassVar[str]
    dtype: ClassVar[str] = "T"

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.a = b.input("a", ("*a",), "T")
            self.b = b.input("b", ("*b",), "T")
            self.c = b.output("c", broadcast(self.a, self.b), self.dtype)
            size = self.c.size
            tensors: dict[str, Any] = {"a": self.a, "b": self.b, "c": self.c}
            iteration = Iteration(self.path, self.c, {"a": self.a, "b": self.b})
            define = {"OPERATION": self.operation}
            with b.where(iteration.is_plain):
                b.kernel("math/binary", elements=vector_threads(size), define=define, n=size, **tensors)
            with b.where(equal(iteration.is_plain, 0)):
                launch_rows(b, "math/binary_broadcast", iteration, ("a", "b"), define, **tensors)


class Add(Binary):
    """c = a + b, elementwise. a and b broadcast to c, as in NumPy.

    a, b, c: [...] of one type, floating-point or integer (which wraps around). `ShapeError` when a and b differ in type
    or do not broadcast.
    """

    operation = "sum"

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of a and b."""
        return a + b


class Sub(Binary):
    """c = a - b, elementwise. a and b broadcast to c, as in NumPy.

    a, b, c: [...] of one type, floating-point or integer (which wraps around). `ShapeError` when a and b differ in type
    or do not broadcast.
    """

    operation = "difference"

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of a and b."""
        return a - b


class Mul(Binary):
    """c = a * b, elementwise. a and b broadcast to c, as in NumPy.

    a, b, c: [...] of one type, floating-point or integer (which wraps around). `ShapeError` when a and b differ in type
    or do not broadcast.
    """

    operation = "product"

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of a and b."""
        return a * b


class Div(Binary):
    """c = a / b, elementwise. a and b broadcast to c, as in NumPy.

    a, b, c: [...] of one floating-point type (float16, bfloat16, float32, float64). `ShapeError` when a and b differ in
    type or do not broadcast; any other type is a `CompileError`.
    """

    operation = "quotient"

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of a and b."""
        return a / b


class Pow(Binary):
    """c = a ** b, elementwise. a and b broadcast to c, as in NumPy.

    a, b, c: [...] of one floating-point type (float16, bfloat16, float32, float64). Fractional powers of negative
    numbers are NaN. `ShapeError` when a and b differ in type or do not broadcast; any other type is a `CompileError`.
    """

    operation = "power"

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of a and b."""
        return np.power(a, b)


class Maximum(Binary):
    """c = max(a, b), elementwise; NaN where either is NaN. a and b broadcast to c, as in NumPy.

    a, b, c: [...] of one type, floating-point or integer. `ShapeError` when a and b differ in type or do not broadcast.
    """

    operation = "maximum"

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of a and b."""
        return np.maximum(a, b)


class Minimum(Binary):
    """c = min(a, b), elementwise; NaN where either is NaN. a and b broadcast to c, as in NumPy.

    a, b, c: [...] of one type, floating-point or integer. `ShapeError` when a and b differ in type or do not broadcast.
    """

    operation = "minimum"

    @staticmethod
    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of a and b."""
        return np.minimum(a, b)
