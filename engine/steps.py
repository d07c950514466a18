"""Steps: the work of all blocks as a graph of reads and writes, before anything has an index or an address."""

from __future__ import annotations

from dataclasses import dataclass, field

from cudagraph.block import Block
from cudagraph.errors import DescriptionError
from cudagraph.port import AppendPort, DelayPort, Direction, Port, ViewPort
from cudagraph.tensor import Weight
from cudagraph.work import Capture, Copy, LibraryCall, Operand, Work

from .flatten import FlatContext
from .order import Cycle, Edges, ancestors, topological_order


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
    appends: list[AppendPort] = field(default_factory=list)
    counters: set[Operand] = field(default_factory=set)
    overwritten: set[Operand] = field(default_factory=set)  # sources whose memory an in-place output has taken

    def storage(self, operand: Operand) -> Operand:
        """The tensor whose memory this one lives in."""
        operand = self.flat.source(operand)
        while True:
            if isinstance(operand, ViewPort):
                operand = self.flat.source(operand.source)
            elif operand in self.inplace:
                operand = self.inplace[operand]  # type: ignore[index]
            else:
                return operand


def build_steps(flat: FlatContext, order: dict[tuple[Block, Block], None]) -> StepGraph:
    """Collect every block's work and find what must wait for what. A circle is a `DescriptionError`."""
    graph = _collect(flat, allow_inplace=True)
    try:
        return _connected(graph, order)
    except Cycle as cycle:
        if not graph.inplace:
            raise _cycle_error(graph, cycle) from None
    graph = _collect(flat, allow_inplace=False)  # reusing memory closed a circle: copy instead
    try:
        return _connected(graph, order)
    except Cycle as cycle:
        raise _cycle_error(graph, cycle) from None


def _cycle_error(graph: StepGraph, cycle: Cycle) -> DescriptionError:
    """Names the blocks that wait for each other."""
    paths: list[str] = []
    for index in cycle.steps:
        block = graph.steps[index].block
        path = graph.flat.paths[block] if block else "the engine"
        if not paths or paths[-1] != path:
            paths.append(path)
    return DescriptionError(
        f"these blocks wait for each other: {' -> '.join((*paths, paths[0]))}; "
        "put a delay on one of the wires (blocks.Delay, or b.delay(...) inside a block)"
    )


def _collect(flat: FlatContext, allow_inplace: bool) -> StepGraph:
    graph = StepGraph(flat)
    for block in flat.blocks:
        for port in block.description.ports:
            if isinstance(port, DelayPort):
                graph.delays.append(port)
            elif isinstance(port, AppendPort):
                graph.appends.append(port)
                graph.counters.add(port.count)
    if graph.appends:
        graph.steps.append(Step(None, 0, None, (), ()))
    for block in flat.blocks:
        for port in block.description.ports:
            if port.inplace is not None:
                _take_over(graph, port, allow_inplace)
        for position, work in enumerate(block.description.work):
            reads, writes = work.operands()
            _add(graph, Step(block, position, work, tuple(map(flat.source, reads)), tuple(map(flat.source, writes))))
    _add_delay_copies(graph)
    return graph


def _add(graph: StepGraph, step: Step) -> None:
    index = len(graph.steps)
    graph.steps.append(step)
    for operand in step.reads:
        graph.readers.setdefault(operand, []).append(index)
    for operand in step.writes:
        graph.writers.setdefault(operand, []).append(index)


def _take_over(graph: StepGraph, port: Port, allowed: bool) -> None:
    """Give an in-place output its input's memory if nobody else may need the old contents, else a copy of them."""
    assert port.inplace is not None
    source = graph.flat.source(port.inplace)
    owned = isinstance(source, Port) and source.direction is Direction.OUTPUT and not isinstance(source, (DelayPort, ViewPort))
    if allowed and owned and source not in graph.overwritten:
        graph.inplace[port] = source
        graph.overwritten.add(source)
    else:
        _add(graph, Step(port.block, _added_position(port, 1), Copy(f"copy_{port.name}", source, port), (source,), (port,)))


def _added_position(port: Port, kind: int) -> int:
    """A position for a copy that lowering adds: the same in every plan, and below those of the block's own work."""
    return -2 * port.block.description.ports.index(port) - kind


def _add_delay_copies(graph: StepGraph) -> None:
    """Delays whose two buffers cannot simply swap get a copy at the end of the frame."""
    storages: dict[Operand, DelayPort] = {}
    shared: set[Operand] = set()
    fixed = _touched_by_fixed_addresses(graph)
    for delay in graph.delays:
        storage = graph.storage(delay.source)
        if storage in storages or not _swappable(graph, storage) or storage in fixed or delay in fixed:
            shared.add(delay)
        storages.setdefault(storage, delay)
    for delay in graph.delays:
        if delay in shared:
            graph.copied_delays.add(delay)
            source = graph.flat.source(delay.source)
            _add(graph, Step(delay.block, _added_position(delay, 2), Copy(f"keep_{delay.name}", source, delay), (source,), (delay,)))


def _swappable(graph: StepGraph, storage: Operand) -> bool:
    made_each_frame = isinstance(storage, Port) and storage.direction is Direction.OUTPUT
    return made_each_frame and not isinstance(storage, DelayPort) and storage not in graph.counters


def _touched_by_fixed_addresses(graph: StepGraph) -> set[Operand]:
    """Storages used by captured work: capturing every frame anew would cost more than a copy."""
    fixed: set[Operand] = set()
    for step in graph.steps:
        if isinstance(step.work, (Capture, LibraryCall)):
            fixed.update(graph.storage(operand) for operand in (*step.reads, *step.writes))
    return fixed


def _connected(graph: StepGraph, order: dict[tuple[Block, Block], None]) -> StepGraph:
    graph.before = [set() for _ in graph.steps]
    _connect_within_blocks(graph)
    _connect_across_blocks(graph)
    _connect_counters(graph)
    _connect_explicit(graph, order)
    if graph.inplace:
        _connect_overwrites(graph)
    for delay in graph.copied_delays:
        for writer in graph.writers[delay]:
            graph.before[writer].update(reader for reader in graph.readers.get(delay, ()) if reader != writer)
    graph.order = topological_order(graph.before)
    return graph


def _connect_within_blocks(graph: StepGraph) -> None:
    """A block's own steps on the same memory run in the order in which they were said."""
    last_writer: dict[tuple[Block, Operand], int] = {}
    last_readers: dict[tuple[Block, Operand], list[int]] = {}
    for index, step in enumerate(graph.steps):
        if step.block is None or (step.position < 0 and step.writes[0] in graph.copied_delays):
            continue
        before = graph.before[index]
        for operand in step.reads:
            key = (step.block, graph.storage(operand))
            if key in last_writer:
                before.add(last_writer[key])
            last_readers.setdefault(key, []).append(index)
        for operand in step.writes:
            key = (step.block, graph.storage(operand))
            if key in last_writer:
                before.add(last_writer[key])
            before.update(reader for reader in last_readers.pop(key, ()) if reader != index)
            last_writer[key] = index


def _connect_across_blocks(graph: StepGraph) -> None:
    """Reading what another block writes waits for all of that block's writes."""
    for index, step in enumerate(graph.steps):
        for operand in step.reads:
            for origin in _origins(graph, operand):
                graph.before[index].update(
                    writer for writer in graph.writers.get(origin, ()) if graph.steps[writer].block is not step.block
                )
    for port, source in graph.inplace.items():
        for writer in graph.writers.get(port, ()):
            for origin in _origins(graph, source):
                graph.before[writer].update(graph.writers.get(origin, ()))


def _origins(graph: StepGraph, operand: Operand) -> tuple[Operand, ...]:
    if isinstance(operand, ViewPort):
        return (operand, *_origins(graph, graph.flat.source(operand.source)))
    return () if isinstance(operand, (DelayPort, Weight)) else (operand,)


def _connect_counters(graph: StepGraph) -> None:
    for counter in graph.counters:
        for index in (*graph.readers.get(counter, ()), *graph.writers.get(counter, ())):
            graph.before[index].add(0)  # the fill that resets all counters is the first step


def _connect_explicit(graph: StepGraph, order: dict[tuple[Block, Block], None]) -> None:
    pairs = list(order)
    for block in graph.flat.blocks:
        pairs.extend(block.description.order)
    if not pairs:
        return
    by_block: dict[Block, list[int]] = {}
    for index, step in enumerate(graph.steps):
        block = step.block
        while block is not None:
            by_block.setdefault(block, []).append(index)
            block = block.parent
    for earlier, later in pairs:
        for index in by_block.get(later, ()):
            graph.before[index].update(by_block.get(earlier, ()))


def _connect_overwrites(graph: StepGraph) -> None:
    """Whoever reads the old contents goes before the step that overwrites them; impossible ones raise `Cycle`."""
    masks = ancestors(graph.before, topological_order(graph.before))
    for port, source in graph.inplace.items():
        readers = {reader for key in _views_of(graph, source) for reader in graph.readers.get(key, ())}
        for writer in graph.writers.get(port, ()):
            for reader in readers:
                if graph.steps[reader].block is port.block:
                    continue
                if masks[reader] >> writer & 1:
                    raise Cycle([writer, reader])
                graph.before[writer].add(reader)


def _views_of(graph: StepGraph, source: Operand) -> list[Operand]:
    views: list[Operand] = [source]
    for key in graph.readers:
        if isinstance(key, ViewPort) and graph.flat.source(key.source) is source:
            views.append(key)
    return views
