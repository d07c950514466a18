"""Hazards: which step must wait for which, from what they read and write."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby, pairwise

from cudagraph.block import Block
from cudagraph.errors import DescriptionError
from cudagraph.port import DelayPort, Port, ViewPort
from cudagraph.tensor import Tensor, Weight
from cudagraph.work import Operand

from .flatten import FlatContext
from .order import Cycle, ancestors, topological_order
from .steps import Included, StepGraph, collect_steps

Order = Iterable[tuple[Block, Block]]  # (earlier, later)


class _NeededLater(Exception):
    """In-place outputs whose old contents somebody reads after they are overwritten."""

    def __init__(self, ports: set[Port]) -> None:
        super().__init__(ports)
        self.ports = ports


def order_steps(
    flat: FlatContext, order: Order, stays: Collection[Operand], included: Included = lambda block, position: True
) -> StepGraph:
    """All work in an order that respects every hazard. A circle is a `DescriptionError`.

    Outputs take over the memory of their in-place inputs wherever that changes no result and closes no circle; `stays`
    are tensors that must be readable after the frame; work that is not `included` is left out.
    """
    denied: set[Port] = set()
    while True:
        graph = collect_steps(flat, stays, denied, included)
        try:
            _connect(graph, order)
        except _NeededLater as conflict:
            denied |= conflict.ports
        except Cycle as cycle:
            if not graph.inplace:
                raise _cycle_error(graph, cycle) from None
            denied |= graph.inplace.keys()
        else:
            return graph


def _cycle_error(graph: StepGraph, cycle: Cycle) -> DescriptionError:
    """Names the blocks that wait for each other."""
    paths: list[str] = []
    for index in cycle.steps:
        block = graph.steps[index].block
        path = graph.flat.paths[block] if block else "the engine"
        if not paths or paths[-1] != path:
            paths.append(path)
    if len(paths) > 1 and paths[0] == paths[-1]:
        paths.pop()
    error = DescriptionError(
        f"these blocks wait for each other: {' -> '.join((*paths, paths[0]))}; "
        "put a delay on one of the wires (blocks.Delay, or b.delay(...) inside a block)"
    )
    error.block = graph.steps[cycle.steps[0]].block
    return error


def _connect(graph: StepGraph, order: Order) -> None:
    graph.before = [set() for _ in graph.steps]
    _connect_within_blocks(graph)
    _connect_across_blocks(graph)
    _connect_counters(graph)
    _connect_explicit(graph, order)
    viewers = _readers_by_tensor(graph)
    _connect_delay_copies(graph, viewers)
    _connect_shared_tensors(graph)
    _connect_overwrites(graph, viewers)
    graph.order = topological_order(graph.before)


def _connect_within_blocks(graph: StepGraph) -> None:
    """A block's own steps on the same memory run in the order in which they were said."""
    described = (index for index in range(len(graph.steps)) if index not in graph.delay_copies)
    for _, steps in groupby(described, key=lambda index: graph.steps[index].block):
        indices = list(steps)
        if len(indices) > 1:
            _connect_in_turn(graph, indices)


def _connect_in_turn(graph: StepGraph, indices: Iterable[int]) -> None:
    last_writer: dict[Operand, int] = {}
    last_readers: dict[Operand, list[int]] = {}
    for index in indices:
        before = graph.before[index]
        for storage in map(graph.storage, graph.steps[index].reads):
            if storage in last_writer:
                before.add(last_writer[storage])
            last_readers.setdefault(storage, []).append(index)
        for storage in map(graph.storage, graph.steps[index].writes):
            if storage in last_writer:
                before.add(last_writer[storage])
            before.update(last_readers.pop(storage, ()))
            last_writer[storage] = index
        before.discard(index)


def _connect_across_blocks(graph: StepGraph) -> None:
    """Reading what another block writes waits for all of that block's writes."""
    for index, step in enumerate(graph.steps):
        reader = None if index in graph.delay_copies else step.block  # a delay keeps what is there when all is done
        for operand in step.reads:
            for origin in _origins(graph, operand):
                writers = graph.writers.get(origin, ())
                graph.before[index].update(writer for writer in writers if graph.steps[writer].block is not reader)
    for port, source in graph.inplace.items():
        for writer in graph.writers.get(port, ()):
            for origin in _origins(graph, source):
                graph.before[writer].update(graph.writers.get(origin, ()))


def _origins(graph: StepGraph, operand: Operand) -> tuple[Operand, ...]:
    if isinstance(operand, ViewPort):
        return (operand, *_origins(graph, graph.flat.source(operand.source)))
    return () if isinstance(operand, (DelayPort, Weight)) else (operand,)


def _connect_counters(graph: StepGraph) -> None:
    if graph.counters:
        for users in (graph.readers, graph.writers):
            for operand, steps in users.items():
                if graph.flat.viewed(operand) in graph.counters:
                    for index in steps:
                        graph.before[index].add(0)  # the fill that resets all counters is the first step


def _connect_explicit(graph: StepGraph, order: Order) -> None:
    pairs = list(order)
    for block in graph.flat.blocks:
        pairs.extend(block.description.order)
    if not pairs:
        return
    by_block: dict[Block, list[int]] = {}
    for index, step in enumerate(graph.steps):
        block = None if index in graph.delay_copies else step.block
        while block is not None:
            by_block.setdefault(block, []).append(index)
            block = block.parent
    for earlier, later in pairs:
        for index in by_block.get(later, ()):
            graph.before[index].update(by_block.get(earlier, ()))


def _readers_by_tensor(graph: StepGraph) -> dict[Operand, set[int]]:
    """Readers of every tensor, directly or through views."""
    if not graph.inplace and not graph.delay_copies:
        return {}
    readers: dict[Operand, set[int]] = {}
    for operand, steps in graph.readers.items():
        readers.setdefault(graph.flat.viewed(operand), set()).update(steps)
    return readers


def _connect_delay_copies(graph: StepGraph, readers: dict[Operand, set[int]]) -> None:
    """Last frame's value is replaced when everybody has read it."""
    for index in graph.delay_copies:
        graph.before[index] |= readers.get(graph.steps[index].writes[0], set()) - {index}


def _connect_shared_tensors(graph: StepGraph) -> None:
    """Several blocks that write one state or scratch do so one after the other, as described."""
    for operand, writers in graph.writers.items():
        if not isinstance(operand, Tensor) or len({graph.steps[writer].block for writer in writers}) == 1:
            continue
        order = topological_order(graph.before)
        place = {step: index for index, step in enumerate(order)}
        writers = sorted(writers, key=place.__getitem__)
        for first, second in pairwise(writers):
            graph.before[second].add(first)


def _connect_overwrites(graph: StepGraph, readers: dict[Operand, set[int]]) -> None:
    """Whoever reads the old contents goes before the step that overwrites them."""
    if not graph.inplace:
        return
    masks = ancestors(graph.before, topological_order(graph.before))
    late: set[Port] = set()
    for port, source in graph.inplace.items():
        for reader in readers.get(source, ()):
            if graph.steps[reader].block is port.block and reader not in graph.delay_copies:
                continue  # a block's own steps are in order already
            for writer in graph.writers[port]:
                if masks[reader] >> writer & 1:
                    late.add(port)
                graph.before[writer].add(reader)
    if late:
        raise _NeededLater(late)
