"""y = max or mean over bins of an input of any size, or over all of it."""

from __future__ import annotations

from itertools import product as combinations
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import Size, ceil_div, maximum

from .launch import lengths, product, rows_of
from .window import SPATIAL, three


class _AdaptivePool(Block):
    rank: int
    mean: int

    def __init__(self, output_size: int | tuple[int | None, ...] | None) -> None:
        super().__init__()
        sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * self.rank
        if len(sizes) != self.rank or not all(n is None or (type(n) is int and n > 0) for n in sizes):
            raise DescriptionError(
                f"a {type(self).__name__}: output_size is {self.rank} numbers, each at least 1 or None, or one; "
                f"not {output_size!r}"
            )
        self.sizes = tuple(sizes)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., *SPATIAL[3 - self.rank :]), "T")
            inner = lengths(self.x, self.rank)
            outer = [length if n is None else n for n, length in zip(self.sizes, inner, strict=True)]
            self.y = b.output("y", (*self.x.shape[: -self.rank], *outer), "T")
            if all(n == 1 for n in self.sizes):
                pool_everything(b, self.x, self.y, product(inner), self.mean)
            else:
                self._describe(b, inner, outer)

    def _describe(self, b: BlockBuilder, inner: list[Any], outer: list[Any]) -> None:
        names = ("depth", "height", "width")
        extents: dict[str, Any] = dict(zip(names, three(inner, 1), strict=True))
        extents |= {f"out_{name}": size for name, size in zip(names, three(outer, 1), strict=True)}
        rows = self.x.size // product(inner) * extents["out_depth"] * extents["out_height"]
        launch = rows_of(extents["out_width"], rows)
        define = {"MEAN": self.mean}
        b.kernel("convolution/adaptive_pool", define=define, x=self.x, y=self.y, rows=rows, **launch, **extents)

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        inner = x.shape[-self.rank :]
        outer = [length if n is None else n for n, length in zip(self.sizes, inner, strict=True)]
        y = np.empty((*x.shape[: -self.rank], *outer), x.dtype)
        reduce = np.mean if self.mean else np.max
        for at in combinations(*map(range, outer)):
            bins = (slice(i * n // m, -(-(i + 1) * n // m)) for i, n, m in zip(at, inner, outer, strict=True))
            y[(..., *at)] = reduce(x[(..., *bins)], axis=tuple(range(-self.rank, 0)))
        return y


class AdaptiveAvgPool1d(_AdaptivePool):
    """y[i] = mean of x[floor(i W / n)] ... x[ceil((i + 1) W / n) - 1], for n = `output_size` bins (None: as many as W).

    x: [..., W], y: [..., n] of one floating-point type (float16, bfloat16, float32, float64); sums are float32
    (float64 for float64). Bins overlap where n does not divide W, as in torch. `DescriptionError` for a wrong size.
    """

    rank, mean = 1, 1


class AdaptiveAvgPool2d(_AdaptivePool):
    """y[i, j] = mean of a bin of x: [..., H, W], for `output_size` bins per axis. See `AdaptiveAvgPool1d`."""

    rank, mean = 2, 1


class AdaptiveAvgPool3d(_AdaptivePool):
    """y[i, j, k] = mean of a bin of x: [..., D, H, W], for `output_size` bins per axis. See `AdaptiveAvgPool1d`."""

    rank, mean = 3, 1


class AdaptiveMaxPool1d(_AdaptivePool):
    """y[i] = max of x[floor(i W / n)] ... x[ceil((i + 1) W / n) - 1]; NaN wins. See `AdaptiveAvgPool1d`."""

    rank, mean = 1, 0


class AdaptiveMaxPool2d(_AdaptivePool):
    """y[i, j] = max of a bin of x: [..., H, W], for `output_size` bins per axis. See `AdaptiveMaxPool1d`."""

    rank, mean = 2, 0


class AdaptiveMaxPool3d(_AdaptivePool):
    """y[i, j, k] = max of a bin of x: [..., D, H, W], for `output_size` bins per axis. See `AdaptiveMaxPool1d`."""

    rank, mean = 3, 0


class _GlobalPool(Block):
    mean: int

    def __init__(self, dims: int = 2) -> None:
        super().__init__()
        if dims not in (1, 2, 3):
            raise DescriptionError(f"a {type(self).__name__} reduces the last 1, 2 or 3 dimensions, not {dims!r}")
        self.dims = dims
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., *SPATIAL[3 - dims :]), "T")
            self.y = b.output("y", self.x.shape[:-dims], "T")
            pool_everything(b, self.x, self.y, product(lengths(self.x, dims)), self.mean)

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return (np.mean if self.mean else np.max)(x, axis=tuple(range(-self.dims, 0)))


class GlobalAvgPool(_GlobalPool):
    """y = mean of x over its last `dims` dimensions (2: height and width).

    x: [..., C, H, W], y: [..., C] of one floating-point type (float16, bfloat16, float32, float64); sums are float32
    (float64 for float64). `DescriptionError` for another `dims` than 1, 2 or 3.
    """

    mean = 1


class GlobalMaxPool(_GlobalPool):
    """y = max of x over its last `dims` dimensions (2: height and width); NaN wins. See `GlobalAvgPool`."""

    mean = 0


def pool_everything(b: BlockBuilder, x: Any, y: Any, positions: Size, mean: int) -> None:
    """Reduce the last `positions` elements of x to one, per element of y."""
    planes = x.size // positions
    b.kernel(
        "convolution/global_pool",
        threads=(32, 8),
        grid=maximum(1, ceil_div(planes, 8)),
        define={"MEAN": mean},
        x=x,
        y=y,
        planes=planes,
        positions=positions,
    )
