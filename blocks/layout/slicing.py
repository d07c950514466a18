"""Parts of a tensor along one dimension: views where they are contiguous, else one kernel each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port
from cudagraph.shape import ceil_div, maximum, minimum

from .axis import Axis, axis_of
from .box import copy_box, product
from .limits import Limited


class Slice(Block):
    """y = x[..., start:stop:step, ...] along one dimension, by NumPy's rules; step >= 1.

    x: any shape and type that has the dimension `axis`. Along axis 0 with step 1, y is a view; else it is one kernel.
    With `length`, y has so many elements from `start` on, which then is hot, and is kept inside of x: `ShapeError` when
    x is shorter than that. `DescriptionError` for a step below 1.
    """

    def __init__(
        self, start: int = 0, stop: int | None = None, step: int = 1, axis: int = -1, *, length: int | None = None
    ) -> None:
        super().__init__()
        self.axis = axis_of("Slice", axis)
        if step < 1:
            raise DescriptionError(f"Slice: a step is at least 1, not {step}")
        if length is not None and (length < 0 or stop is not None):
            raise DescriptionError(f"Slice: give either stop or a length of at least 0, not {stop} and {length}")
        self.bounds, self.length = (start, stop, step), length
        with BlockBuilder(self) as b:
            self.x = b.input("x", self.axis.spec(), "T")
            if length is None:
                self._fixed(b)
            else:
                self._movable(b, length)

    def _fixed(self, b: BlockBuilder) -> None:
        start, stop, step = self.bounds
        total: Any = self.x.shape[self.axis.index]
        first = _inside(start, total)
        count = ceil_div(maximum(0, (total if stop is None else _inside(stop, total)) - first), step)
        inner = self.axis.inner(self.x)
        if self.axis.index == 0 and step == 1:
            self.y = b.view(self.x, self.axis.spec(count), offset=minimum(first, total) * inner, name="y")
            return
        self.y = b.output("y", self.axis.spec(count), "T")
        copy_part(b, self.x, self.y, self.axis, first, count, step)

    def _movable(self, b: BlockBuilder, length: int) -> None:
        start, _, step = self.bounds
        self.start = b.parameter("start", start, "int32", low=0)
        self.y = b.output("y", self.axis.spec(length), "T")
        reach = (length - 1) * step + 1 if length else 0
        total = Limited(self.x.shape[self.axis.index], "the sliced dimension of Slice", reach)
        inner = self.axis.inner(self.x)
        dims = [(self.axis.outer(self.x), total * inner, length * inner), (length, step * inner, inner)]
        if step == 1:
            dims, run = dims[:1], length * inner
        else:
            run = inner
        copy_box(b, self.x, self.y, run, dims, moved=(self.start, total - reach, inner))

    def reference(self, x: np.ndarray, *, start: int | None = None) -> np.ndarray:
        """The same in NumPy."""
        first, stop, step = self.bounds
        if self.length is not None and start is not None:
            reach = (self.length - 1) * step + 1 if self.length else 0
            first = min(start, x.shape[self.axis.index] - reach)
            stop = first + reach
        index: list[Any] = [np.s_[:]] * x.ndim
        index[self.axis.index] = np.s_[first:stop:step]
        return x[tuple(index)]


def _inside(place: int, total: Any) -> Any:
    """Where a place of a slice is, counted from the front, as NumPy has it."""
    return maximum(0, total + place) if place < 0 else minimum(place, total)


def copy_part(b: BlockBuilder, x: Port, y: Port, axis: Axis, first: Any, count: Any, step: int = 1) -> None:
    """y = `count` elements of x along the axis, from `first` on."""
    inner, total = axis.inner(x), x.shape[axis.index]
    outer = (axis.outer(x), total * inner, count * inner)
    start = first * inner
    if step == 1:
        copy_box(b, x, y, count * inner, [outer], x_start=start)
    else:
        copy_box(b, x, y, inner, [outer, (count, step * inner, inner)], x_start=start)


class Split(Block):
    """y0, y1, ... = x in consecutive parts of the given lengths along one dimension, as torch.split with a list.

    x: any shape and type that has the dimension `axis`, whose length is the sum of them, else a `ShapeError`. Along
    axis 0 the parts are views; else each is one kernel. `DescriptionError` for no parts, or a negative one.
    """

    def __init__(self, lengths: Sequence[int], axis: int = -1) -> None:
        super().__init__()
        self.axis = axis_of("Split", axis)
        self.lengths = tuple(lengths)
        if not self.lengths or min(self.lengths) < 0:
            raise DescriptionError(f"Split: the lengths of the parts are at least 0, and one is needed, not {lengths}")
        with BlockBuilder(self) as b:
            self.x = b.input("x", self.axis.spec(sum(self.lengths)), "T")
            self.parts = [
                part(b, self.x, self.axis, f"y{k}", sum(self.lengths[:k]), length)
                for k, length in enumerate(self.lengths)
            ]

    def reference(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """The same in NumPy."""
        return tuple(np.split(x, np.cumsum(self.lengths)[:-1], self.axis.index))


class Chunk(Block):
    """y0, y1, ... = x in n parts along one dimension, all as long as the first but the last, as torch.chunk.

    x: any shape and type that has the dimension `axis`; each part has ceil(length / n), the last one what is left,
    which is a `ShapeError` when that is nothing: torch then gives fewer parts. Along axis 0 they are views; else each
    is one kernel.
    """

    def __init__(self, chunks: int, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis_of("Chunk", axis)
        self.chunks = chunks
        if chunks < 1:
            raise DescriptionError(f"Chunk: there is at least one part, not {chunks}")
        with BlockBuilder(self) as b:
            self.x = b.input("x", self.axis.spec(), "T")
            total: Any = self.x.shape[self.axis.index]
            each = ceil_div(total, chunks)
            rest = Limited(total - (chunks - 1) * each, "the last part of Chunk", 1)
            self.parts = [
                part(b, self.x, self.axis, f"y{k}", k * each, each if k < chunks - 1 else rest) for k in range(chunks)
            ]

    def reference(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """The same in NumPy."""
        each = -(-x.shape[self.axis.index] // self.chunks)
        return tuple(np.split(x, [k * each for k in range(1, self.chunks)], self.axis.index))


def part(b: BlockBuilder, x: Port, axis: Axis, name: str, first: Any, length: Any) -> Port:
    """An output with `length` elements of x along the axis, from `first` on: a view where the axis is 0."""
    if axis.index == 0:
        return b.view(x, axis.spec(length), offset=first * product([axis.inner(x)]), name=name)
    y = b.output(name, axis.spec(length), "T")
    copy_part(b, x, y, axis, first, length)
    return y
