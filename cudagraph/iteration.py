"""How many threads move the elements of tensors, and how they walk over tensors that broadcast: in rows and columns.

Neighbouring dimensions in which every operand is either whole or stretched become one. The last of them are the
columns, the others the rows: a thread finds its row with few divisions, and with none in the commonest shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ShapeError
from .shape import Concrete, Scope, Size, SizeLike, ceil_div, evaluate_size, maximum, minimum, show_shape

OUTER = 5
"""How many dimensions the rows may have after neighbours have become one."""

THREADS = 256
_MAX_GRID = 65535
_ENOUGH_THREADS = 1 << 16

Shaped = Any  # a port, another tensor, or a tuple of sizes


@dataclass(frozen=True, slots=True)
class Walk:
    """An iteration over concrete shapes. `extents` and `strides` begin beside the columns, `steps` are 0 or 1."""

    columns: int
    extents: tuple[int, ...]
    steps: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return math.prod(self.extents)


@dataclass(frozen=True, eq=False)
class WalkSize(Size):
    """A number of an iteration, as an expression."""

    iteration: Iteration
    label: str
    pick: Callable[[Iteration, Scope], int]

    def evaluate(self, scope: Scope) -> int:
        """The number for the shapes at hand; `ShapeError` when they do not broadcast."""
        return self.pick(self.iteration, scope)

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, eq=False)
class Lanes(Size):
    """The smallest power of two that is not below a size, from 1 to `most`."""

    size: SizeLike
    most: int

    def evaluate(self, scope: Scope) -> int:
        """The power of two."""
        return min(self.most, 1 << max(0, evaluate_size(self.size, scope) - 1).bit_length())

    def __str__(self) -> str:
        return f"lanes({self.size})"


def elements_per_thread(size: int | Size) -> int | Size:
    """How many of so many elements a thread moves: 16, but fewer where the threads would not fill a GPU."""
    return maximum(4, minimum(16, size // _ENOUGH_THREADS))


def vector_threads(size: int | Size) -> int | Size:
    """How many threads to launch for kernels that move vectors: `elements=` of a kernel with `vectors.cuh`."""
    return ceil_div(size, elements_per_thread(size))


def launch_of(rows: int | Size, columns: int | Size, per_thread: int | Size) -> dict[str, tuple[SizeLike, ...]]:
    """`threads=` and `grid=` for rows and columns: columns in x, `per_thread` of them each; rows in y, then in z."""
    lanes = Lanes(ceil_div(columns, per_thread), THREADS)
    height = THREADS // lanes
    groups = maximum(1, ceil_div(rows, height))
    grid_y = minimum(groups, _MAX_GRID)
    return {
        "threads": (lanes, height),
        "grid": (maximum(1, ceil_div(columns, per_thread * lanes)), grid_y, ceil_div(groups, grid_y)),
    }


class Iteration:
    """The walk over a result and the operands that broadcast to it. Shapes are those of tensors, or tuples of sizes."""

    def __init__(self, subject: str, result: Shaped, operands: Mapping[str, Shaped]) -> None:
        self._subject = subject
        self._shaped = (result, *operands.values())
        self._names = tuple(operands)
        self._last: tuple[tuple[Concrete, ...], Walk] | None = None

    @property
    def is_plain(self) -> Size:
        """1 where all operands have as many elements as the result, so that nothing is stretched."""
        return WalkSize(self, "plain", lambda iteration, scope: iteration._is_plain(scope))

    @property
    def rows(self) -> Size:
        """Number of rows."""
        return self._size("rows", lambda walk: walk.rows)

    @property
    def columns(self) -> Size:
        """Number of columns."""
        return self._size("columns", lambda walk: walk.columns)

    @property
    def rank(self) -> Size:
        """Number of dimensions that the rows have, at least 1."""
        return self._size("rank", lambda walk: max(1, len(walk.extents)))

    def extent(self, index: int) -> Size:
        """Length of a dimension of the rows, the innermost first."""
        return self._size(f"extent {index}", lambda walk: _item(walk.extents, index, 1))

    def step(self, operand: str) -> Size:
        """1 where an operand has an element for each column, 0 where it has one for all of them."""
        number = self._names.index(operand)
        return self._size(f"step of {operand}", lambda walk: walk.steps[number])

    def stride(self, operand: str, index: int) -> Size:
        """How far apart an operand's elements are along a dimension of the rows."""
        number = self._names.index(operand)
        return self._size(f"stride {index} of {operand}", lambda walk: _item(walk.strides[number], index, 0))

    def launch(self) -> dict[str, tuple[SizeLike, ...]]:
        """`threads=` and `grid=`: columns in x, several vectors for each thread; rows in y, then in z."""
        return launch_of(self.rows, self.columns, elements_per_thread(self.rows * self.columns))

    def walk(self, scope: Scope) -> Walk:
        """The iteration for the shapes at hand; `ShapeError` when an operand does not broadcast to the result."""
        shapes = tuple(_concrete(shaped, scope) for shaped in self._shaped)
        if self._last is None or self._last[0] != shapes:
            self._last = (shapes, self._collapse(shapes))
        return self._last[1]

    def _size(self, label: str, pick: Callable[[Walk], int]) -> Size:
        return WalkSize(self, label, lambda iteration, scope: pick(iteration.walk(scope)))

    def _is_plain(self, scope: Scope) -> int:
        counts = {math.prod(_concrete(shaped, scope)) for shaped in self._shaped}
        return int(len(counts) == 1)

    def _collapse(self, shapes: tuple[Concrete, ...]) -> Walk:
        result, *operands = shapes
        padded = [(1,) * (len(result) - len(shape)) + shape for shape in operands]
        for number, shape in enumerate(padded):
            if len(shape) != len(result) or any(a not in (1, b) for a, b in zip(shape, result, strict=True)):
                raise self._misfit(number, operands[number], result)
        extents, patterns = _merged(result, padded)
        columns, whole = (extents.pop(), patterns.pop()) if extents else (1, (True,) * len(padded))
        if len(extents) > OUTER:
            raise ShapeError(
                f"{self._subject} broadcasts over {len(extents) + 1} alternating dimensions, which is more than "
                f"{OUTER + 1}: {', '.join(map(show_shape, shapes))}"
            )
        strides = tuple(
            _strides(extents, [pattern[i] for pattern in patterns], columns if whole[i] else 1)
            for i in range(len(padded))
        )
        return Walk(columns, tuple(extents[::-1]), tuple(map(int, whole)), strides)

    def _misfit(self, number: int, shape: Concrete, result: Concrete) -> ShapeError:
        tensor = self._shaped[number + 1]
        name = getattr(tensor, "path", self._names[number])
        made = getattr(self._shaped[0], "path", "the result")
        return ShapeError(
            f"{self._subject} works element by element, but {name} is {show_shape(shape)}, "
            f"which does not broadcast to {show_shape(result)} of {made}"
        )


def _merged(result: Concrete, operands: list[Concrete]) -> tuple[list[int], list[tuple[bool, ...]]]:
    """Dimensions of the result, and which operands are whole in them, after neighbours alike have become one."""
    extents: list[int] = []
    patterns: list[tuple[bool, ...]] = []
    for length, *given in zip(result, *operands, strict=True):
        if length == 1:
            continue
        pattern = tuple(one == length for one in given)
        if patterns and patterns[-1] == pattern:
            extents[-1] *= length
        else:
            extents.append(length)
            patterns.append(pattern)
    return extents, patterns


def _strides(extents: list[int], whole: list[bool], columns: int) -> tuple[int, ...]:
    """An operand's strides along the rows, the innermost first; 0 where it is stretched."""

    def walk() -> Iterator[int]:
        stride = columns
        for length, is_whole in zip(extents[::-1], whole[::-1], strict=True):
            yield stride if is_whole else 0
            stride *= length if is_whole else 1

    return tuple(walk())


def _concrete(shaped: Shaped, scope: Scope) -> Concrete:
    if isinstance(shaped, tuple):
        return tuple(evaluate_size(length, scope) for length in shaped)
    return scope.shape(shaped)


def _item(values: tuple[int, ...], index: int, default: int) -> int:
    return values[index] if index < len(values) else default
