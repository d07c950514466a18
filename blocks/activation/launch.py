"""Launches that the activation blocks share."""

from __future__ import annotations

from typing import Any

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError, ShapeError
from cudagraph.iteration import elements_per_thread, launch_of, vector_threads
from cudagraph.option import Option
from cudagraph.parameter import Parameter
from cudagraph.port import Port
from cudagraph.shape import Size, equal, maximum


def pointwise(b: BlockBuilder, x: Port, y: Port, activation: str | Option) -> None:
    """y = activation(x): the name of an activation, or an option of the block."""
    define: dict[str, Any] = {"ACTIVATION": activation}
    b.kernel("activation/activation", elements=vector_threads(y.size), define=define, x=x, y=y, n=y.size)


def tuned(b: BlockBuilder, x: Port, y: Port, activation: str, *parameters: Parameter[Any]) -> None:
    """y = activation(x, parameters), for an activation with one or two hot numbers."""
    first, second = (*parameters, 0.0)[:2]
    define: dict[str, Any] = {"ACTIVATION": activation, "PARAMETERS": len(parameters)}
    values: dict[str, Any] = {"first": first, "second": second}
    b.kernel("activation/tuned", elements=vector_threads(y.size), define=define, x=x, y=y, n=y.size, **values)


def row_launch(rows: Any, columns: Any) -> dict[str, Any]:
    """Threads and grid for rows of columns that are moved as vectors: columns in x; rows in y, then in z."""
    return dict(launch_of(rows, columns, elements_per_thread(rows * columns)))


def feature_launch(x: Port, features: int, axis: int) -> dict[str, Any]:
    """What `kernels/activation/per_feature.cuh` wants for numbers per feature along an axis of x."""
    inner: Any
    columns: Any
    if features == 1:  # whole rows, of whatever is last
        columns, inner = x.shape[-1], 0
    else:
        inner = after(x, axis)
        columns = maximum(inner, equal(inner, 1) * features)
    rows = x.size // maximum(1, columns)
    return {**row_launch(rows, columns), "rows": rows, "columns": columns, "features": features, "inner": inner}


def after(x: Port, axis: int) -> Any:
    """The elements between neighbours along an axis of x."""
    if axis < 0:
        inner: Any = 1 + 0 * x.size
        for other in range(axis + 1, 0):
            inner = inner * x.shape[other]
        return inner
    outer: Any = x.shape[0] + 0 * x.size
    for other in range(1, axis + 1):
        outer = outer * x.shape[other]
    return x.size // maximum(1, outer)


def with_axis(axis: int, length: Any = None) -> tuple[Any, ...]:
    """Any shape that has this axis, of this length (any, when None)."""
    names: list[Any] = [f"D{other}" for other in (range(-axis, 0, -1) if axis < 0 else range(axis + 1))]
    if length is not None:
        names[0 if axis < 0 else axis] = length
    return (..., *names) if axis < 0 else (*names, ...)


def checked_axis(block: str, axis: int, name: str = "dim") -> int:
    """The axis, or `DescriptionError`."""
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise DescriptionError(f"{block}: {name} is the number of a dimension, such as -1, not {axis!r}")
    return axis


class Half(Size):
    """Half the length of a port's dimension, which must be even."""

    def __init__(self, port: Port, axis: int) -> None:
        self.port, self.axis = port, axis

    def evaluate(self, scope: Any) -> int:
        """The number; `ShapeError` when the dimension is odd."""
        length = self.port.shape[self.axis].evaluate(scope)
        if length % 2:
            raise ShapeError(
                f"{self.port} is split into two halves along dimension {self.axis}, so {length} must be even"
            )
        return length // 2

    def __str__(self) -> str:
        return f"({self.port.name}.shape[{self.axis}] / 2)"
