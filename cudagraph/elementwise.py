"""Kernels written from an expression: "y = a * x + c" becomes a CUDA C++ kernel.

The expression goes, as it is, into a device function whose arguments carry its names; the kernel calls it for every
element, which `vectors.cuh` moves 16 bytes at a time. There are two kernels of an expression: one for operands that are
alike, and one for operands that broadcast.
Half precision is computed in float. A literal such as 0.5 has the precision of the operands, as in NumPy.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from .dtypes import C_TYPES, HEADERS, VECTOR_TYPES, c_type, parse_dtype
from .errors import DescriptionError
from .expression import Expression, parse_expression
from .iteration import OUTER, Iteration
from .shape import SizeLike
from .source import CudaSource

_FUNCTIONS = frozenset(("elementwise", "for_each_element", "row_of", "same"))
_RESERVED = _FUNCTIONS | {"Compute", "Literal", "threadIdx", "blockIdx", "blockDim", "gridDim"}
_HALVES = (parse_dtype("float16"), parse_dtype("bfloat16"))


@dataclass(frozen=True, slots=True)
class Operand:
    """What a name is bound to: a C++ type, "T" for an open one. `scalar`: one element that applies to all."""

    ctype: str
    scalar: bool = False


def names_in(expression: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names that an expression assigns, and those it uses; its own locals are in neither."""
    parsed = parse_expression(expression)
    return frozenset(parsed.assigned), frozenset(parsed.used)


def count_name(operands: Collection[str]) -> str:
    """The kernel argument that takes the number of elements: `n`, unless an operand is called that."""
    return "element_count" if "n" in operands else "n"


def elementwise_source(
    expression: str,
    inputs: Mapping[str, Operand | str],
    outputs: Mapping[str, Operand | str],
    values: Mapping[str, Operand | str],
    *,
    broadcast: bool = False,
) -> CudaSource:
    """The kernel of an expression: tensors to read, tensors to write, values, then `count_name(...)` as `long long`.

    With `broadcast`, what `broadcast_arguments` gives stands in the place of the count.
    """
    parsed = parse_expression(expression)
    _check_names(expression, parsed, inputs, outputs, values)
    groups = [{name: _operand(bound) for name, bound in group.items()} for group in (inputs, outputs, values)]
    kernel = (_BroadcastKernel if broadcast else _Kernel)(parsed, *groups)
    body = kernel.text("elementwise")
    entry = f"elementwise_{hashlib.sha256(body.encode()).hexdigest()[:10]}"
    return CudaSource(kernel.text(entry), entry, " ".join(expression.split()))


def _operand(bound: Operand | str) -> Operand:
    return Operand(bound) if isinstance(bound, str) else bound


def _check_names(
    expression: str,
    parsed: Expression,
    inputs: Mapping[str, Operand | str],
    outputs: Mapping[str, Operand | str],
    values: Mapping[str, Operand | str],
) -> None:
    subject = f"elementwise {' '.join(expression.split())!r}"
    readable, bound = {**inputs, **values}, [*inputs, *outputs, *values]
    types = {_operand(operand).ctype for operand in (*readable.values(), *outputs.values())}
    wrong = {
        "{} is assigned, but only outputs can be; it is bound to something to read": parsed.assigned & readable.keys(),
        "{} is an output, but nothing is assigned to it": outputs.keys() - parsed.assigned,
        "{} is not bound to anything": (parsed.assigned | parsed.used) - set(bound) - types,
        "{} is used before it is assigned; outputs are written, not read": parsed.used & outputs.keys(),
        "{} is bound, but the expression does not use it": readable.keys() - parsed.used,
        "{} cannot be a name here; call it something else": _RESERVED & {*bound, *parsed.locals},
        "{} is a name of its own and is bound too; rename one of them": parsed.locals & set(bound),
    }
    for message, names in wrong.items():
        if names:
            listed = f"bound are {', '.join(bound)}" if bound else "nothing is bound"
            raise DescriptionError(f"{subject}: {message.format(', '.join(sorted(names)))} ({listed})")
    scalars = {_operand(operand).scalar for operand in outputs.values()}
    if len(scalars) == 2:
        raise DescriptionError(f"{subject}: some outputs have one element and some have many; write two expressions")


@dataclass(frozen=True)
class _Kernel:
    """The parts of a kernel that is being written."""

    parsed: Expression
    inputs: dict[str, Operand]
    outputs: dict[str, Operand]
    values: dict[str, Operand]

    def text(self, entry: str) -> str:
        """The whole source."""
        return "\n".join((*self.preamble(), *self.function(), "", *self.kernel(entry), ""))

    def types(self) -> list[str]:
        groups = (self.inputs, self.outputs, self.values)
        return list(dict.fromkeys(operand.ctype for group in groups for operand in group.values()))

    def preamble(self) -> list[str]:
        """Headers, and what half precision and open types are computed in."""
        opened = [ctype for ctype in self.types() if _is_open(ctype)]
        halves = {c_type(C_TYPES[ctype]) for ctype in self.types() if C_TYPES.get(ctype) in _HALVES}
        headers = [header for half, header in HEADERS.items() if opened or half in halves]
        lines = ['#include "vectors.cuh"', *(f"#include <{header}>" for header in headers)]
        if opened:
            lines.append(_OPEN_TYPES % " + ".join(f"Compute<{ctype}>::literal()" for ctype in opened))
        return [*lines, ""]

    def function(self) -> list[str]:
        """The expression as a device function, its outputs by reference."""
        arguments = [f"const {_computed(operand.ctype)} {name}" for name, operand in self.readable().items()]
        arguments += [f"{_computed(operand.ctype)}& {name}" for name, operand in self.outputs.items()]
        lines = [f"    {statement};" for statement in self.parsed.statements(self.literal())]
        return [f"static __device__ inline void elementwise({', '.join(arguments)})", "{", *lines, "}"]

    def kernel(self, entry: str) -> list[str]:
        """Every element, through the function."""
        arguments = [f"const {operand.ctype}* {name}" for name, operand in self.inputs.items()]
        arguments += [f"{operand.ctype}* {name}" for name, operand in self.outputs.items()]
        arguments += [f"{operand.ctype} {name}" for name, operand in self.values.items()]
        return [
            f'extern "C" __global__ void {entry}({", ".join([*arguments, *self.counts()])})',
            "{",
            *(f"    {line}" for line in self.elements()),
            "}",
        ]

    def counts(self) -> list[str]:
        """Arguments that say how many elements there are."""
        return [f"long long {self.count()}"]

    def elements(self) -> list[str]:
        """The call that goes through the elements."""
        return self.each(self.count())

    def each(self, count: str) -> list[str]:
        """Load, compute, store."""
        elements = [f"const {operand.ctype} {name}" for name, operand in self.inputs.items()]
        elements += [f"{operand.ctype}& {name}" for name, operand in self.outputs.items()]
        converted = [name for name, operand in self.outputs.items() if _computed(operand.ctype) != operand.ctype]
        results = [self.result(name) if name in converted else name for name in self.outputs]
        arrays = [self.array(name) for name in (*self.inputs, *self.outputs)]
        return [
            f"for_each_element({count}, [=]({', '.join(elements)}) {{",
            *(f"    {_computed(self.outputs[name].ctype)} {self.result(name)};" for name in converted),
            f"    elementwise({', '.join([*map(self.load, self.readable()), *results])});",
            *(f"    {name} = {self.store(name)};" for name in converted),
            f"}}, {', '.join(arrays)});",
        ]

    def array(self, name: str) -> str:
        """Where an operand has its elements."""
        return f"same({name}[0])" if name in self.inputs and self.inputs[name].scalar else name

    def count(self) -> str:
        return count_name((*self.inputs, *self.outputs, *self.values))

    def readable(self) -> dict[str, Operand]:
        return self.inputs | self.values

    def load(self, name: str) -> str:
        """An element in its type of computation."""
        ctype = self.readable()[name].ctype
        return _cast(_computed(ctype), ctype, name)

    def result(self, name: str) -> str:
        """A local for an output that is free of the other names."""
        local = f"{name}_result"
        while local in self.readable() or local in self.outputs:
            local += "_"
        return local

    def store(self, name: str) -> str:
        """An output in its type of storage."""
        ctype = self.outputs[name].ctype
        return _cast(ctype, _computed(ctype), self.result(name))

    def literal(self) -> str:
        """How to write an unsuffixed floating literal: a double only if doubles, or nothing but integers, are about."""
        types = {VECTOR_TYPES[ctype][0].name if ctype in VECTOR_TYPES else _computed(ctype) for ctype in self.types()}
        if types & {"double", "float64"}:
            return "{}"
        if any(map(_is_open, self.types())):
            return "Literal({})"
        return "{}f" if types & {"float", "float32"} else "{}"


class _BroadcastKernel(_Kernel):
    """The kernel for operands that broadcast: columns in x, a row in y and z."""

    def own(self, name: str) -> str:
        """A name of the kernel itself, free of those that are bound."""
        return _free((*self.inputs, *self.outputs, *self.values))(name)

    def counts(self) -> list[str]:
        return [f"{ctype} {name}" for name, ctype in _broadcast_types(self.tensors(), self.own)]

    def tensors(self) -> list[str]:
        return [name for name, operand in self.inputs.items() if not operand.scalar]

    def elements(self) -> list[str]:
        own = self.own
        row, rest, index = map(own, ("row", "rest", "index"))
        extents = ", ".join(own(f"extent_{i}") for i in range(OUTER - 1))
        numbers = range(len(self.tensors()))
        lines = [f"const unsigned {own('extent')}[] = {{{extents}, 1}};"]
        for i in numbers:
            strides = ", ".join(own(f"stride_{i}_{k}") for k in range(OUTER))
            lines.append(f"const long long {own(f'stride_{i}')}[] = {{{strides}}};")
            lines.append(f"long long {own(f'at_{i}')} = 0;")
        lines += [
            f"unsigned {rest} = {row};",
            f"for (int {index} = 0; {index} < {own('RANK')}; {index}++) {{",
            f"    const bool {own('last')} = {index} + 1 == {own('RANK')};",
            f"    const unsigned {own('step')} = {own('last')} ? {rest} : {rest} % {own('extent')}[{index}];",
            *(f"    {own(f'at_{i}')} += {own('step')} * {own(f'stride_{i}')}[{index}];" for i in numbers),
            f"    if (!{own('last')}) {rest} /= {own('extent')}[{index}];",
            "}",
            *self.each(own("columns")),
        ]
        return [
            f"const long long {row} = (blockIdx.z * (long long)gridDim.y + blockIdx.y) * blockDim.y + threadIdx.y;",
            f"if ({row} < {own('rows')}) {{",
            *(f"    {line}" for line in lines),
            "}",
        ]

    def array(self, name: str) -> str:
        """Where the row of an operand begins."""
        if name in self.outputs:
            return f"{name} + {self.own('row')} * {self.own('columns')}"
        if name not in self.tensors():
            return super().array(name)
        number = self.tensors().index(name)
        return f"row_of<{self.own(f'STEP_{number}')}>({name}, {self.own(f'at_{number}')})"


def broadcast_arguments(
    iteration: Iteration, tensors: Collection[str], bound: Collection[str]
) -> tuple[dict[str, SizeLike], dict[str, SizeLike]]:
    """The arguments and the macros of a kernel that broadcasts `tensors`; all names that are bound are `bound`."""
    own = _free(bound)
    arguments: dict[str, SizeLike] = {own("rows"): iteration.rows, own("columns"): iteration.columns}
    arguments |= {own(f"extent_{i}"): iteration.extent(i) for i in range(OUTER - 1)}
    macros: dict[str, SizeLike] = {own("RANK"): iteration.rank}
    for number, name in enumerate(tensors):
        arguments |= {own(f"stride_{number}_{k}"): iteration.stride(name, k) for k in range(OUTER)}
        macros[own(f"STEP_{number}")] = iteration.step(name)
    return arguments, macros


def _broadcast_types(tensors: Collection[str], own: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    yield from ((own("rows"), "unsigned"), (own("columns"), "long long"))
    yield from ((own(f"extent_{i}"), "unsigned") for i in range(OUTER - 1))
    for number in range(len(tensors)):
        yield from ((own(f"stride_{number}_{k}"), "long long") for k in range(OUTER))


def _free(bound: Collection[str]) -> Callable[[str], str]:
    """Names that are not bound: with as many underscores at the end as that takes."""
    longest = max((len(name) - len(name.rstrip("_")) for name in bound if _OWN.fullmatch(name)), default=-1)
    return lambda name: name + "_" * (longest + 1)


_OWN = re.compile(r"(rows?|columns|rest|index|step|last|extent|RANK|(extent|stride|at|STEP)_\d+|stride_\d+_\d+)_*")

_OPEN_TYPES = """
// Half precision is computed in float; a literal such as 0.5 is a double only beside types that are not.
template <class X> struct Compute { using type = X; using literal = double; };
template <> struct Compute<float> { using type = float; using literal = float; };
template <> struct Compute<__half> : Compute<float> {};
template <> struct Compute<__nv_bfloat16> : Compute<float> {};
using Literal = decltype(%s);"""


def _is_open(ctype: str) -> bool:
    return ctype not in C_TYPES and ctype not in VECTOR_TYPES


def _computed(ctype: str) -> str:
    """The type that an operand is computed in."""
    if C_TYPES.get(ctype) in _HALVES:
        return "float"
    return f"Compute<{ctype}>::type" if _is_open(ctype) else ctype


def _cast(target: str, source: str, value: str) -> str:
    return value if target == source else f"static_cast<{target}>({value})"
