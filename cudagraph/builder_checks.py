"""What the block builder checks of what it is told, where that needs no knowledge of the block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .dtypes import parse_dtype
from .errors import DescriptionError, ShapeError
from .library import LibraryOperation, Sizes
from .option import Option
from .parameter import Parameter
from .shape import DimSpec, Size, SizeLike, show_shape
from .state_dict import Layout
from .tensor import Weight
from .work import Operand


def is_written_alike(operand: Operand, result: Operand) -> bool:
    """Whether two tensors of a block have one shape by their very description."""
    return operand.block is result.block and tuple(operand.shape) == tuple(result.shape)


def port_dtype(dtype: object) -> np.dtype[Any] | str:
    """A port's type: a dtype, or the capital letter of an open one."""
    if isinstance(dtype, str) and len(dtype) == 1 and dtype.isupper():
        return dtype
    return parse_dtype(dtype)


def triple(value: SizeLike | tuple[SizeLike, ...], subject: str) -> tuple[SizeLike, ...]:
    """Threads or a grid with all three dimensions."""
    items = value if isinstance(value, tuple) else (value,)
    if not 1 <= len(items) <= 3:
        raise DescriptionError(f"{subject}: threads and grid have one to three dimensions, not {len(items)}")
    return (*items, *(1,) * (3 - len(items)))


def default_threads(source: Any) -> tuple[int, ...]:
    """Threads of a launch that names none."""
    return source.threads or (min(256, source.signature.max_threads or 256), 1, 1)


def check_init(subject: str, shape: tuple[DimSpec, ...], init: Any) -> None:
    """An array is compared with a known shape at once; initialisers are called when the memory is made."""
    given = None if init is None or callable(init) else np.shape(init)
    if given and all(isinstance(length, int) for length in shape) and given != shape:
        raise ShapeError(f"{subject} has the shape {show_shape(shape)}; its initial value has {show_shape(given)}")


def checked_layout(subject: str, weight: Weight, parts: str | Mapping[str, int], axis: int, transpose: bool) -> Layout:
    """How a weight is stored, if it can be."""
    whole = isinstance(parts, str)
    named = ((parts, -1),) if isinstance(parts, str) else tuple(parts.items())
    rank = len(tuple(weight.shape))
    if not -rank <= axis < rank or (transpose and rank < 2):
        wanted = "the array has at least two dimensions" if transpose else f"axis is from {-rank} to {rank - 1}"
        raise DescriptionError(f"{subject}: {weight} cannot be stored so; {wanted}")
    if not whole and sum(length for _, length in named) != weight.shape[axis]:
        given = " + ".join(f"{name} {length}" for name, length in named) or "nothing"
        raise ShapeError(f"{subject}: {given} is not the length of axis {axis} of {weight}")
    return Layout(weight, named, axis, transpose)


def checked_define(subject: str, define: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Macros, all of which C++ can take."""
    for name, value in define.items():
        if not name.isidentifier():
            raise DescriptionError(f"{subject}: {name!r} cannot name a macro; use letters, digits and underscores")
        for choice in value.choices if isinstance(value, Option) else (value,):
            if not isinstance(choice, (int, str, Size, np.integer)):
                raise DescriptionError(
                    f"{subject}: the macro {name} is an integer, a size or C++ text such as '0.5f', not {choice!r}"
                )
    return tuple(define.items())


def check_library_names(subject: str, known: LibraryOperation, arguments: Mapping[str, Any]) -> None:
    """Whether a library operation takes these arguments, and has all that it needs."""
    allowed = (*known.inputs, *known.outputs, *known.scalars, *known.options)
    for name in arguments:
        if name not in allowed:
            raise DescriptionError(f"{subject} has no argument {name!r}; choose from {', '.join(allowed)}")
    for name in (*known.inputs, *known.outputs):
        if name not in arguments and name not in known.optional:
            raise DescriptionError(f"{subject} needs {name}=")
    for name in known.scalars:
        value = arguments.get(name, 0.0)
        if not isinstance(value, (Parameter, int, float)) or isinstance(value, bool):
            raise DescriptionError(f"{subject} {name}: a parameter or a number is wanted, not {value!r}")


def library_choice(subject: str, name: str, arguments: Mapping[str, Any], choices: tuple[Any, ...] | Sizes) -> Any:
    """The choice, option, size or tuple of sizes for one of a library operation's settings."""
    if isinstance(choices, Sizes):
        return _library_sizes(f"{subject} {name}", arguments.get(name, choices.default), choices)
    value = arguments.get(name, choices[0])
    for choice in value.choices if isinstance(value, Option) else (value,):
        if choice not in choices:
            raise DescriptionError(
                f"{subject} {name} cannot be {choice!r}; choose one of {', '.join(map(repr, choices))}"
            )
    return value


def _library_sizes(subject: str, value: Any, known: Sizes) -> Any:
    if value is None and known.default is None:
        return None
    for size in value if isinstance(value, tuple) else (value,):
        number = isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= known.low
        if not number and not isinstance(size, Size):
            raise DescriptionError(
                f"{subject}: a whole number from {known.low} on, a size, or a tuple of them is wanted, not {value!r}"
            )
    return value
