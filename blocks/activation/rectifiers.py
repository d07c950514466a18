"""Activations that are straight lines, or nearly so: ReLU and its kin."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from . import formulas
from .launch import checked_axis, feature_launch, pointwise, tuned, with_axis

_FLOATING = ("float32", "float16", "bfloat16", "float64")


class ReLU(Block):
    """y = max(x, 0), elementwise; NaN stays NaN.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            pointwise(b, self.x, self.y, "relu")

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return formulas.relu(x)


class ReLU6(Block):
    """y = min(max(x, 0), 6), elementwise; NaN stays NaN. x, y: [...] of one floating-point type."""

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            pointwise(b, self.x, self.y, "relu6")

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return formulas.relu6(x)


class LeakyReLU(Block):
    """y = x where x >= 0, else negative_slope * x, elementwise. negative_slope is hot.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.negative_slope = b.parameter("negative_slope", negative_slope)
            self.y = b.output("y", self.x.shape, "T")
            tuned(b, self.x, self.y, "leaky_relu", self.negative_slope)

    @staticmethod
    def reference(x: np.ndarray, *, negative_slope: float = 0.01) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return formulas.leaky_relu(x, negative_slope)


class PReLU(Block):
    """y = x where x > 0, else weight * x, with one weight per channel or one for all (He et al., arXiv 1502.01852).

    x, y: [N, C, ...] with channels along `axis` (1, as in torch), or [..., C] where num_parameters is 1; weight:
    [num_parameters], 0.25 at first, all of `dtype` (float16, bfloat16, float32, float64). `DescriptionError` for
    another type or no parameters, `ShapeError` for another number of channels.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, axis: int = 1, dtype: str = "float32") -> None:
        super().__init__()
        if num_parameters < 1 or dtype not in _FLOATING:
            raise DescriptionError(
                f"a PReLU has at least 1 parameter of {', '.join(_FLOATING)}, not {num_parameters} of {dtype!r}"
            )
        self.axis = checked_axis("PReLU", axis, "axis") if num_parameters > 1 else -1
        with BlockBuilder(self) as b:
            shape = with_axis(self.axis, num_parameters if num_parameters > 1 else None)
            self.x = b.input("x", shape, dtype)
            self.weight = b.weight("weight", (num_parameters,), dtype, init)
            self.y = b.output("y", self.x.shape, dtype)
            launch = feature_launch(self.x, num_parameters, self.axis)
            b.kernel("activation/prelu", x=self.x, weight=self.weight, y=self.y, **launch)

    def reference(self, x: np.ndarray, *, weight: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        if weight.size > 1:
            after = x.ndim - 1 - self.axis if self.axis >= 0 else -1 - self.axis
            weight = weight.reshape(-1, *(1,) * after)
        return np.where(x > 0, x, weight * x)


class ELU(Block):
    """y = x where x > 0, else alpha * (exp(x) - 1), elementwise (Clevert et al., arXiv 1511.07289). alpha is hot.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64). Any other type is a `CompileError`.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.alpha = b.parameter("alpha", alpha)
            self.y = b.output("y", self.x.shape, "T")
            tuned(b, self.x, self.y, "elu", self.alpha)

    @staticmethod
    def reference(x: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return formulas.elu(x, alpha)


class Hardsigmoid(Block):
    """y = min(max(x + 3, 0), 6) / 6, elementwise (Howard et al., arXiv 1905.02244).

    x, y: [...] of one floating-point type.
    """

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            pointwise(b, self.x, self.y, "hardsigmoid")

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return formulas.hardsigmoid(x)


class Hardswish(Block):
    """y = x * min(max(x + 3, 0), 6) / 6, elementwise (Howard et al., arXiv 1905.02244).

    x, y: [...] of one floating-point type.
    """

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            pointwise(b, self.x, self.y, "hardswish")

    @staticmethod
    def reference(x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return formulas.hardswish(x)
