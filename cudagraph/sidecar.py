"""The JSON beside a `.ptx` or `.cubin`: argument names, types and directions, which binaries do not hold.

Two layouts are read. The simple one: `entryPoint`, `blockSize`, `sharedMemoryBytes` and `parameters` with `name`,
`type` ("float*"), `direction` and `isPointer`. The rich one: `parameters` with `index`, `name`, `ptx_type`,
`is_pointer`, `element_type`, `direction`, `semantic` and `shape_rule`, and `req_threads`, `max_threads`,
`uses_dynamic_shared`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .dtypes import C_TYPES, VECTOR_TYPES
from .errors import DescriptionError
from .ptx import C_NAMES, PtxEntry
from .shape_rule import ShapeRule, parse_shape_rule
from .signature import ArgumentKind, KernelArgument, parse_argument

V = TypeVar("V")
_DIRECTIONS = {"in": ArgumentKind.INPUT, "out": ArgumentKind.OUTPUT, "inout": ArgumentKind.OUTPUT}


@dataclass(frozen=True, slots=True)
class ArgumentRole:
    """What an argument is for, where a rich sidecar says it: "input_buffer", "element_count", and an output's shape."""

    semantic: str = ""
    shape_rule: ShapeRule | None = None


@dataclass(frozen=True, slots=True)
class SidecarFacts:
    """A sidecar, read. `roles` belongs to `arguments`, one each; `shared` is dynamic shared memory in bytes."""

    arguments: tuple[KernelArgument, ...]
    roles: tuple[ArgumentRole, ...]
    entry: str | None = None
    titled: bool = False  # `entry` is a rich sidecar's name, which may be a title rather than the kernel's name
    threads: tuple[int, int, int] | None = None
    max_threads: int | None = None
    shared: int = 0
    uses_dynamic_shared: bool = False
    summary: str = ""

    def role(self, name: str) -> ArgumentRole:
        """The role of the argument of that name."""
        return next(role for argument, role in zip(self.arguments, self.roles, strict=True) if argument.name == name)


def parse_sidecar(text: str, origin: str) -> SidecarFacts:
    """The facts in a sidecar of either layout; `DescriptionError` for anything that is not one."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DescriptionError(f"{origin} is not JSON: {error}") from None
    top = _Fields(data, origin)
    items = [_Fields(item, f"{origin}: parameters[{i}]") for i, item in enumerate(top.take("parameters", list, None))]
    items.sort(key=lambda item: item.take("index", int, 0))
    arguments = tuple(map(_argument, items))
    names = [argument.name for argument in arguments]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DescriptionError(f"{origin} has two parameters called {twice[0]!r}; give each its own name")
    limit = top.extent("max_threads")
    return SidecarFacts(
        arguments,
        tuple(map(_role, items)),
        entry=top.take("entryPoint", str, "") or top.take("name", str, "") or None,
        titled="entryPoint" not in top.data,
        threads=top.extent("blockSize") or top.extent("req_threads"),
        max_threads=math.prod(limit) if limit else None,
        shared=top.count("sharedMemoryBytes"),
        uses_dynamic_shared=top.take("uses_dynamic_shared", bool, False),
        summary=top.take("summary", str, ""),
    )


class _Fields:
    """A JSON object with typed access; every complaint names the object and the field."""

    def __init__(self, data: Any, subject: str) -> None:
        if not isinstance(data, dict):
            raise DescriptionError(f"{subject} is {_kind(data)}, it must be an object {{...}}")
        self.data: Mapping[str, Any] = data
        self.subject = subject

    def take(self, name: str, kind: type[V], default: V | None) -> V:
        """The field's value; `default` stands for a missing field or null, None for "it must be there"."""
        value = self.data.get(name)
        if value is None:
            if default is None:
                raise DescriptionError(f"{self.subject} has no {name!r}; it must be {_KINDS[kind]}")
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise DescriptionError(f"{self.subject}: {name} is {_kind(value)}, it must be {_KINDS[kind]}")
        return value

    def count(self, name: str) -> int:
        """A number from 0 to 2^31; 0 if missing."""
        value = self.take(name, int, 0)
        if not 0 <= value < 2**31:
            raise DescriptionError(f"{self.subject}: {name} is {value}, it must be from 0 to 2147483647")
        return value

    def extent(self, name: str) -> tuple[int, int, int] | None:
        """Up to three numbers x, y, z, or x alone; None if missing."""
        value = self.data.get(name)
        sizes = value if isinstance(value, list) else [value]
        if value is None:
            return None
        if not 1 <= len(sizes) <= 3 or not all(type(size) is int and 0 < size <= 1024 for size in sizes):
            raise DescriptionError(f"{self.subject}: {name} must be a number of threads, or [x, y, z], each 1 to 1024")
        x, y, z = [*sizes, 1, 1][:3]
        return x, y, z


_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list [...]",
    dict: "an object {...}",
}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")


def _argument(item: _Fields) -> KernelArgument:
    name = item.take("name", str, None)
    if not name.isidentifier():
        raise DescriptionError(f"{item.subject}: name is {name!r}, it must be an identifier such as x")
    subject = f"{item.subject} ({name})"
    ctype, pointer = _rich_type(item) if "ptx_type" in item.data or "element_type" in item.data else _simple_type(item)
    if not pointer:
        return KernelArgument(name, ArgumentKind.VALUE, ctype)
    direction = item.take("direction", str, "unknown")
    if direction not in _DIRECTIONS:
        raise DescriptionError(f"{subject}: direction is {direction!r}; write {', '.join(map(repr, _DIRECTIONS))}")
    return KernelArgument(name, _DIRECTIONS[direction], ctype)


def _simple_type(item: _Fields) -> tuple[str, bool]:
    text = item.take("type", str, None)
    argument = parse_argument(f"{text} x", origin=item.subject)
    written = argument.kind is not ArgumentKind.VALUE
    return argument.ctype, item.take("isPointer", bool, written) or written


def _rich_type(item: _Fields) -> tuple[str, bool]:
    ptx_type = item.take("ptx_type", str, "").lstrip(".")
    element = item.take("element_type", str, "").lstrip(".") or ptx_type
    pointer = item.take("is_pointer", bool, False)
    if element not in C_NAMES:
        field = "element_type" if item.data.get("element_type") else "ptx_type"
        raise DescriptionError(f"{item.subject}: {field} is {element!r}; choose one of {', '.join(C_NAMES)}")
    return C_NAMES[element], pointer


def _role(item: _Fields) -> ArgumentRole:
    rule = item.take("shape_rule", str, "")
    return ArgumentRole(item.take("semantic", str, ""), parse_shape_rule(rule, item.subject) if rule else None)


def check_against_ptx(facts: SidecarFacts, entry: PtxEntry, origin: str) -> None:
    """`DescriptionError` where the sidecar's parameters cannot be those of the PTX: their count, their sizes."""
    check_arguments(facts.arguments, entry, origin)
    required, given = entry.threads, facts.threads
    if required and given and required != given:
        raise DescriptionError(
            f"{origin}: {entry.name} must be launched with {required} threads, the JSON says {given}"
        )


def check_arguments(arguments: tuple[KernelArgument, ...], entry: PtxEntry, origin: str) -> None:
    """`DescriptionError` where these arguments cannot be those of the PTX: their count, their sizes."""
    if len(arguments) != len(entry.parameters):
        raise DescriptionError(
            f"{origin}: {len(arguments)} parameters are described ({', '.join(map(str, arguments))}), but the kernel "
            f"{entry.name} takes {len(entry.parameters)}: {', '.join(f'.{p.type} {p.name}' for p in entry.parameters)}"
        )
    for argument, parameter in zip(arguments, entry.parameters, strict=True):
        size = size_of(argument)
        if size is not None and size != parameter.size:
            raise DescriptionError(
                f"{origin}: `{argument}` has {size} bytes, but {entry.name} takes .{parameter.type} {parameter.name} "
                f"of {parameter.size} there"
            )


def size_of(argument: KernelArgument) -> int | None:
    """Bytes that an argument takes; None for a struct that only its author knows."""
    if argument.kind is not ArgumentKind.VALUE:
        return 8
    if argument.ctype in VECTOR_TYPES:
        dtype, width = VECTOR_TYPES[argument.ctype]
        return dtype.itemsize * width
    return C_TYPES[argument.ctype].itemsize if argument.ctype in C_TYPES else None


def facts_of_entry(entry: PtxEntry, origin: str, save_as: str) -> SidecarFacts:
    """Facts without a sidecar: enough if nothing can be a pointer, else the error holds a sidecar to fill in."""
    if all(parameter.pointer is False for parameter in entry.parameters):
        values = [KernelArgument(p.name, ArgumentKind.VALUE, _value_type(p.type, p.size)) for p in entry.parameters]
        roles = (ArgumentRole(),) * len(values)
        return SidecarFacts(
            tuple(values), roles, entry=entry.name, threads=entry.threads, max_threads=entry.max_threads
        )
    raise DescriptionError(
        f"{origin} does not say which of its pointers the kernel {entry.name} reads and which it writes. "
        f"Save this as {save_as}, with the names, types and directions filled in:\n{sidecar_template(entry)}"
    )


def _value_type(ptx_type: str, size: int) -> str:
    """The C++ type of a parameter that is no pointer; a struct gets a name that says its size."""
    return C_NAMES[ptx_type] if size == C_TYPES[C_NAMES[ptx_type]].itemsize else f"Bytes{size}"


def sidecar_template(entry: PtxEntry) -> str:
    """A sidecar of the simple layout for this kernel, where only a person can fill in the directions."""
    parameters = []
    for parameter in entry.parameters:
        pointer = parameter.pointer is not False
        ctype = "float*" if pointer else _value_type(parameter.type, parameter.size)
        fields: dict[str, Any] = {"name": parameter.name, "type": ctype}
        parameters.append(fields | ({"direction": "in | out | inout", "isPointer": True} if pointer else {}))
    rows = ",\n".join(f"    {json.dumps(parameter)}" for parameter in parameters)
    threads = json.dumps(entry.threads or [entry.max_threads or 256, 1, 1])
    head = f'  "entryPoint": {json.dumps(entry.name)},\n  "blockSize": {threads},\n  "sharedMemoryBytes": 0,'
    return f'{{\n{head}\n  "parameters": [\n{rows}\n  ]\n}}'
