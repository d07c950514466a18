"""The dataflow between blocks as a networkx graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import networkx as nx

from .block import Block
from .dtypes import show
from .port import DelayPort, Port
from .shape import show_shape


def dataflow(
    blocks: Iterable[Block],
    wires: Mapping[Port, Port],
    order: Iterable[tuple[Block, Block]] = (),
    describe: Callable[[Port], dict[str, Any]] | None = None,
) -> nx.DiGraph:
    """Blocks as nodes (by name, with `kind`, `state`, `time_ms`), wires as edges.

    `wires` maps destinations to sources. `describe` may add facts to an edge, such as the concrete shape and bytes.
    """
    members = list(blocks)
    graph = nx.DiGraph()
    for block in members:
        debug = block.debug
        graph.add_node(block.name, kind=type(block).__name__, state=debug.state.value, time_ms=debug.time_ms)
    inside = {inner: block for block in members for _, inner in block.walk()}
    for destination, source in wires.items():
        ends = inside.get(source.block), inside.get(destination.block)
        if ends[0] is None or ends[1] is None:
            continue  # the composite's own ports: they come from outside
        facts = describe(source) if describe else {"label": f"{show(source.dtype)}{show_shape(tuple(source.shape))}"}
        ports = (source.name, destination.name)
        graph.add_edge(ends[0].name, ends[1].name, **facts, ports=ports, delayed=isinstance(source, DelayPort))
    for earlier, later in order:
        ends = inside.get(earlier), inside.get(later)
        if ends[0] is not None and ends[1] is not None and not graph.has_edge(ends[0].name, ends[1].name):
            graph.add_edge(ends[0].name, ends[1].name, label="", ports=None, delayed=False)
    return graph
