"""The plan: what one frame does, as immutable data without any device in it.

`lower` makes it from a context, `memory` gives its buffers their place, a `Device` builds an `Executable` from it.
Nodes and buffers refer to each other by index, so a plan can be printed, compared, hashed over and sent anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from cudagraph.dtypes import show
from cudagraph.program import Program


class Place(StrEnum):
    """Where a buffer's storage comes from, and so how long it lives."""

    ARENA = "arena"  # planned by lifetime inside one allocation; contents die with their last reader
    KEPT = "kept"  # in the arena too, but alive to the end of the frame: somebody may read it
    INPUT = "input"  # an array that the user binds
    WEIGHT = "weight"
    STATE = "state"
    DELAY = "delay"  # one of a pair that swaps after each frame
    PARAMETERS = "parameters"  # the packed block of hot scalars
    COUNTERS = "counters"  # the counters of all append ports


@dataclass(frozen=True, slots=True)
class Buffer:
    """One tensor of the plan. `base` is the index of the buffer that owns the storage: itself, unless it is a view."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    place: Place
    base: int
    offset: int = 0  # bytes from the start of `base`
    owner: object = field(default=None, compare=False)  # the Port, Weight or State whose storage outlives the plan

    @property
    def nbytes(self) -> int:
        """Size in bytes (contiguous, C order)."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def is_view(self) -> bool:
        """Whether the storage belongs to another buffer."""
        return self.base != self.index


@dataclass(frozen=True, slots=True)
class Pointer:
    """A kernel argument that is a buffer's address."""

    buffer: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A kernel argument whose bytes are known when the plan is made (a size, a literal)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Hot:
    """A kernel argument that follows a parameter: patched into the node whenever the value changes."""

    parameter: int  # index into `Plan.parameters`


Argument = Pointer | Constant | Hot


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One piece of work. `after` holds the direct predecessors; the order of nodes is already a topological one."""

    index: int
    name: str  # "sim/emitter:emit"
    block: str  # path of the block that asked for it; "" for the engine's own nodes
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    key: tuple[int, int] = field(default=(0, 0), compare=False)  # (block identity, position in it): same across plans


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelNode(Node):
    """A launch of one compiled kernel. `grid` and `threads` are x, y, z; `shared` is dynamic shared memory in bytes."""

    program: int  # index into `Plan.programs`
    grid: tuple[int, int, int]
    threads: tuple[int, int, int]
    shared: int = 0
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryNode(Node):
    """A named library operation: `operands` are buffer indices by name; scalars too (they live on the device)."""

    operation: str
    operands: Mapping[str, int]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureNode(Node):
    """The user's own stream-ordered code: `function(stream, *arrays)` when captured, `host(*arrays)` on a CPU."""

    function: Callable[..., None] = field(compare=False)
    host: Callable[..., None] | None = field(compare=False)
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyNode(Node):
    """A device-to-device copy of `nbytes` from one buffer to another."""

    source: int
    target: int
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FillNode(Node):
    """Sets `nbytes` of a buffer to one byte value."""

    target: int
    value: int
    nbytes: int


class RegionKind(StrEnum):
    """How a region's bodies run."""

    WHEN = "when"
    LOOP = "loop"
    WHILE = "while"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionNode(Node):
    """Bodies that run on a device-side condition. Indices inside a body refer to the whole plan's buffers."""

    kind: RegionKind
    condition: int
    bodies: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class ParameterSlot:
    """Where one hot scalar goes: into node arguments by value, and/or into the parameter block at `offset`."""

    path: str
    dtype: np.dtype[Any]
    offset: int | None  # bytes into the parameter block; None when only passed by value
    uses: tuple[tuple[int, int], ...]  # (node index, argument index)
    parameter: Any = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Counter:
    """One append port's device counter: position `index` in the counters buffer."""

    index: int
    name: str  # "sim/emitter.particles"
    capacity: int
    port: Any = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class DelayPair:
    """Two buffers whose addresses swap after each frame: `current` is written now, `previous` was written before."""

    current: int
    previous: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one frame does."""

    buffers: tuple[Buffer, ...]
    nodes: tuple[Node, ...]
    programs: tuple[Program, ...]
    parameters: tuple[ParameterSlot, ...] = ()
    counters: tuple[Counter, ...] = ()
    delays: tuple[DelayPair, ...] = ()
    parameter_buffer: int | None = None
    parameter_image: bytes = field(default=b"", compare=False)  # first contents of the parameter block
    counter_buffer: int | None = None
    ports: Mapping[object, int] = field(default_factory=dict, compare=False)  # Port, Weight or State -> buffer
    overwritten: Collection[object] = field(default=(), compare=False)  # those whose memory an in-place output took

    def roots(self) -> Iterator[Buffer]:
        """The buffers that own storage."""
        return (buffer for buffer in self.buffers if not buffer.is_view)

    def __str__(self) -> str:
        lines = [f"plan: {len(self.nodes)} nodes, {len(self.buffers)} buffers, {len(self.programs)} programs"]
        for buffer in self.buffers:
            shape = ", ".join(map(str, buffer.shape))
            view = f" in %{buffer.base}+{buffer.offset}" if buffer.is_view else ""
            lines.append(f"  %{buffer.index} = {buffer.place} {show(buffer.dtype)}[{shape}] {buffer.name}{view}")
        for node in self.nodes:
            reads = " ".join(f"%{i}" for i in node.reads)
            writes = " ".join(f"%{i}" for i in node.writes)
            after = f"  after {' '.join(map(str, node.after))}" if node.after else ""
            lines.append(f"  {node.index}: {type(node).__name__} {node.name} ({reads}) -> ({writes}){after}")
        return "\n".join(lines)
