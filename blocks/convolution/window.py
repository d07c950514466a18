"""The sliding window of convolutions and poolings: its arguments, and how many of them fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.errors import DescriptionError, ShapeError
from cudagraph.shape import Scope, Size, evaluate_size

FLOATING = ("float16", "bfloat16", "float32", "float64")
SPATIAL = ("D", "H", "W")  # names of the spatial dimensions; a block of rank r has the last r


@dataclass(frozen=True)
class Window:
    """One entry per spatial dimension. `before` and `after` are the padding."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil: bool = False

    @property
    def rank(self) -> int:
        """Number of spatial dimensions."""
        return len(self.kernel)

    @property
    def taps(self) -> int:
        """Positions in the window."""
        return int(np.prod(self.kernel))

    @property
    def pointwise(self) -> bool:
        """Whether every output position sees just its own input position."""
        one = (1,) * self.rank
        return (self.kernel, self.stride) == (one, one) and not any(self.before + self.after)

    def outputs(self, lengths: Iterable[Size]) -> list[Fitting]:
        """How many windows fit along each dimension."""
        return [Fitting(length, self, axis) for axis, length in enumerate(lengths)]

    def define(self) -> dict[str, int]:
        """The macros of `window.cuh`."""
        groups = {
            "KERNEL": (self.kernel, 1),
            "STRIDE": (self.stride, 1),
            "DILATION": (self.dilation, 1),
            "PADDING": (self.before, 0),
        }
        return {
            f"{name}_{letter}": value
            for name, (values, missing) in groups.items()
            for letter, value in zip(SPATIAL, three(values, missing), strict=True)
        }

    def of(self, x: np.ndarray, fill: float = 0.0) -> np.ndarray:
        """Every window of x, for references: [..., out_1, ..., out_r, kernel_1, ..., kernel_r]."""
        counts = [self._count(length, axis) for axis, length in enumerate(x.shape[-self.rank :])]
        widths = [(0, 0)] * (x.ndim - self.rank)
        for axis, (count, length) in enumerate(zip(counts, x.shape[-self.rank :], strict=True)):
            last = (count - 1) * self.stride[axis] + self._span(axis)
            widths.append((self.before[axis], max(0, last - self.before[axis] - length)))
        padded = np.pad(x, widths, constant_values=fill)
        axes = tuple(range(-self.rank, 0))
        windows = np.lib.stride_tricks.sliding_window_view(padded, [self._span(a) for a in range(self.rank)], axis=axes)
        places = (slice(0, (n - 1) * s + 1, s) for n, s in zip(counts, self.stride, strict=True))
        taps = (slice(None, None, d) for d in self.dilation)
        return windows[(..., *places, *taps)]

    def _span(self, axis: int) -> int:
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def _count(self, length: int, axis: int) -> int:
        room = length + self.before[axis] + self.after[axis] - self._span(axis)
        if length < 1 or room < 0:
            raise ShapeError(
                f"a window that spans {self._span(axis)} does not fit into {length} elements "
                f"with padding {self.before[axis]} and {self.after[axis]}"
            )
        stride = self.stride[axis]
        count = (-(-room // stride) if self.ceil else room // stride) + 1
        # The last window has to start inside of the input or of the padding in front of it.
        return count - 1 if self.ceil and (count - 1) * stride >= length + self.before[axis] else count


@dataclass(frozen=True, eq=False)
class Fitting(Size):
    """How many windows fit along one dimension; `ShapeError` when not even one does."""

    length: Size
    window: Window
    axis: int

    def evaluate(self, scope: Scope) -> int:
        """The number of windows."""
        return self.window._count(evaluate_size(self.length, scope), self.axis)

    def __str__(self) -> str:
        return f"windows({self.length})"


def window(
    subject: str,
    rank: int,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    *,
    ceil: bool = False,
) -> Window:
    """A checked window from torch's arguments. padding: int, tuple, "valid", "same" or (in front only) "causal"."""
    kernel = per_dimension(subject, "kernel_size", kernel, rank, 1)
    stride = per_dimension(subject, "stride", stride, rank, 1)
    dilation = per_dimension(subject, "dilation", dilation, rank, 1)
    spare = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    if isinstance(padding, str):
        if padding not in ("valid", "same", "causal"):
            raise DescriptionError(f"{subject}: padding is a number, 'same', 'valid' or 'causal', not {padding!r}")
        if padding == "same" and any(s != 1 for s in stride):
            raise DescriptionError(f"{subject}: padding 'same' wants stride 1, not {stride}")
        before = {"valid": (0,) * rank, "same": tuple(s // 2 for s in spare), "causal": spare}[padding]
        after = tuple(s - b for s, b in zip(spare, before, strict=True)) if padding == "same" else (0,) * rank
    else:
        before = after = per_dimension(subject, "padding", padding, rank, 0)
    return Window(kernel, stride, before, after, dilation, ceil)


def per_dimension(subject: str, name: str, value: Any, rank: int, low: int) -> tuple[int, ...]:
    """An int for every spatial dimension, from one or from a tuple of them."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(values) != rank or not all(isinstance(v, int) and not isinstance(v, bool) and v >= low for v in values):
        raise DescriptionError(f"{subject}: {name} is {rank} numbers, each at least {low}, or one; not {value!r}")
    return values


def three(values: Iterable[Any], missing: Any) -> tuple[Any, ...]:
    """Depth, height and width, with `missing` for the dimensions that a lower rank lacks."""
    given = tuple(values)
    return (missing,) * (3 - len(given)) + given


def check_dtype(subject: str, dtype: str) -> None:
    """`DescriptionError` unless it is a floating-point type."""
    if dtype not in FLOATING:
        raise DescriptionError(f"{subject} computes in {', '.join(FLOATING)}, not {dtype!r}")
