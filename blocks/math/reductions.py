"""Reductions over axes: sums, extremes, spreads."""

from __future__ import annotations

import numpy as np

from cudagraph.builder import BlockBuilder

from .reduction import Dims, Reduction, axes_of, one_axis, stored_type


class Sum(Reduction):
    """y = sum of x, over axes.

    x: [...] of one type, floating-point or integer; y: of `dtype`, or of that type, without
    the axes in `dim` (an axis, several, or None for all), or with length 1 there when `keepdim`. Integers are
    added in 64 bits and wrap around where y has fewer (torch and NumPy: dtype="int64"), others are
    added in float32 (float64 for float64), in an order that only the shape decides.
    Axes may be negative; they make at most two runs of neighbours. `DescriptionError` for other axes.
    """

    def __init__(self, dim: Dims = None, keepdim: bool = False, *, dtype: str | None = None) -> None:
        super().__init__()
        axes = axes_of("a Sum", dim)
        with BlockBuilder(self) as b:
            self._describe(b, "Sum", axes, keepdim, dtype=dtype or "T")

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.asarray(x.sum(dtype=stored_type(self.y, x), **self._over))


class Mean(Reduction):
    """y = sum of x / number of x, over axes; NaN of no elements.

    x: [...] of one floating-point type (float16, bfloat16, float32, float64); y: the same without
    the axes in `dim` (an axis, several, or None for all), or with length 1 there when `keepdim`. Added in float32
    (float64 for float64), in an order that only the shape decides.
    Axes may be negative; they make at most two runs of neighbours. `DescriptionError` for other axes; any other
    type is a `CompileError`.
    """

    def __init__(self, dim: Dims = None, keepdim: bool = False) -> None:
        super().__init__()
        axes = axes_of("a Mean", dim)
        with BlockBuilder(self) as b:
            self._describe(b, "Mean", axes, keepdim)

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.asarray(x.mean(**self._over))


class Prod(Reduction):
    """y = product of x, over axes.

    x: [...] of one type, floating-point or integer; y: of `dtype`, or of that type, without
    the axes in `dim` (an axis, several, or None for all), or with length 1 there when `keepdim`. Integers are
    multiplied in 64 bits and wrap around where y has fewer (torch and NumPy: dtype="int64"), others are
    multiplied in float32 (float64 for float64), in an order that only the shape decides.
    Axes may be negative; they make at most two runs of neighbours. `DescriptionError` for other axes.
    """

    def __init__(self, dim: Dims = None, keepdim: bool = False, *, dtype: str | None = None) -> None:
        super().__init__()
        axes = axes_of("a Prod", dim)
        with BlockBuilder(self) as b:
            self._describe(b, "Product", axes, keepdim, dtype=dtype or "T")

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.asarray(x.prod(dtype=stored_type(self.y, x), **self._over))


class Max(Reduction):
    """y = max of x, over axes; NaN where any is NaN.

    x: [...] of one type, floating-point or integer; y: the same without
    the axes in `dim` (an axis, several, or None for all), or with length 1 there when `keepdim`.
    Axes may be negative; they make at most two runs of neighbours. `DescriptionError` for other axes; `ShapeError`
    for no elements.
    """

    def __init__(self, dim: Dims = None, keepdim: bool = False) -> None:
        super().__init__()
        axes = axes_of("a Max", dim)
        with BlockBuilder(self) as b:
            self._describe(b, "Maximum", axes, keepdim, empty=False)

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.asarray(x.max(**self._over))


class Min(Reduction):
    """y = min of x, over axes; NaN where any is NaN.

    x: [...] of one type, floating-point or integer; y: the same without
    the axes in `dim` (an axis, several, or None for all), or with length 1 there when `keepdim`.
    Axes may be negative; they make at most two runs of neighbours. `DescriptionError` for other axes; `ShapeError`
    for no elements.
    """

    def __init__(self, dim: Dims = None, keepdim: bool = False) -> None:
        super().__init__()
        axes = axes_of("a Min", dim)
        with BlockBuilder(self) as b:
            self._describe(b, "Minimum", axes, keepdim, empty=False)

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.asarray(x.min(**self._over))


class Var(Reduction):
    """y = sum of (x - mean)^2 / (n - correction), over axes of n elements.

    x: [...] of one floating-point type (float16, bfloat16, float32, float64); y: the same without
    the axes in `dim` (an axis, several, or None for all), or with length 1 there when `keepdim`. correction: hot
    float32, 1 (unbiased) as in torch, 0 for the variance of a population; NaN or inf where n is not above it. Computed
    in float32 (float64 for float64) from mean and squares together, without cancellation. Axes may be negative; they
    make at most two runs of neighbours. `DescriptionError` for other axes; any other type is a `CompileError`.
    """

    def __init__(self, dim: Dims = None, correction: float = 1.0, keepdim: bool = False) -> None:
        super().__init__()
        axes = axes_of("a Var", dim)
        with BlockBuilder(self) as b:
            self.correction = b.parameter("correction", correction, low=0.0)
            self._describe(b, "Variance", axes, keepdim, correction=self.correction)

    def reference(self, x: np.ndarray, *, correction: float) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return _variance(x, correction, **self._over)


class Std(Reduction):
    """y = sqrt(sum of (x - mean)^2 / (n - correction)), over axes of n elements.

    x: [...] of one floating-point type (float16, bfloat16, float32, float64); y: the same without
    the axes in `dim` (an axis, several, or None for all), or with length 1 there when `keepdim`. correction: hot
    float32, 1 (unbiased) as in torch, 0 for the variance of a population; NaN or inf where n is not above it. Computed
    in float32 (float64 for float64) from mean and squares together, without cancellation. Axes may be negative; they
    make at most two runs of neighbours. `DescriptionError` for other axes; any other type is a `CompileError`.
    """

    def __init__(self, dim: Dims = None, correction: float = 1.0, keepdim: bool = False) -> None:
        super().__init__()
        axes = axes_of("a Std", dim)
        with BlockBuilder(self) as b:
            self.correction = b.parameter("correction", correction, low=0.0)
            self._describe(b, "Deviation", axes, keepdim, correction=self.correction)

    def reference(self, x: np.ndarray, *, correction: float) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return np.sqrt(_variance(x, correction, **self._over))


class ArgMax(Reduction):
    """y = index of the largest x along an axis; of the first one among equals, and of the first NaN if there is any.

    x: [...] of one type, floating-point or integer; y: int64, the same without `dim` (an axis, which may be negative,
    or None for an index into all elements), or with length 1 there when `keepdim`. `DescriptionError` for other axes;
    `ShapeError` for no elements.
    """

    def __init__(self, dim: int | None = None, keepdim: bool = False) -> None:
        super().__init__()
        axes = axes_of("an ArgMax", dim if dim is None else one_axis("an ArgMax", dim))
        with BlockBuilder(self) as b:
            self._describe(b, "ArgMaximum", axes, keepdim, dtype="int64", empty=False)

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        axis = None if self._over["axis"] is None else self._over["axis"][0]
        return np.asarray(np.argmax(x, axis=axis, keepdims=self._over["keepdims"]))


class ArgMin(Reduction):
    """y = index of the smallest x along an axis; of the first one among equals, and of the first NaN if there is any.

    x: [...] of one type, floating-point or integer; y: int64, the same without `dim` (an axis, which may be negative,
    or None for an index into all elements), or with length 1 there when `keepdim`. `DescriptionError` for other axes;
    `ShapeError` for no elements.
    """

    def __init__(self, dim: int | None = None, keepdim: bool = False) -> None:
        super().__init__()
        axes = axes_of("an ArgMin", dim if dim is None else one_axis("an ArgMin", dim))
        with BlockBuilder(self) as b:
            self._describe(b, "ArgMinimum", axes, keepdim, dtype="int64", empty=False)

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        axis = None if self._over["axis"] is None else self._over["axis"][0]
        return np.asarray(np.argmin(x, axis=axis, keepdims=self._over["keepdims"]))


def _variance(x: np.ndarray, correction: float, axis: tuple[int, ...] | None, keepdims: bool) -> np.ndarray:
    squares = np.square(x - x.mean(axis=axis, keepdims=True)).sum(axis=axis, keepdims=keepdims)
    number = x.size // max(1, squares.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(squares / np.maximum(number - correction, 0.0))
