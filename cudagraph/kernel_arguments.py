"""Binding values to the arguments of a kernel: which kinds fit, and what to say when they do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from .dtypes import C_TYPES, VECTOR_TYPES, c_type, show
from .errors import DescriptionError
from .parameter import Parameter
from .port import Port
from .shape import Size
from .signature import ArgumentKind, KernelArgument, Signature
from .tensor import Tensor

CheckOperand = Callable[[str, Any, bool], None]
_KINDS = {
    ArgumentKind.INPUT: "a tensor to read, or a parameter",
    ArgumentKind.OUTPUT: "a tensor to write",
    ArgumentKind.VALUE: "a parameter, a number or a size",
}


def bind_arguments(
    subject: str, signature: Signature, given: Mapping[str, Any], check_operand: CheckOperand
) -> tuple[tuple[KernelArgument, Any], ...]:
    """Pair each kernel argument with what it was given, in kernel order; `DescriptionError` if anything is off."""
    names = [argument.name for argument in signature.arguments]
    for name in given:
        if name not in names:
            unbound = [wanted for wanted in names if wanted not in given]
            near = get_close_matches(name, unbound or names, 1) or unbound[:1]
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DescriptionError(f"{subject} has no argument {name!r}; it takes {', '.join(names)}{hint}")
    given = {
        argument.name: argument.default for argument in signature.arguments if argument.default is not None
    } | dict(given)
    missing = [name for name in names if name not in given]
    if missing:
        raise DescriptionError(
            f"{subject}: nothing is bound to {', '.join(missing)}: give it {missing[0]}=...; "
            f"it takes {', '.join(map(_spell, signature.arguments))}"
        )
    for argument in signature.arguments:
        _check(f"{subject}: argument {argument.name}", argument, given[argument.name], check_operand)
    return tuple((argument, given[argument.name]) for argument in signature.arguments)


def _check(subject: str, argument: KernelArgument, bound: Any, check_operand: CheckOperand) -> None:
    if isinstance(bound, (Port, Tensor)):
        if argument.kind is ArgumentKind.VALUE:
            raise DescriptionError(
                f"{subject} is {argument.ctype}, by value; {bound.path} is a tensor. It takes {_KINDS[argument.kind]}"
            )
        check_operand(subject, bound, argument.kind is ArgumentKind.OUTPUT)
        _check_tensor_type(subject, argument, bound)
    elif isinstance(bound, Parameter):
        if argument.kind is ArgumentKind.OUTPUT:
            raise DescriptionError(
                f"{subject} is written by the kernel; {bound.path} is a parameter. It takes {_KINDS[argument.kind]}"
            )
        _check_parameter_type(subject, argument, bound)
    elif argument.kind is not ArgumentKind.VALUE:
        raise DescriptionError(
            f"{subject} is a pointer ({_spell(argument)}); it takes {_KINDS[argument.kind]}, not {bound!r}"
        )
    elif not isinstance(bound, (int, float, str, Size, np.generic)):
        raise DescriptionError(f"{subject} takes {_KINDS[argument.kind]}, not {bound!r}")
    else:
        _check_literal(subject, argument, bound)


def _check_literal(subject: str, argument: KernelArgument, bound: Any) -> None:
    wanted = C_TYPES.get(argument.ctype)
    integral = isinstance(bound, (int, str, Size, np.integer)) or wanted == getattr(bound, "dtype", None)
    if isinstance(bound, np.generic) and bound.dtype not in C_TYPES.values():
        raise DescriptionError(f"{subject} takes {_KINDS[argument.kind]}, not a {bound.dtype}")
    if wanted is not None and wanted.kind in "iub" and not integral:
        raise DescriptionError(f"{subject} is {argument.ctype}; {bound!r} is not an integer")


def _check_tensor_type(subject: str, argument: KernelArgument, bound: Port | Tensor) -> None:
    wanted = element_type(argument.ctype)
    if wanted is None:
        return
    if isinstance(bound.dtype, str):
        raise DescriptionError(
            f"{subject} is {argument.ctype}*; {bound.path} has the open type {bound.dtype}. "
            f"Declare it {show(wanted)}, or use {bound.dtype} in the kernel"
        )
    if bound.dtype != wanted and bound.dtype.names is None:
        raise DescriptionError(f"{subject} is {argument.ctype}* ({show(wanted)}); {bound.path} is {show(bound.dtype)}")


def _check_parameter_type(subject: str, argument: KernelArgument, bound: Parameter[Any]) -> None:
    wanted = VECTOR_TYPES.get(argument.ctype) or (C_TYPES.get(argument.ctype, bound.dtype), 1)
    if wanted != (bound.dtype, bound.width):
        raise DescriptionError(
            f"{subject} is {argument.ctype}; the parameter {bound.path} is {bound.type_name}. "
            f"Declare it {_parameter_type(argument.ctype)!r}"
        )


def _parameter_type(ctype: str) -> str:
    return ctype if ctype in VECTOR_TYPES else show(C_TYPES[ctype])


def element_type(ctype: str) -> np.dtype[Any] | None:
    """The element type behind a pointer to this C++ type (`float4*` points at float32); None for macros and structs."""
    if ctype in VECTOR_TYPES:
        return VECTOR_TYPES[ctype][0]
    return C_TYPES.get(ctype)


def ctype_of(bound: Any) -> str:
    """The C++ type that suits what is bound, for kernels that are written from an expression."""
    if isinstance(bound, Parameter):
        return next(
            (name for name, kind in VECTOR_TYPES.items() if kind == (bound.dtype, bound.width)), None
        ) or c_type(bound.dtype)
    if isinstance(bound, (Port, Tensor)):
        return bound.dtype if isinstance(bound.dtype, str) else c_type(bound.dtype)
    if isinstance(bound, np.generic):
        return c_type(bound.dtype)
    return "float" if isinstance(bound, float) else "long long"


def is_scalar_operand(bound: Any) -> bool:
    """Whether a tensor has one element by its very description, and so applies to every element."""
    return isinstance(bound, (Port, Tensor)) and all(
        type(length) is int and length == 1 for length in tuple(bound.shape)
    )


def _spell(argument: KernelArgument) -> str:
    pointer = {ArgumentKind.INPUT: "const {}* {}", ArgumentKind.OUTPUT: "{}* {}", ArgumentKind.VALUE: "{} {}"}
    return pointer[argument.kind].format(argument.ctype, argument.name)
