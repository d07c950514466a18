"""What the reductions have in common: which axes, which shapes, and which kernels for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError, ShapeError
from cudagraph.iteration import launch_of
from cudagraph.parameter import Parameter
from cudagraph.port import Port
from cudagraph.shape import (
    Broadcast,
    Concrete,
    DimSpec,
    PortSpan,
    Scope,
    Size,
    Unknowns,
    ceil_div,
    equal,
    maximum,
    minimum,
    show_shape,
)
from cudagraph.tensor import Scratch

Dims = int | Sequence[int] | None
_PART = 24  # bytes of a partial result
_FEW = 16  # up to here a thread walks along a whole row by itself


@dataclass(frozen=True, eq=False)
class _NotEmpty(Size):
    """A size, after a look at how many elements become one: there must be some."""

    size: Size
    count: Size
    port: Port
    what: str

    def evaluate(self, scope: Scope) -> int:
        """The size; `ShapeError` where there is nothing to reduce."""
        if self.count.evaluate(scope) == 0:
            shape = show_shape(scope.shape(self.port))
            raise ShapeError(f"the {self.what} of no elements is not defined, and {self.port.path} is {shape}")
        return self.size.evaluate(scope)

    def __str__(self) -> str:
        return str(self.size)


@dataclass(frozen=True, eq=False)
class _AllOnes(Broadcast):
    """As many dimensions of length 1 as a port has."""

    def dims(self, unknowns: Unknowns, scope: Scope) -> Concrete:
        """The dimensions, or `Unresolved`."""
        return (1,) * len(super().dims(unknowns, scope))


@dataclass(frozen=True)
class Axes:
    """The axes of a reduction as slices of neighbours, at most two; None: all of them."""

    dims: tuple[int, ...] | None
    runs: tuple[tuple[int | None, int | None], ...]

    def written(self) -> tuple[DimSpec, ...]:
        """The shape of what is reduced."""
        before, after = self._ends()
        return (*(f"before{i}" for i in range(before)), ..., *(f"after{i}" for i in range(-after, 0, -1)))

    def _ends(self) -> tuple[int, int]:
        dims = self.dims or ()
        return max([dim + 1 for dim in dims if dim >= 0], default=0), min([dim for dim in dims if dim < 0], default=0)

    def left(self, x: Port, keepdim: bool) -> tuple[DimSpec, ...]:
        """The shape of the result."""
        if self.dims is None:
            return (_AllOnes((x,)),) if keepdim else ()
        written = list(self.written())
        dims = {dim % len(written) for dim in self.dims}
        kept: list[DimSpec | None] = [(1 if keepdim else None) if i in dims else item for i, item in enumerate(written)]
        return tuple(item for item in kept if item is not None)

    def spans(self, x: Port) -> tuple[Size, Size | int, Size | int, Size, Size | int]:
        """The port as [outer, repeats, middle, columns, inner]; repeats and columns are reduced."""
        first, last = self.runs[0], self.runs[-1]
        two = first is not last
        outer = PortSpan(x, None, first[0] or 0)
        repeats = PortSpan(x, *first) if two else 1
        middle = PortSpan(x, first[1], last[0]) if two else 1
        inner = 1 if last[1] is None else PortSpan(x, last[1], None)
        return outer, repeats, middle, PortSpan(x, *last), inner


def axes_of(subject: str, dim: Dims) -> Axes:
    """The axes, checked: integers, each once, in at most two runs of neighbours."""
    if dim is None:
        return Axes(None, ((None, None),))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if not dims or any(isinstance(one, bool) or not isinstance(one, (int, np.integer)) for one in dims):
        raise DescriptionError(f"{subject} reduces one or more axes, as integers, not {dim!r}")
    if len(set(dims)) < len(dims):
        raise DescriptionError(f"{subject} reduces each axis once, not {dim!r}")
    runs = _runs([one for one in dims if one >= 0]) + _runs([one for one in dims if one < 0])
    if len(runs) > 2:
        raise DescriptionError(f"{subject} reduces at most two runs of neighbouring axes, not {dim!r}; use two blocks")
    return Axes(dims, tuple(runs))


def one_axis(subject: str, dim: object) -> int:
    """An axis; `DescriptionError` for anything else."""
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)):
        raise DescriptionError(f"{subject} takes one axis, or None for all elements, not {dim!r}")
    return int(dim)


def stored_type(y: Port, x: np.ndarray) -> np.dtype[Any]:
    """What a reference adds an array in: in its own precision, but integers in the type of the result."""
    return x.dtype if x.dtype.kind not in "iub" or isinstance(y.dtype, str) else y.dtype


def _runs(dims: Sequence[int]) -> list[tuple[int | None, int | None]]:
    """Neighbours as slices: [0, 1, 3] gives 0:2 and 3:4, [-1] gives -1:None."""
    runs: list[list[int]] = []
    for one in sorted(dims):
        if runs and runs[-1][-1] == one - 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return [(run[0], run[-1] + 1 if run[-1] != -1 else None) for run in runs]


class Reduction(Block):
    """y = reduction of x over axes. What the reductions have in common."""

    x: Port
    y: Port

    def _describe(
        self,
        b: BlockBuilder,
        name: str,
        axes: Axes,
        keepdim: bool,
        *,
        dtype: str = "T",
        empty: bool = True,
        correction: Parameter[float] | float = 0.0,
    ) -> None:
        """Ports and kernels. `empty`: the reduction of no elements is defined."""
        self._over: dict[str, Any] = {"axis": axes.dims, "keepdims": keepdim}
        self.x = b.input("x", axes.written(), "T")
        self.y = b.output("y", axes.left(self.x, keepdim), dtype)
        outer, repeats, middle, columns, inner = axes.spans(self.x)
        count = columns * repeats
        if not empty:
            columns = _NotEmpty(columns, count, self.x, type(self).__name__)
        sizes = {"repeats": repeats, "middle": maximum(1, middle), "columns": columns, "correction": correction}
        plan = Reduce(b, name, sizes, self.x, self.y.size, outer * middle, count, inner)
        with b.where(plan.splits <= 1):
            plan.reduce(self.y, 1)
        parts = plan.parts()
        with b.where(plan.splits > 1):
            plan.reduce(parts, plan.splits)
            plan.join(parts, self.y)


class Reduce:
    """The kernels of one reduction. Where outputs are few, each is split in parts, and a second kernel joins them."""

    def __init__(
        self,
        b: BlockBuilder,
        name: str,
        sizes: dict[str, Any],
        x: Port,
        outputs: Size,
        groups: Size,
        count: Size,
        inner: Size | int,
        most: int = 2048,
    ) -> None:
        self._b, self._name, self._sizes, self._x, self._outputs = b, name, sizes, x, outputs
        self._groups, self._count, self._inner = groups, count, inner
        self.in_columns = maximum(inner > 1, count <= _FEW) if isinstance(inner, Size) else count <= _FEW
        outputs = maximum(1, outputs)
        columns = minimum(minimum(count // 64, most), ceil_div(1 << 18, outputs))
        rows = minimum(count // 16384, ceil_div(528, outputs))
        self.splits = maximum(1, self.in_columns * columns + (1 - self.in_columns) * rows)

    def parts(self) -> Scratch:
        """Memory for the parts, where there are any."""
        size = self._outputs * self.splits * (self.splits > 1)
        return self._b.scratch((maximum(1, size * _PART),), "uint8")

    def reduce(self, y: Any, splits: Size | int) -> None:
        """Read x and write results, or parts of them."""
        bound = {"x": self._x, "y": y, "splits": splits, **self._sizes}
        define = {"REDUCTION": self._name, "SPLIT": int(splits != 1)}
        with self._b.where(self.in_columns):
            launch = launch_of(self._groups * splits, self._inner, 4)
            groups, inner = self._groups, self._inner
            self._b.kernel("math/reduce_columns", **launch, define=define, groups=groups, inner=inner, **bound)
        with self._b.where(equal(self.in_columns, 0)):
            lanes = 32 * minimum(16, maximum(1, ceil_div(ceil_div(self._count, splits), 512)))
            height = maximum(1, 256 // lanes)
            grid, threads = (maximum(1, ceil_div(self._groups, height)), splits), (lanes, height)
            outputs = self._groups
            self._b.kernel("math/reduce_rows", grid=grid, threads=threads, define=define, outputs=outputs, **bound)

    def join(self, parts: Scratch, y: Port) -> None:
        """Write results from parts."""
        self._b.kernel(
            "math/reduce_parts",
            threads=(32, 8),
            grid=maximum(1, ceil_div(y.size, 8)),
            define={"REDUCTION": self._name},
            x=self._x,
            parts=parts,
            y=y,
            outputs=y.size,
            count=self._count,
            splits=self.splits,
            correction=self._sizes["correction"],
        )
