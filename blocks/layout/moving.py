"""Elements repeated, turned around, or picked along one dimension."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import maximum

from .axis import axis_of
from .box import copy_box, run_launch


class Repeat(Block):
    """y = x, `times` times along one dimension: all of it again and again, or, interleaved, each element by itself.

    x: any shape and type that has the dimension `axis`. As numpy.tile, or numpy.repeat; group queries and heads are the
    latter. One kernel. `DescriptionError` for fewer than one time.
    """

    def __init__(self, times: int, axis: int = -1, *, interleaved: bool = False) -> None:
        super().__init__()
        if times < 1:
            raise DescriptionError(f"{type(self).__name__}: there is at least one copy, not {times}")
        self.times, self.axis, self.interleaved = times, axis_of(type(self).__name__, axis), interleaved
        self._describe("n")

    def _describe(self, length: int | str) -> None:
        axis, times = self.axis, self.times
        with BlockBuilder(self) as b:
            self.x = b.input("x", axis.spec(length), "T")
            count, inner = self.x.shape[axis.index], axis.inner(self.x)
            self.y = b.output("y", axis.spec(count * times), "T")
            outer = (axis.outer(self.x), count * inner, count * inner * times)
            if self.interleaved:
                copy_box(b, self.x, self.y, inner, [outer, (count, inner, inner * times), (times, 0, inner)])
            else:
                copy_box(b, self.x, self.y, count * inner, [outer, (times, 0, count * inner)])

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        if self.interleaved:
            return np.repeat(x, self.times, self.axis.index)
        return np.concatenate([x] * self.times, self.axis.index)


class Expand(Repeat):
    """y = x with a dimension of length 1 repeated `n` times. x: any shape and type that has it; one kernel.

    `ShapeError` when that dimension has another length, `DescriptionError` for n < 1.
    """

    def __init__(self, n: int, axis: int = 0) -> None:
        super().__init__(n, axis)

    def _describe(self, length: int | str) -> None:
        super()._describe(1)


class Roll(Block):
    """y = x moved by `shift` places along one dimension; what leaves at the end comes in at the start, as torch.roll.

    x: any shape and type that has the dimension `axis`. `shift` is hot, and any integer. One kernel.
    """

    def __init__(self, shift: int = 1, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis_of("Roll", axis)
        with BlockBuilder(self) as b:
            self.x = b.input("x", self.axis.spec(), "T")
            self.shift = b.parameter("shift", shift, "int32")
            self.y = b.output("y", self.axis.spec(), "T")
            outer, inner = self.axis.outer(self.x), self.axis.inner(self.x)
            length = self.x.shape[self.axis.index] * inner
            b.kernel(
                "layout/roll",
                **run_launch(outer, length),
                x=self.x,
                shift=self.shift,
                y=self.y,
                lines=outer,
                length=maximum(1, length),
                inner=inner,
            )

    def reference(self, x: np.ndarray, *, shift: int) -> np.ndarray:
        """The same in NumPy."""
        return np.roll(x, shift, self.axis.index)


class Flip(Block):
    """y = x with the order along one dimension, `axis`, reversed. x: any type and shape that has it; one kernel."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis_of("Flip", axis)
        with BlockBuilder(self) as b:
            self.x = b.input("x", self.axis.spec(), "T")
            self.y = b.output("y", self.axis.spec(), "T")
            count, inner = self.x.shape[self.axis.index], self.axis.inner(self.x)
            outer = (self.axis.outer(self.x), count * inner, count * inner)
            copy_box(
                b, self.x, self.y, inner, [outer, (count, 0 - inner, inner)], x_start=maximum(0, count - 1) * inner
            )

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return np.flip(x, self.axis.index)


class Gather(Block):
    """y = x at `index` along one dimension, as torch.index_select: y[..., i, ...] = x[..., index[i], ...].

    x: any shape and scalar type that has the dimension `axis`; index: [N] of int32 or int64. An index outside of
    0..length-1 gives zeros, reads nothing, and is reported on the block. One kernel.
    """

    def __init__(self, axis: int = 0) -> None:
        super().__init__()
        self.axis = axis_of("Gather", axis)
        with BlockBuilder(self) as b:
            self.x = b.input("x", self.axis.spec(), "T")
            self.index = b.input("index", ("N",), "I")
            self.y = b.output("y", self.axis.spec("N"), "T")
            outer, inner = self.axis.outer(self.x), self.axis.inner(self.x)
            b.kernel(
                "layout/gather",
                **run_launch(outer * self.index.size, inner),
                x=self.x,
                index=self.index,
                y=self.y,
                outside=b.fault("outside", "an index is outside of the dimension that Gather picks from"),
                outer=outer,
                length=self.x.shape[self.axis.index],
                count=self.index.size,
                run=inner,
            )

    def reference(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        inside = (index >= 0) & (index < x.shape[self.axis.index])
        y = np.moveaxis(np.take(x, np.where(inside, index, 0), self.axis.index), self.axis.index, 0).copy()
        y[~inside] = 0
        return np.moveaxis(y, 0, self.axis.index)
