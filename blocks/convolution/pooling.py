"""y = max or mean over a sliding window."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from .launch import lengths, product, rows_of, spatial
from .window import SPATIAL, Window, three, window


class _Pool(Block):
    rank: int

    def _describe(self, pool_window: Window, define: dict[str, int]) -> None:
        subject = f"a {type(self).__name__}"
        if any(2 * pad > kernel for pad, kernel in zip(pool_window.before, pool_window.kernel, strict=True)):
            raise DescriptionError(
                f"{subject} is padded by at most half its window: {pool_window.before} is too much for "
                f"{pool_window.kernel}"
            )
        self.window = pool_window
        after = dict(zip((f"AFTER_{letter}" for letter in SPATIAL), three(pool_window.after, 0), strict=True))
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., *SPATIAL[3 - self.rank :]), "T")
            inner = lengths(self.x, self.rank)
            self.y = b.output("y", (*self.x.shape[: -self.rank], *pool_window.outputs(inner)), "T")
            extents = spatial(self.x, pool_window)
            rows = self.x.size // product(inner) * extents["out_depth"] * extents["out_height"]
            launch = rows_of(extents["out_width"], rows)
            defines = pool_window.define() | after | {"COUNT_PADDING": 1, "DIVISOR": 0} | define
            b.kernel("convolution/pool", define=defines, x=self.x, y=self.y, rows=rows, **launch, **extents)


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        subject = f"a {type(self).__name__}"
        stride = kernel_size if stride is None else stride
        self._describe(window(subject, self.rank, kernel_size, stride, padding, dilation, ceil=ceil_mode), {"MEAN": 0})

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return self.window.of(x, -np.inf).max(axis=tuple(range(-self.rank, 0)))


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        subject = f"a {type(self).__name__}"
        if divisor_override is not None and (not isinstance(divisor_override, int) or divisor_override == 0):
            raise DescriptionError(f"{subject} divides by an integer other than 0, not by {divisor_override!r}")
        stride = kernel_size if stride is None else stride
        self.count_include_pad, self.divisor = count_include_pad, divisor_override
        self._describe(
            window(subject, self.rank, kernel_size, stride, padding, 1, ceil=ceil_mode),
            {"MEAN": 1, "COUNT_PADDING": int(count_include_pad), "DIVISOR": divisor_override or 0},
        )

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        axes = tuple(range(-self.rank, 0))
        total = self.window.of(x).sum(axis=axes)
        if self.divisor is not None:
            return total / self.divisor
        counted = np.ones(x.shape[-self.rank :])
        if not self.count_include_pad:
            return total / self.window.of(counted).sum(axis=axes)
        widths = list(zip(self.window.before, self.window.after, strict=True))
        unpadded = Window(
            self.window.kernel, self.window.stride, (0,) * self.rank, (0,) * self.rank, self.window.dilation, True
        )
        counts = unpadded.of(np.pad(counted, widths, constant_values=1)).sum(axis=axes)
        return total / counts[tuple(slice(0, n) for n in total.shape[-self.rank :])]


class MaxPool1d(_MaxPool):
    """y[t] = max over k of x[t stride + k dilation - padding]; the padding is -inf and NaN wins, as in torch.

    x: [..., W], y: [..., W'] of one floating-point type (float16, bfloat16, float32, float64). stride: `kernel_size`
    unless given. With `ceil_mode` a last window may stick out. `ShapeError` for an input smaller than the window,
    `DescriptionError` for padding of more than half a window. For argument meanings see torch.
    """

    rank = 1


class MaxPool2d(_MaxPool):
    """y[h, w] = max over kh, kw of x[h stride + kh dilation - padding, ...]. x: [..., H, W]. See `MaxPool1d`."""

    rank = 2


class MaxPool3d(_MaxPool):
    """y[d, h, w] = max over kd, kh, kw of x[d stride + kd dilation - pad, ...]. x: [..., D, H, W]. See `MaxPool1d`."""

    rank = 3


class AvgPool1d(_AvgPool):
    """y[t] = mean over k of x[t stride + k - padding], with zeros around x that count unless `count_include_pad=False`.

    x: [..., W], y: [..., W'] of one floating-point type (float16, bfloat16, float32, float64); sums are float32
    (float64 for float64). `divisor_override` replaces the count. Other arguments and errors: see `MaxPool1d`.
    """

    rank = 1


class AvgPool2d(_AvgPool):
    """y[h, w] = mean over kh, kw of x[h stride + kh - padding, ...]. x: [..., H, W]. See `AvgPool1d`."""

    rank = 2


class AvgPool3d(_AvgPool):
    """y[d, h, w] = mean over kd, kh, kw of x[d stride + kd - padding, ...]. x: [..., D, H, W]. See `AvgPool1d`."""

    rank = 3
