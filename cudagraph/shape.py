"""Shapes with names in them, and the small expressions that depend on them.

A shape is a tuple of ints, names (`"batch"`) and at most one rest, which stands for any number of dimensions: `...`,
a named one (`"*batch"`) or `broadcast(a, b)`. Names and rests are unknowns of one block instance: `unify` finds them
from a concrete shape, `evaluate` uses them. `Size` expressions (`x.size`, `x.shape[-1] // 2`) are
evaluated when the plan is made, so that a block needs no new description for a new batch size.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Protocol, SupportsIndex

import numpy as np

from .errors import DescriptionError, ShapeError

if TYPE_CHECKING:
    from .port import Port

Concrete = tuple[int, ...]
Unknowns = dict[str, "int | Concrete"]  # names -> ints, "..." and "*name" -> the dims they stand for


class Unresolved(Exception):
    """A size that is not known yet. Internal: `lower` retries, and reports what is left over."""


class Scope(Protocol):
    """Where expressions look their unknowns up. Raises `Unresolved` for what is not known yet."""

    def dim(self, name: str) -> int:
        """The value of a named dimension; of a named rest, the product of its dimensions."""
        ...

    def shape(self, port: Port) -> Concrete:
        """The concrete shape of a port."""
        ...


class Size:
    """An integer known when the plan is made. Supports + - * // % with ints and other sizes.

    `<`, `<=`, `>`, `>=` and `equal(a, b)` give conditions for `BlockBuilder.where`: 1 where they hold, else 0.
    """

    def evaluate(self, scope: Scope) -> int:
        """The number, or `Unresolved`."""
        raise TypeError(f"{type(self).__name__} has no value")

    def __add__(self, other: int | Size) -> Size:
        return Arithmetic("+", self, other)

    def __radd__(self, other: int) -> Size:
        return Arithmetic("+", other, self)

    def __sub__(self, other: int | Size) -> Size:
        return Arithmetic("-", self, other)

    def __rsub__(self, other: int) -> Size:
        return Arithmetic("-", other, self)

    def __mul__(self, other: int | Size) -> Size:
        return Arithmetic("*", self, other)

    def __rmul__(self, other: int) -> Size:
        return Arithmetic("*", other, self)

    def __floordiv__(self, other: int | Size) -> Size:
        return Arithmetic("//", self, other)

    def __rfloordiv__(self, other: int) -> Size:
        return Arithmetic("//", other, self)

    def __mod__(self, other: int | Size) -> Size:
        return Arithmetic("%", self, other)

    def __lt__(self, other: int | Size) -> Size:
        return Arithmetic("<", self, other)

    def __le__(self, other: int | Size) -> Size:
        return Arithmetic("<=", self, other)

    def __gt__(self, other: int | Size) -> Size:
        return Arithmetic(">", self, other)

    def __ge__(self, other: int | Size) -> Size:
        return Arithmetic(">=", self, other)

    def __bool__(self) -> bool:
        raise DescriptionError(
            f"{self} is known only when the plan is made; it cannot decide an `if` in a constructor, "
            "but `with b.where(...)` can use it"
        )


_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "equal": operator.eq,
    "min": min,
    "max": max,
    "ceil_div": lambda a, b: -(-a // b),
}


@dataclass(frozen=True, eq=False)
class Arithmetic(Size):
    """Two sizes combined."""

    operation: str
    left: int | Size
    right: int | Size

    def evaluate(self, scope: Scope) -> int:
        """The operation on the values of both sides; `ShapeError` when it divides by zero."""
        left, right = evaluate_size(self.left, scope), evaluate_size(self.right, scope)
        try:
            return int(_OPERATIONS[self.operation](left, right))
        except ZeroDivisionError:
            raise ShapeError(f"{self} divides by zero: {self.right} is 0 here") from None

    def __str__(self) -> str:
        if self.operation.isidentifier():
            return f"{self.operation}({self.left}, {self.right})"
        return f"({self.left} {self.operation} {self.right})"


@dataclass(frozen=True, eq=False)
class Dim(Size):
    """A named dimension of the block, for use in expressions: `Dim("batch") * 2`."""

    name: str

    def evaluate(self, scope: Scope) -> int:
        """The length of the dimension of this name."""
        return scope.dim(self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class PortDim(Size):
    """One dimension of a port."""

    port: Port
    axis: int

    def evaluate(self, scope: Scope) -> int:
        """The length of the port's dimension; `ShapeError` when it has no such axis."""
        shape = scope.shape(self.port)
        if not -len(shape) <= self.axis < len(shape):
            raise ShapeError(
                f"{self} does not exist: {self.port} has {_dimensions(len(shape))} here: {show_shape(shape)}"
            )
        return shape[self.axis]

    def __str__(self) -> str:
        return f"{self.port.name}.shape[{self.axis}]"


@dataclass(frozen=True, eq=False)
class PortCount(Size):
    """The number of elements of a port (`size`), or of its rows: all dimensions but the last (`rows`)."""

    port: Port
    what: str

    def evaluate(self, scope: Scope) -> int:
        """The product of the port's dimensions that count."""
        shape = scope.shape(self.port)
        total = 1
        for length in shape if self.what == "size" else shape[:-1]:
            total *= length
        return total

    def __str__(self) -> str:
        return f"{self.port.name}.{self.what}"


@dataclass(frozen=True, eq=False)
class PortSpan(Size):
    """The product of some neighbouring dimensions of a port: of `shape[start:stop]`."""

    port: Port
    start: int | None
    stop: int | None

    def evaluate(self, scope: Scope) -> int:
        """The product of these dimensions; 1 where there are none."""
        return math.prod(scope.shape(self.port)[self.start : self.stop])

    def __str__(self) -> str:
        ends = ["" if end is None else str(end) for end in (self.start, self.stop)]
        return f"{self.port.name}.shape[{':'.join(ends)}]"


@dataclass(frozen=True, eq=False)
class Broadcast:
    """The dimensions that several shapes give together under NumPy's rules. Made by `broadcast`."""

    parts: tuple[Port | tuple[DimSpec, ...], ...]

    def dims(self, unknowns: Unknowns, scope: Scope) -> Concrete:
        """The dimensions, or `Unresolved`; `ShapeError` names two parts that do not fit."""
        shapes = [
            evaluate(part, unknowns, scope) if isinstance(part, tuple) else scope.shape(part) for part in self.parts
        ]
        rank = max(map(len, shapes))
        padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
        return tuple(self._dim(shapes, lengths) for lengths in zip(*padded, strict=True))

    def _dim(self, shapes: list[Concrete], lengths: tuple[int, ...]) -> int:
        chosen = next((i for i, length in enumerate(lengths) if length != 1), 0)
        for other, length in enumerate(lengths):
            if length not in (1, lengths[chosen]):
                names = [_part_name(self.parts[i], shapes[i]) for i in (chosen, other)]
                raise ShapeError(
                    f"{names[0]} and {names[1]} do not broadcast: "
                    f"{lengths[chosen]} and {length} are neither equal nor 1"
                )
        return lengths[chosen]

    def __str__(self) -> str:
        parts = (show_shape(part) if isinstance(part, tuple) else part.name for part in self.parts)
        return f"broadcast({', '.join(parts)})"


DimSpec = int | str | EllipsisType | Size | Broadcast
SizeLike = int | str | Size


def broadcast(*parts: Port | Iterable[DimSpec]) -> Broadcast:
    """The shape, or an item of one, that ports (or parts of shapes, such as `("*batch",)`) broadcast to, as in NumPy.

    `b.output("y", cg.broadcast(self.a, self.b))`. `ShapeError` when the plan is made and they do not fit.
    """
    if not parts:
        raise DescriptionError("broadcast takes at least one port or shape")
    return Broadcast(tuple(_checked_part(part) for part in parts))


def _checked_part(part: Any) -> Port | tuple[DimSpec, ...]:
    if isinstance(getattr(part, "shape", None), Shape):
        return part
    return check_shape(part, "broadcast")


def _part_name(part: Port | tuple[DimSpec, ...], shape: Concrete) -> str:
    name = show_shape(part) if isinstance(part, tuple) else part.path
    return f"{name} {show_shape(shape)}" if name != show_shape(shape) else name


def is_rest(item: object) -> bool:
    """Whether an item of a shape stands for any number of dimensions."""
    return item is ... or isinstance(item, Broadcast) or (isinstance(item, str) and item.startswith("*"))


def rest_at(spec: Iterable[DimSpec]) -> int | None:
    """Where the rest of a shape stands, if it has one."""
    return next((index for index, item in enumerate(spec) if is_rest(item)), None)


def _rest_name(item: DimSpec) -> str:
    return "..." if item is ... else str(item)


def ceil_div(a: int | Size, b: int | Size) -> Any:
    """`a / b` rounded up; an int for ints, an expression otherwise."""
    return _combine("ceil_div", a, b)


def minimum(a: int | Size, b: int | Size) -> Any:
    """The smaller of two sizes."""
    return _combine("min", a, b)


def maximum(a: int | Size, b: int | Size) -> Any:
    """The larger of two sizes."""
    return _combine("max", a, b)


def equal(a: int | Size, b: int | Size) -> Any:
    """1 where two sizes are the same, else 0: a condition for `BlockBuilder.where`."""
    return _combine("equal", a, b)


def _combine(operation: str, a: int | Size, b: int | Size) -> Any:
    if isinstance(a, Size) or isinstance(b, Size):
        return Arithmetic(operation, a, b)
    return _OPERATIONS[operation](a, b)


def evaluate_size(size: SizeLike, scope: Scope) -> int:
    """The number behind an int, a dimension's name or an expression."""
    if type(size) is int:
        return size
    if isinstance(size, str):
        return scope.dim(size)
    if isinstance(size, Size):
        return size.evaluate(scope)
    return operator.index(size)


class Shape(tuple[DimSpec, ...]):
    """A port's shape as its block wrote it. `shape[i]` is an int where known, else an expression for that dimension.

    `shape[i:j]` gives the dimensions as written; `ShapeError` where a rest such as `...` hides which ones those are.
    """

    port: Port

    def __new__(cls, spec: Iterable[DimSpec], port: Port) -> Shape:
        """The dimensions `spec` of `port`, as they were written."""
        shape = super().__new__(cls, spec)
        shape.port = port
        return shape

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._slice(index)
        item = self._written(operator.index(index))
        return item if isinstance(item, int) else PortDim(self.port, index)

    def _written(self, index: int) -> DimSpec | None:
        spec = tuple(self)
        leading = rest_at(spec)
        if leading is not None:
            known = index < leading if index >= 0 else -index < len(spec) - leading
            return spec[index] if known else None
        if not -len(spec) <= index < len(spec):
            raise ShapeError(f"{self.port} has {len(spec)} dimensions; there is no dimension {index}")
        return spec[index]

    def _slice(self, index: slice) -> tuple[DimSpec, ...]:
        spec = tuple(self)
        leading = rest_at(spec)
        if leading is not None:
            tail = len(spec) - leading - 1
            ends = [end for end in (index.start, index.stop) if end is not None]
            if index.step not in (None, 1) or not all(-tail <= end <= leading for end in ends):
                raise ShapeError(
                    f"{self.port} has any number of dimensions, so a slice may not cut through its "
                    f"`{_rest_name(spec[leading])}`"
                )
        return spec[index]


def check_shape(spec: Iterable[DimSpec] | SupportsIndex | Size | Broadcast, subject: str) -> tuple[DimSpec, ...]:
    """A shape as given by a user, checked: ints >= 0, names, expressions, at most one rest."""
    if isinstance(spec, str):
        raise DescriptionError(f"{subject}: a shape is a tuple, so write ({spec!r},) instead of {spec!r}")
    if not isinstance(spec, Iterable):
        spec = (spec,)  # type: ignore[assignment]
    items = tuple(operator.index(item) if isinstance(item, np.integer) else item for item in spec)  # type: ignore[union-attr]
    for item in items:
        if isinstance(item, bool) or not isinstance(item, (int, str, EllipsisType, Size, Broadcast)):
            raise DescriptionError(
                f"{subject}: {item!r} is not a dimension; "
                "use an int, a name such as 'batch', ... or an expression such as x.size"
            )
        if isinstance(item, str) and not item.removeprefix("*").isidentifier():
            raise DescriptionError(
                f"{subject}: {item!r} is not the name of a dimension; use letters, digits and underscores "
                "(and a * in front for any number of dimensions)"
            )
        if isinstance(item, int) and item < 0:
            raise DescriptionError(f"{subject}: a dimension cannot be negative, but the shape is {show_shape(items)}")
    if sum(map(is_rest, items)) > 1:
        rests = ", ".join(f"`{_rest_name(item)}`" for item in items if is_rest(item))
        raise DescriptionError(f"{subject}: a shape may hold one `...`, but it is {show_shape(items)} ({rests})")
    return items


def _dimensions(count: int) -> str:
    return "1 dimension" if count == 1 else f"{count} dimensions"


def unify(spec: tuple[DimSpec, ...], shape: Concrete, unknowns: Unknowns) -> str | None:
    """Match a written shape with a concrete one, learning names. Returns what contradicts, in words, or None.

    Expressions and `broadcast` are not inverted: they are checked by `evaluate` once everything is known.
    """
    at = rest_at(spec)
    if at is not None:
        tail = len(spec) - at - 1
        if len(shape) < at + tail:
            return f"it needs at least {_dimensions(at + tail)}"
        leading, rest = shape[at : len(shape) - tail], _rest_name(spec[at])
        if not isinstance(spec[at], Broadcast) and unknowns.setdefault(rest, leading) != leading:
            return f"`{rest}` is already {show_shape(unknowns[rest])}"  # type: ignore[arg-type]
        spec, shape = spec[:at] + spec[at + 1 :], shape[:at] + shape[len(shape) - tail :]
    elif len(spec) != len(shape):
        return f"it needs {_dimensions(len(spec))}"
    for item, length in zip(spec, shape, strict=True):
        if isinstance(item, int) and item != length:
            return f"{length} is not {item}"
        if isinstance(item, str) and unknowns.setdefault(item, length) != length:
            return f"{item} is already {unknowns[item]}, not {length}"
    return None


def evaluate(spec: tuple[DimSpec, ...], unknowns: Unknowns, scope: Scope) -> Concrete:
    """The concrete shape, or `Unresolved`."""
    result: list[int] = []
    for item in spec:
        if isinstance(item, Broadcast):
            result.extend(item.dims(unknowns, scope))
        elif is_rest(item):
            if _rest_name(item) not in unknowns:
                raise Unresolved(_rest_name(item))
            result.extend(unknowns[_rest_name(item)])  # type: ignore[arg-type]
        else:
            length = evaluate_size(item, scope)  # type: ignore[arg-type]  # no rest
            if length < 0:
                raise ShapeError(f"{item} is {length}; a dimension cannot be negative")
            result.append(length)
    return tuple(result)


def show_shape(spec: Iterable[DimSpec]) -> str:
    """How messages spell a shape: `[..., batch, 64]`."""
    return "[" + ", ".join(map(_rest_name, spec)) + "]"
