"""Is a plan sound? Every index, size and order that a device relies on, checked without a device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import prod

from cudagraph.errors import DeviceError

from .plan import (
    Buffer,
    CaptureNode,
    CopyNode,
    FillNode,
    Hot,
    KernelNode,
    LibraryNode,
    Node,
    Place,
    Plan,
    Pointer,
    RegionNode,
)
from .reachability import Reachability

_SHOWN = 8
_LARGEST_GRID = (2**31 - 1, 65535, 65535)


def check_plan(plan: Plan) -> None:
    """Raise `DeviceError` that lists what is wrong with a plan, if anything is."""
    problems = find_problems(plan)
    if problems:
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DeviceError("the plan is not sound:\n  " + "\n  ".join(problems[:_SHOWN]) + more)


def find_problems(plan: Plan) -> list[str]:
    """All that is wrong with a plan, one sentence each. The order of accesses is judged if all else is right."""
    problems = list(chain(_buffers(plan), _nodes(plan.nodes, plan), _tables(plan)))
    return problems or list(_hazards(plan))


def _buffers(plan: Plan) -> Iterator[str]:
    for index, buffer in enumerate(plan.buffers):
        if buffer.index != index:
            yield f"buffer {buffer.name} is at position {index} and says {buffer.index}"
        if buffer.is_view:
            yield from _view(buffer, plan)
        elif buffer.offset:
            yield f"buffer {buffer.name} owns its memory and has the offset {buffer.offset}"


def _view(buffer: Buffer, plan: Plan) -> Iterator[str]:
    if not 0 <= buffer.base < len(plan.buffers):
        yield f"view {buffer.name} is of buffer {buffer.base}; there are {len(plan.buffers)}"
        return
    root = plan.buffers[buffer.base]
    if root.is_view:
        yield f"view {buffer.name} is of {root.name}, which is a view itself"
    if buffer.place != root.place:
        yield f"view {buffer.name} is said to be in {buffer.place}, its memory in {root.place}"
    if buffer.offset < 0 or buffer.offset + _nbytes(buffer) > _nbytes(root):
        end = buffer.offset + _nbytes(buffer)
        yield f"view {buffer.name} covers bytes {buffer.offset} to {end} of {root.name}, which has {_nbytes(root)}"
    if buffer.offset % buffer.dtype.alignment:
        needed = f"{buffer.dtype} needs a multiple of {buffer.dtype.alignment}"
        yield f"view {buffer.name} starts at byte {buffer.offset}; {needed}"


def _nodes(nodes: Sequence[Node], plan: Plan) -> Iterator[str]:
    for index, node in enumerate(nodes):
        if node.index != index:
            yield f"node {node.name} is at position {index} and says {node.index}"
        for before in node.after:
            if not 0 <= before < index:
                yield f"node {index} ({node.name}) waits for node {before}, which is not before it"
        if not _all_in_range((*node.reads, *node.writes), plan):
            used = f"{node.reads} and {node.writes}"
            yield f"node {index} ({node.name}) uses the buffers {used}; there are {len(plan.buffers)}"
        else:
            yield from _work(node, plan)


def _work(node: Node, plan: Plan) -> Iterator[str]:
    if isinstance(node, KernelNode):
        yield from _kernel(node, plan)
    elif isinstance(node, LibraryNode):
        operands = [index for index in node.operands.values() if not _is_parameter(index, plan)]
        yield from _declared(node, operands, node.reads + node.writes, "operands")
    elif isinstance(node, CaptureNode):
        yield from _declared(node, node.inputs, node.reads, "inputs")
        yield from _declared(node, node.outputs, node.writes, "outputs")
    elif isinstance(node, CopyNode):
        yield from _declared(node, (node.source,), node.reads, "source")
        yield from _declared(node, (node.target,), node.writes, "target")
        yield from _extent(node, (node.source, node.target), node.nbytes, plan)
    elif isinstance(node, FillNode):
        yield from _declared(node, (node.target,), node.writes, "target")
        yield from _extent(node, (node.target,), node.nbytes, plan)
        if not 0 <= node.value <= 255:
            yield f"{node.name} fills with {node.value}, which is no byte"
    elif isinstance(node, RegionNode):
        for body in node.bodies:
            yield from (f"in {node.name}: {problem}" for problem in _nodes(body, plan))


def _kernel(node: KernelNode, plan: Plan) -> Iterator[str]:
    if not 0 <= node.program < len(plan.programs):
        yield f"{node.name} runs program {node.program}; there are {len(plan.programs)}"
    if not all(1 <= blocks <= most for blocks, most in zip(node.grid, _LARGEST_GRID, strict=True)):
        yield f"{node.name} has a grid of {node.grid} blocks; at most {_LARGEST_GRID} can be launched, and at least one"
    if min(node.threads) < 1 or prod(node.threads) > 1024 or node.threads[2] > 64:
        yield f"{node.name} has {node.threads} threads; 1 to 1024 in all can be launched, at most 64 in z"
    pointers = [argument.buffer for argument in node.arguments if isinstance(argument, Pointer)]
    yield from _declared(node, pointers, node.reads + node.writes, "arguments")
    for position, argument in enumerate(node.arguments):
        if isinstance(argument, Hot):
            slot = plan.parameters[argument.parameter] if 0 <= argument.parameter < len(plan.parameters) else None
            if slot is None or (node.index, position) not in slot.uses:
                yield f"argument {position} of {node.name} follows parameter {argument.parameter}, which lists it not"


def _declared(node: Node, used: Iterable[int], declared: Sequence[int], what: str) -> Iterator[str]:
    for buffer in used:
        if buffer not in declared:
            yield f"{what} of {node.name} hold buffer {buffer}, which the node does not say it uses so"


def _extent(node: Node, buffers: Iterable[int], nbytes: int, plan: Plan) -> Iterator[str]:
    for index in buffers:
        if 0 <= index < len(plan.buffers) and nbytes > _nbytes(plan.buffers[index]):
            yield f"{node.name} moves {nbytes} bytes; {plan.buffers[index].name} has {_nbytes(plan.buffers[index])}"


def _tables(plan: Plan) -> Iterator[str]:
    yield from _parameter_slots(plan)
    if plan.counters:
        room = 0 if plan.counter_buffer is None else _nbytes(plan.buffers[plan.counter_buffer]) // 4
        for counter in plan.counters:
            if not 0 <= counter.index < room:
                yield f"counter {counter.name} is number {counter.index} of {room}"
    for pair in plan.delays:
        current, previous = plan.buffers[pair.current], plan.buffers[pair.previous]
        if current.is_view or previous.is_view or (current.shape, current.dtype) != (previous.shape, previous.dtype):
            yield f"{current.name} and {previous.name} cannot swap: both must own memory of one shape and dtype"


def _parameter_slots(plan: Plan) -> Iterator[str]:
    room = 0 if plan.parameter_buffer is None else _nbytes(plan.buffers[plan.parameter_buffer])
    for index, slot in enumerate(plan.parameters):
        if slot.offset is not None and not 0 <= slot.offset <= room - slot.dtype.itemsize:
            yield f"parameter {slot.path} is at byte {slot.offset} of a block of {room}"
        for node, position in slot.uses:
            owner = plan.nodes[node] if 0 <= node < len(plan.nodes) else None
            known = isinstance(owner, KernelNode) and 0 <= position < len(owner.arguments)
            if not known or owner.arguments[position] != Hot(index):  # type: ignore[union-attr]
                yield f"parameter {slot.path} is used by argument {position} of node {node}, which does not follow it"


def _hazards(plan: Plan) -> Iterator[str]:
    """Two nodes that touch the same bytes, one of them writing, must be ordered by a path of `after` edges."""
    reachability = Reachability([node.after for node in plan.nodes])
    for root, accesses in _accesses(plan).items():
        for position, (later, buffer, writes) in enumerate(accesses):
            for earlier, other, wrote in reversed(accesses[:position]):
                if not (writes or wrote) or not _overlap(plan.buffers[buffer], plan.buffers[other]):
                    continue
                if earlier != later and not reachability.precedes(earlier, later):
                    yield _hazard(plan, root, earlier, wrote, later, writes)
                if wrote and other in (root, buffer):
                    break  # whoever came before that is ordered with this writer


def _accesses(plan: Plan) -> dict[int, list[tuple[int, int, bool]]]:
    """Per root: node, buffer (the root or a view) and whether the node writes, in plan order."""
    base = [buffer.base for buffer in plan.buffers]
    accesses: dict[int, list[tuple[int, int, bool]]] = {}
    for node in plan.nodes:
        reads, writes = _uses(node)
        for buffer in reads:
            accesses.setdefault(base[buffer], []).append((node.index, buffer, False))
        for buffer in writes:
            accesses.setdefault(base[buffer], []).append((node.index, buffer, True))
    return {root: found for root, found in accesses.items() if any(writes for _, _, writes in found)}


def _uses(node: Node) -> tuple[Sequence[int], Sequence[int]]:
    if not isinstance(node, RegionNode):
        return node.reads, node.writes
    inner = [_uses(part) for body in node.bodies for part in body]
    reads = {node.condition, *node.reads, *chain.from_iterable(reads for reads, _ in inner)}
    return sorted(reads), sorted({*node.writes, *chain.from_iterable(writes for _, writes in inner)})


def _hazard(plan: Plan, root: int, earlier: int, wrote: bool, later: int, writes: bool) -> str:
    first, second = plan.nodes[earlier].name, plan.nodes[later].name
    verbs = ("writes" if wrote else "reads", "writes" if writes else "reads")
    return f"{first} {verbs[0]} {plan.buffers[root].name} and {second} {verbs[1]} it, but nothing orders the two"


def _overlap(first: Buffer, second: Buffer) -> bool:
    if first is second:
        return True
    return first.offset < second.offset + _nbytes(second) and second.offset < first.offset + _nbytes(first)


def _all_in_range(buffers: Iterable[int], plan: Plan) -> bool:
    count = len(plan.buffers)
    return all(0 <= buffer < count for buffer in buffers)


def _is_parameter(index: int, plan: Plan) -> bool:
    return 0 <= index < len(plan.buffers) and plan.buffers[index].place is Place.PARAMETERS


def _nbytes(buffer: Buffer) -> int:
    return prod(buffer.shape) * buffer.dtype.itemsize
