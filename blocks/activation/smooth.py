"""Activations without corners: GELU, SiLU, Mish, Tanh, Sigmoid, Softplus."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from . import formulas
from .launch import pointwise, tuned


class GELU(Block):
    """y = x * (1 + erf(x / sqrt 2)) / 2, elementwise (Hendrycks and Gimpel, arXiv 1606.08415).

    With approximate="tanh", y = 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as in GPT-2. x, y: [...] of one
    floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise DescriptionError(f"GELU: approximate is 'none' or 'tanh', not {approximate!r}")
        self.formula = "gelu" if approximate == "none" else "gelu_tanh"
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            pointwise(b, self.x, self.y, self.formula)

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return formulas.activate(x, self.formula)


class QuickGELU(Block):
    """y = x / (1 + exp(-1.702 x)), elementwise: CLIP's approximation of GELU.

    x, y: [...] of one floating-point type.
    """

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            pointwise(b, self.x, self.y, "quick_gelu")

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return formulas.activate(x, "quick_gelu")


class SiLU(Block):
    """y = x / (1 + exp(-beta x)), elementwise: also known as Swish. beta is hot.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    Elfwing et al., arXiv 1702.03118; Ramachandran et al., arXiv 1710.05941.
    """

    def __init__(self, *, beta: float = 1.0) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.beta = b.parameter("beta", beta)
            self.y = b.output("y", self.x.shape, "T")
            tuned(b, self.x, self.y, "silu", self.beta)

    @staticmethod
    def reference(x: np.ndarray, *, beta: float = 1.0) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        with np.errstate(over="ignore", invalid="ignore"):
            return formulas.silu(x, beta)


class Mish(Block):
    """y = x * tanh(log(1 + exp(x))), elementwise (Misra, arXiv 1908.08681). x, y: [...] of one floating-point type."""

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            pointwise(b, self.x, self.y, "mish")

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return formulas.activate(x, "mish")


class Tanh(Block):
    """y = tanh(x), elementwise. x, y: [...] of one floating-point type (float16, bfloat16, float32, float64)."""

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            pointwise(b, self.x, self.y, "tanh")

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.tanh(x)


class Sigmoid(Block):
    """y = 1 / (1 + exp(-x)), elementwise. x, y: [...] of one floating-point type."""

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            pointwise(b, self.x, self.y, "sigmoid")

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return formulas.activate(x, "sigmoid")


class Softplus(Block):
    """y = log(1 + exp(beta x)) / beta, or x where beta x > threshold, elementwise. beta and threshold are hot.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.beta = b.parameter("beta", beta)
            self.threshold = b.parameter("threshold", threshold)
            self.y = b.output("y", self.x.shape, "T")
            tuned(b, self.x, self.y, "softplus", self.beta, self.threshold)

    @staticmethod
    def reference(x: np.ndarray, *, beta: float = 1.0, threshold: float = 20.0) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return formulas.softplus(x, beta, threshold)
