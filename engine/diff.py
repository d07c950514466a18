"""What changed from one plan to the next, node by node and buffer by buffer, and what that allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .plan import (
    Argument,
    Buffer,
    CaptureNode,
    Constant,
    CopyNode,
    FillNode,
    KernelNode,
    LibraryNode,
    Node,
    Plan,
    Pointer,
    RegionNode,
)

_NAMED = 3  # changes that a summary spells out


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node whose work differs: its index in the new and in the old plan, and what differs ("grid", "arguments")."""

    node: int
    old: int
    name: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.reasons)} of {self.name}"


@dataclass(frozen=True)
class Difference:
    """What a new plan does differently. Indices are of the new plan; removed ones of the old."""

    kept: tuple[int, ...]
    changed: tuple[NodeChange, ...]
    added: tuple[int, ...]
    removed: tuple[int, ...]
    same_topology: bool  # as many nodes, of the same kinds, with the same dependencies, in the same order
    buffers_kept: tuple[int, ...]
    buffers_resized: tuple[int, ...]
    buffers_added: tuple[int, ...]
    buffers_removed: tuple[int, ...]
    origin: tuple[int, ...] = field(repr=False)  # per node of the new plan, its index in the old one, or -1
    buffer_origin: tuple[int, ...] = field(repr=False)  # per buffer of the new plan, its index in the old one, or -1

    @cached_property
    def empty(self) -> bool:
        """Whether both plans do the same work in the same order on the same buffers."""
        nodes = self.changed or self.added or self.removed
        buffers = self.buffers_resized or self.buffers_added or self.buffers_removed
        return self.same_topology and not nodes and not buffers

    def summary(self) -> str:
        """Such as "1 node removed, 1 changed (grid of a:apply), 9 kept; topology changed -> re-instantiate"."""
        words: list[str] = []
        for verb, nodes in (
            ("removed", self.removed),
            ("added", self.added),
            ("changed", self.changed),
            ("kept", self.kept),
        ):
            if nodes:
                noun = "" if words else " node" if len(nodes) == 1 else " nodes"
                detail = f" ({self._changes()})" if nodes is self.changed else ""
                words.append(f"{len(nodes)}{noun} {verb}{detail}")
        return f"{', '.join(words) or 'no nodes'}; {self._consequence()}"

    def _changes(self) -> str:
        named = ", ".join(map(str, self.changed[:_NAMED]))
        more = len(self.changed) - _NAMED
        return f"{named} and {more} more" if more > 0 else named

    def _consequence(self) -> str:
        if not self.same_topology:
            return "topology changed -> re-instantiate"
        return "nothing to do" if self.empty else "same topology -> update in place"


def compare(old: Plan, new: Plan) -> Difference:
    """Match nodes by `Node.key` and buffers by owner and name, and compare what is matched. Takes linear time."""
    buffer_origin = _match(map(_buffer_identity, old.buffers), map(_buffer_identity, new.buffers))
    origin = _match(map(_node_identity, old.nodes), map(_node_identity, new.nodes))
    comparison = _Comparison(old, new, buffer_origin)
    kept: list[int] = []
    changed: list[NodeChange] = []
    for node, before in zip(new.nodes, origin, strict=True):
        if before >= 0:
            reasons = comparison.reasons(old.nodes[before], node)
            if reasons:
                changed.append(NodeChange(node.index, before, node.name, tuple(reasons)))
            else:
                kept.append(node.index)
    matched = [index for index, before in enumerate(buffer_origin) if before >= 0]
    same = [index for index in matched if _fits(old.buffers[buffer_origin[index]], new.buffers[index])]
    return Difference(
        kept=tuple(kept),
        changed=tuple(changed),
        added=_unmatched(origin),
        removed=_missing(origin, len(old.nodes)),
        same_topology=_same_topology(old.nodes, new.nodes),
        buffers_kept=tuple(same),
        buffers_resized=tuple(sorted(set(matched) - set(same))),
        buffers_added=_unmatched(buffer_origin),
        buffers_removed=_missing(buffer_origin, len(old.buffers)),
        origin=tuple(origin),
        buffer_origin=tuple(buffer_origin),
    )


def _buffer_identity(buffer: Buffer) -> Hashable:
    return (id(buffer.owner), buffer.name)


def _node_identity(node: Node) -> Hashable:
    return node.key if node.key != (0, 0) else node.name


def _match(old: Iterable[Hashable], new: Iterable[Hashable]) -> list[int]:
    """For each identity of the new plan, its position in the old one or -1. Of equal ones, the nth is the nth."""
    positions: dict[Hashable, deque[int]] = {}
    for index, identity in enumerate(old):
        positions.setdefault(identity, deque()).append(index)
    return [indices.popleft() if (indices := positions.get(identity)) else -1 for identity in new]


def _unmatched(origin: Sequence[int]) -> tuple[int, ...]:
    return tuple(index for index, before in enumerate(origin) if before < 0)


def _missing(origin: Sequence[int], count: int) -> tuple[int, ...]:
    found = set(origin)
    return tuple(index for index in range(count) if index not in found)


def _fits(old: Buffer, new: Buffer) -> bool:
    return old.shape == new.shape and old.dtype == new.dtype and old.place == new.place


def _same_topology(old: Sequence[Node], new: Sequence[Node]) -> bool:
    if len(old) != len(new):
        return False
    for before, node in zip(old, new, strict=True):
        if type(before) is not type(node) or before.after != node.after:
            return False
        if isinstance(node, RegionNode) and not _same_region(before, node):
            return False
        if isinstance(node, LibraryNode) and isinstance(before, LibraryNode) and before.operation != node.operation:
            return False
    return True


def _same_region(old: Node, new: RegionNode) -> bool:
    if not isinstance(old, RegionNode) or old.kind != new.kind or len(old.bodies) != len(new.bodies):
        return False
    return all(_same_topology(before, body) for before, body in zip(old.bodies, new.bodies, strict=True))


class _Comparison:
    """Compares single nodes of two plans, by what their indices stand for."""

    def __init__(self, old: Plan, new: Plan, buffer_origin: Sequence[int]) -> None:
        programs = {program: index for index, program in enumerate(old.programs)}
        slots = {(id(slot.parameter), slot.path): index for index, slot in enumerate(old.parameters)}
        self._program = [programs.get(program, -1) for program in new.programs]
        self._parameter = [slots.get((id(slot.parameter), slot.path), -1) for slot in new.parameters]
        self._buffer = buffer_origin

    def reasons(self, old: Node, new: Node) -> list[str]:
        """What differs, in words; empty when both do the same work on the same data."""
        if type(old) is not type(new):
            return ["kind"]
        if isinstance(new, KernelNode):
            return self._kernel(old, new)  # type: ignore[arg-type]
        if isinstance(new, LibraryNode):
            return self._library(old, new)  # type: ignore[arg-type]
        if isinstance(new, CaptureNode):
            return self._capture(old, new)  # type: ignore[arg-type]
        if isinstance(new, CopyNode):
            return self._copy(old, new)  # type: ignore[arg-type]
        if isinstance(new, FillNode):
            return self._fill(old, new)  # type: ignore[arg-type]
        return self._region(old, new)  # type: ignore[arg-type]

    def _kernel(self, old: KernelNode, new: KernelNode) -> list[str]:
        reasons: list[str] = []
        if self._program[new.program] != old.program:
            reasons.append("program")
        if new.grid != old.grid:
            reasons.append("grid")
        if new.threads != old.threads:
            reasons.append("threads")
        if new.shared != old.shared:
            reasons.append("shared memory")
        if not self._same_arguments(old.arguments, new.arguments):
            reasons.append("arguments")
        return reasons

    def _same_arguments(self, old: Sequence[Argument], new: Sequence[Argument]) -> bool:
        if len(old) != len(new):
            return False
        for before, argument in zip(old, new, strict=True):
            if type(before) is not type(argument):
                return False
            if isinstance(argument, Pointer):
                if self._buffer[argument.buffer] != before.buffer:  # type: ignore[union-attr]
                    return False
            elif isinstance(argument, Constant):
                if argument.data != before.data:  # type: ignore[union-attr]
                    return False
            elif self._parameter[argument.parameter] != before.parameter:  # type: ignore[union-attr]
                return False
        return True

    def _library(self, old: LibraryNode, new: LibraryNode) -> list[str]:
        reasons: list[str] = []
        if new.operation != old.operation:
            reasons.append("operation")
        if {name: self._buffer[index] for name, index in new.operands.items()} != dict(old.operands):
            reasons.append("operands")
        if dict(new.options) != dict(old.options):
            reasons.append("options")
        return reasons

    def _capture(self, old: CaptureNode, new: CaptureNode) -> list[str]:
        reasons: list[str] = []
        if new.function is not old.function or new.host is not old.host:
            reasons.append("function")
        if not self._same_buffers(old.inputs + old.outputs, new.inputs + new.outputs):
            reasons.append("operands")
        return reasons

    def _copy(self, old: CopyNode, new: CopyNode) -> list[str]:
        reasons = [] if self._same_buffers((old.source, old.target), (new.source, new.target)) else ["operands"]
        return reasons if new.nbytes == old.nbytes else [*reasons, "size"]

    def _fill(self, old: FillNode, new: FillNode) -> list[str]:
        reasons = [] if self._same_buffers((old.target,), (new.target,)) else ["operands"]
        return reasons if (new.nbytes, new.value) == (old.nbytes, old.value) else [*reasons, "contents"]

    def _region(self, old: RegionNode, new: RegionNode) -> list[str]:
        reasons = [] if self._same_buffers((old.condition,), (new.condition,)) else ["condition"]
        if not _same_region(old, new):
            return [*reasons, "bodies"]
        pairs = zip((n for body in old.bodies for n in body), (n for body in new.bodies for n in body), strict=True)
        inner = {reason for before, node in pairs for reason in self.reasons(before, node)}
        return reasons + [f"{reason} in a body" for reason in sorted(inner)]

    def _same_buffers(self, old: Sequence[int], new: Sequence[int]) -> bool:
        return [self._buffer[index] for index in new] == list(old)
