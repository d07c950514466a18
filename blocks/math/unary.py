"""Functions of one number, applied to every element."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import vector_threads
from cudagraph.shape import SizeLike


class _Unary(Block):
    kernel: ClassVar[str] = "math/unary"
    define: ClassVar[dict[str, SizeLike]]

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            size = self.y.size
            b.kernel(self.kernel, elements=vector_threads(size), define=self.define, x=self.x, y=self.y, n=size)


class Neg(_Unary):
    """y = -x, elementwise.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    define: ClassVar = {"FUNCTION": "negative"}

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return -x


class Abs(_Unary):
    """y = |x|, elementwise.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    define: ClassVar = {"FUNCTION": "absolute"}

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.abs(x)


class Exp(_Unary):
    """y = exp(x), elementwise.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    define: ClassVar = {"FUNCTION": "exponential"}

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.exp(x)


class Log(_Unary):
    """y = ln(x), elementwise; -inf at 0 and NaN below.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    define: ClassVar = {"FUNCTION": "logarithm"}

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.log(x)


class Sqrt(_Unary):
    """y = sqrt(x), elementwise; NaN below 0.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    define: ClassVar = {"FUNCTION": "root"}

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.sqrt(x)


class Rsqrt(_Unary):
    """y = 1 / sqrt(x), elementwise; inf at 0 and NaN below.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    define: ClassVar = {"FUNCTION": "inverse_root"}

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return 1 / np.sqrt(x)


class Reciprocal(_Unary):
    """y = 1 / x, elementwise.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    define: ClassVar = {"FUNCTION": "inverse"}

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return 1 / x


class Sin(_Unary):
    """y = sin(x), elementwise.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    kernel, define = "math/sine_wave", {"TURNS": 0}

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.sin(x)


class Cos(_Unary):
    """y = cos(x), elementwise.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    kernel, define = "math/sine_wave", {"TURNS": 1}

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.cos(x)


class Square(_Unary):
    """y = x * x, elementwise.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    define: ClassVar = {"FUNCTION": "square"}

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return x * x
