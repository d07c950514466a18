"""The kinds of work a block can ask for. Frozen: a description never changes after its builder committed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .option import Option
from .parameter import Parameter
from .port import Port
from .shape import SizeLike
from .signature import ArgumentKind, KernelArgument
from .source import KernelSource
from .state_dict import Layout
from .tensor import Tensor

if TYPE_CHECKING:
    from .block import Block

Operand = Port | Tensor
"""What work reads and writes."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A launch of a CUDA C++ kernel. Exactly one of `elements` (one thread each) and `grid` is given."""

    name: str
    source: KernelSource
    arguments: tuple[tuple[KernelArgument, Any], ...]  # what each argument is bound to
    threads: tuple[SizeLike, ...]
    elements: SizeLike | None
    grid: tuple[SizeLike, ...] | None
    shared: SizeLike
    define: tuple[tuple[str, SizeLike | Option], ...] = ()
    alike: tuple[Operand, ...] = ()  # tensors that must have as many elements as each other

    def operands(self) -> tuple[tuple[Operand, ...], tuple[Operand, ...]]:
        """What it reads and what it writes. Memory behind `T*` counts as both: the kernel may write a part of it."""
        reads, writes = [], []
        for argument, bound in self.arguments:
            if argument.kind is ArgumentKind.INPUT and isinstance(bound, Operand):
                reads.append(bound)
            elif argument.kind is ArgumentKind.OUTPUT:
                writes.append(bound)
        return tuple(reads), tuple(writes)


@dataclass(frozen=True, slots=True)
class LibraryCall:
    """A named library operation with its operands, device scalars and options."""

    name: str
    operation: str
    inputs: Mapping[str, Operand]
    outputs: Mapping[str, Operand]
    scalars: Mapping[str, Parameter[Any] | float]
    options: Mapping[str, Any]

    def operands(self) -> tuple[tuple[Operand, ...], tuple[Operand, ...]]:
        """What it reads and what it writes."""
        return tuple(self.inputs.values()), tuple(self.outputs.values())


@dataclass(frozen=True, slots=True)
class Capture:
    """The user's own stream-ordered code."""

    name: str
    function: Callable[..., None]
    host: Callable[..., None] | None
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]

    def operands(self) -> tuple[tuple[Operand, ...], tuple[Operand, ...]]:
        """What it reads and what it writes."""
        return self.inputs, self.outputs


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy between two tensors of the same size."""

    name: str
    source: Operand
    target: Operand

    def operands(self) -> tuple[tuple[Operand, ...], tuple[Operand, ...]]:
        """What it reads and what it writes."""
        return (self.source,), (self.target,)


@dataclass(frozen=True, slots=True)
class Fill:
    """Every byte of a tensor set to one value."""

    name: str
    target: Operand
    value: int

    def operands(self) -> tuple[tuple[Operand, ...], tuple[Operand, ...]]:
        """What it reads and what it writes."""
        return (), (self.target,)


Work = Kernel | LibraryCall | Capture | Copy | Fill


@dataclass(frozen=True)
class Description:
    """Everything a block's constructor said, in the order it was said."""

    ports: tuple[Port, ...] = ()
    parameters: tuple[Parameter[Any], ...] = ()
    options: tuple[Option, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    work: tuple[Work, ...] = ()
    conditions: Mapping[int, tuple[SizeLike, ...]] = field(default_factory=dict)  # of the work at these positions
    requirements: tuple[tuple[SizeLike, str], ...] = ()  # sizes that may not be 0, and what it means if one is
    children: tuple[Block, ...] = ()
    wires: tuple[tuple[Port, Port], ...] = ()  # (source, destination)
    order: tuple[tuple[Block, Block], ...] = ()  # (earlier, later)
    exposed: tuple[tuple[str, Port | Parameter[Any]], ...] = ()
    layouts: tuple[Layout, ...] = ()  # names under which tensors are stored, besides their own
