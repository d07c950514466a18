"""Where each tensor lives inside the arena: a plan goes in, byte offsets come out.

Two buffers may share memory only if every node that touches the one has finished before any node that touches the other
can start, which their order in the plan alone does not tell: independent nodes run at the same time on a device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from .packing import Lifetime, pack
from .plan import Node, Place, Plan, RegionNode
from .reachability import Reachability

_WIDEST_PHASE = 16_384  # nodes; beyond it the masks would cost gigabytes, so memory is not reused inside the phase


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte offsets of all arena buffers, by root buffer index; a view adds its own offset."""

    offsets: Mapping[int, int]
    arena_nbytes: int
    without_reuse_nbytes: int


def plan_memory(plan: Plan, *, reuse: bool = True, alignment: int = 256) -> Layout:
    """Offsets of the plan's arena buffers, a multiple of `alignment` each.

    With `reuse` off every buffer has its own memory, so that nothing is overwritten while a frame is inspected.
    """
    sizes = {
        buffer.index: -(-prod(buffer.shape) * buffer.dtype.itemsize // alignment) * alignment
        for buffer in plan.buffers
        if buffer.base == buffer.index and buffer.place in (Place.ARENA, Place.KEPT)
    }
    total = sum(sizes.values())
    if not reuse:
        return Layout(_one_after_another(sizes), total, total)
    packing = pack(find_lifetimes(plan, sizes))
    offsets = {buffer: packing.offsets.get(buffer, 0) for buffer in sizes}
    arena = max((packing.nbytes, *(sizes[buffer] for buffer in sizes.keys() - packing.offsets.keys())))
    return Layout(offsets, arena, total)


def find_lifetimes(plan: Plan, sizes: Mapping[int, int]) -> list[Lifetime]:
    """Lifetimes of the root buffers in `sizes` (in bytes), except those that no node touches and nobody may read."""
    reachability = Reachability([node.after for node in plan.nodes])
    lifetimes: list[Lifetime] = []
    for buffer, nodes in _touches(plan, sizes).items():
        kept = plan.buffers[buffer].place is Place.KEPT
        if nodes:
            lifetimes.append(_lifetime(buffer, sizes[buffer], nodes, kept, reachability))
        elif kept:
            end = len(reachability.start)
            lifetimes.append(Lifetime(buffer, sizes[buffer], -1, end, 1, 0, -1, len(plan.nodes)))
    return lifetimes


def _one_after_another(sizes: Mapping[int, int]) -> dict[int, int]:
    offsets: dict[int, int] = {}
    offset = 0
    for buffer, size in sizes.items():
        offsets[buffer] = offset
        offset += size
    return offsets


def _touches(plan: Plan, sizes: Mapping[int, int]) -> dict[int, list[int]]:
    """Per root buffer, the nodes that use it or a view of it, in order."""
    base = [buffer.base for buffer in plan.buffers]
    touches: dict[int, list[int]] = {buffer: [] for buffer in sizes}
    for index, node in enumerate(plan.nodes):
        for buffer in _operands(node):
            nodes = touches.get(base[buffer])
            if nodes is not None and (not nodes or nodes[-1] != index):
                nodes.append(index)
    return touches


def _operands(node: Node) -> Sequence[int]:
    """Everything a node uses. A region uses what its bodies use for as long as it runs: a body may run again."""
    if isinstance(node, RegionNode):
        inner = (buffer for body in node.bodies for part in body for buffer in _operands(part))
        return (node.condition, *node.reads, *node.writes, *inner)
    return node.reads + node.writes


def _lifetime(buffer: int, size: int, nodes: list[int], kept: bool, reachability: Reachability) -> Lifetime:
    phase = reachability.phase
    first, last = phase[nodes[0]], phase[nodes[-1]]
    opening = 1 if first & 1 else _opening(nodes, first, reachability)
    if kept:
        return Lifetime(buffer, size, first, len(reachability.start), opening, 0, nodes[0], len(phase))
    behind = 0 if last & 1 else _behind(nodes, last, reachability)
    return Lifetime(buffer, size, first, last, opening, behind, nodes[0], nodes[-1])


def _opening(nodes: list[int], phase: int, reachability: Reachability) -> int:
    """Mask of the nodes of a phase that touch the buffer; its first user alone if that precedes the others."""
    start = reachability.start[phase]
    first = 1 << (nodes[0] - start)
    others = 0
    for node in nodes[1:]:
        if reachability.phase[node] != phase:
            break
        others |= 1 << (node - start)
    if others and reachability.width(phase) <= _WIDEST_PHASE:
        others &= ~reachability.descendants(phase)[nodes[0] - start]
    return first | others


def _behind(nodes: list[int], phase: int, reachability: Reachability) -> int:
    """Mask of the nodes of a phase that come after all of the nodes that touch the buffer."""
    if reachability.width(phase) > _WIDEST_PHASE:
        return 0
    start = reachability.start[phase]
    descendants = reachability.descendants(phase)
    behind = -1
    for node in reversed(nodes):
        if reachability.phase[node] != phase:
            break
        behind &= descendants[node - start]
    return behind
