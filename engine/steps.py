"""Steps: the work of all blocks with its reads and writes, and what becomes of in-place outputs and delays."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from cudagraph.block import Block
from cudagraph.port import AppendPort, DelayPort, Direction, FaultPort, Port, ViewPort
from cudagraph.work import Capture, Copy, LibraryCall, Operand, Work

from .flatten import FlatContext
from .order import Edges


@dataclass(slots=True)
class Step:
    """One piece of work with its operands traced back to the tensors that own the data."""

    block: Block | None  # None: the engine's own work
    position: int  # in the block's description; negative for copies that lowering adds
    work: Work | None  # None: the fill that resets the append counters
    reads: tuple[Operand, ...]
    writes: tuple[Operand, ...]


@dataclass
class StepGraph:
    """All steps with their order, and what was decided about memory on the way."""

    flat: FlatContext
    steps: list[Step] = field(default_factory=list)
    before: Edges = field(default_factory=list)
    order: list[int] = field(default_factory=list)  # a topological one
    writers: dict[Operand, list[int]] = field(default_factory=dict)
    readers: dict[Operand, list[int]] = field(default_factory=dict)
    inplace: dict[Port, Operand] = field(default_factory=dict)  # outputs that took over the memory of a source
    delays: list[DelayPort] = field(default_factory=list)
    copied_delays: set[DelayPort] = field(default_factory=set)
    delay_copies: set[int] = field(default_factory=set)  # the steps that copy them, when their readers are done
    appends: list[AppendPort | FaultPort] = field(default_factory=list)
    counters: set[Operand] = field(default_factory=set)
    overwritten: set[Operand] = field(default_factory=set)  # sources whose memory an in-place output has taken

    def storage(self, operand: Operand) -> Operand:
        """The tensor whose memory this one lives in."""
        operand = self.flat.viewed(operand)
        while operand in self.inplace:
            operand = self.flat.viewed(self.inplace[operand])
        return operand


Included = Callable[[Block, int], bool]
"""Whether a block's work at a position is part of the plan, or `where` leaves it out for the shapes at hand."""


def collect_steps(
    flat: FlatContext, stays: Collection[Operand], denied: Collection[Port], included: Included
) -> StepGraph:
    """Every block's work in order of description, and the copies it needs.

    `stays` are tensors that must be readable after the frame, `denied` outputs that get a copy of their in-place input.
    """
    graph = StepGraph(flat)
    for block in flat.blocks:
        for port in block.description.ports:
            if isinstance(port, DelayPort):
                graph.delays.append(port)
            elif isinstance(port, (AppendPort, FaultPort)):
                graph.appends.append(port)
                graph.counters.add(port.count)
    if graph.appends:
        graph.steps.append(Step(None, 0, None, (), ()))
    for block in flat.blocks:
        for port in block.description.ports:
            if port.inplace is not None:
                _take_over(graph, port, stays, denied)
        for position, work in enumerate(block.description.work):
            if position in block.description.conditions and not included(block, position):
                continue
            reads, writes = work.operands()
            _add(graph, Step(block, position, work, tuple(map(flat.source, reads)), tuple(map(flat.source, writes))))
    _add_delay_copies(graph)
    return graph


def _add(graph: StepGraph, step: Step) -> int:
    index = len(graph.steps)
    graph.steps.append(step)
    for operand in step.reads:
        graph.readers.setdefault(operand, []).append(index)
    for operand in step.writes:
        graph.writers.setdefault(operand, []).append(index)
    return index


def _take_over(graph: StepGraph, port: Port, stays: Collection[Operand], denied: Collection[Port]) -> None:
    """Give an in-place output its input's memory if nobody else may need the old contents, else a copy of them."""
    assert port.inplace is not None
    source = graph.flat.source(port.inplace)
    free = _is_made_each_frame(source) and source not in graph.overwritten and source not in graph.counters
    free = free and graph.storage(source) is not port  # a circle, which is reported when the work is put in order
    if free and port not in denied and source not in stays and not _reads_old_contents(graph.flat, port, source):
        graph.inplace[port] = source
        graph.overwritten.add(source)
    else:
        copy = Copy(f"copy_{port.name}", source, port)
        _add(graph, Step(port.block, _added_position(port, 1), copy, (source,), (port,)))


def _is_made_each_frame(operand: Operand) -> bool:
    output = isinstance(operand, Port) and operand.direction is Direction.OUTPUT
    return output and not isinstance(operand, (DelayPort, ViewPort))


def _reads_old_contents(flat: FlatContext, port: Port, source: Operand) -> bool:
    """Whether the block itself reads the source after it began to write the output, or through another port then."""
    written = False
    for work in port.block.description.work:
        reads, writes = work.operands()
        again = written or port in writes
        for operand in reads if again else ():
            if flat.viewed(operand) is source and (written or operand is not port.inplace):
                return True
        written = again
    return False


def _added_position(port: Port, kind: int) -> int:
    """A position for a copy that lowering adds: the same in every plan, and below those of the block's own work."""
    return -2 * port.block.description.ports.index(port) - kind


def _add_delay_copies(graph: StepGraph) -> None:
    """Delays whose two buffers cannot simply swap get a copy at the end of the frame."""
    swapped: set[Operand] = set()
    fixed = _touched_by_fixed_addresses(graph) if graph.delays else set()
    for delay in graph.delays:
        source = graph.flat.source(delay.source)
        storage = graph.storage(source)
        if storage in swapped or {storage, delay} & fixed or not _swappable(graph, source, storage):
            graph.copied_delays.add(delay)
            copy = Copy(f"keep_{delay.name}", source, delay)
            step = Step(delay.block, _added_position(delay, 2), copy, (source,), (delay,))
            graph.delay_copies.add(_add(graph, step))
        else:
            swapped.add(storage)


def _swappable(graph: StepGraph, source: Operand, storage: Operand) -> bool:
    """Whether the source's memory holds exactly its value when the frame ends, and may be another one in the next."""
    whole = not isinstance(source, ViewPort) and source not in graph.overwritten
    return whole and _is_made_each_frame(storage) and storage not in graph.counters


def _touched_by_fixed_addresses(graph: StepGraph) -> set[Operand]:
    """Storages used by captured work: capturing every frame anew would cost more than a copy."""
    fixed: set[Operand] = set()
    for step in graph.steps:
        if isinstance(step.work, (Capture, LibraryCall)):
            fixed.update(graph.storage(operand) for operand in (*step.reads, *step.writes))
    return fixed
