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

    `wires` maps destinations to sources. An edge has a `label`, the `ports` at both ends of each of its wires, and
    whether it is `delayed`. `describe` may add facts, such as the concrete shape and bytes (those of the first wire,
    bytes of all).
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
        facts |= {"ports": ((source.name, destination.name),), "delayed": isinstance(source, DelayPort)}
        _add_wire(graph, ends[0].name, ends[1].name, facts)
    for earlier, later in order:
        ends = inside.get(earlier), inside.get(later)
        if ends[0] is not None and ends[1] is not None and not graph.has_edge(ends[0].name, ends[1].name):
            graph.add_edge(ends[0].name, ends[1].name, label="", ports=(), delayed=False)
    return graph


def _add_wire(graph: nx.DiGraph, source: str, destination: str, facts: dict[str, Any]) -> None:
    """An edge, or what one more wire adds to it."""
    known = graph.get_edge_data(source, destination)
    if known is None:
        graph.add_edge(source, destination, **facts)
        return
    known["label"] += f", {facts['label']}"
    known["ports"] += facts["ports"]
    known["delayed"] &= facts["delayed"]
    if "nbytes" in facts:
        known["nbytes"] = known.get("nbytes", 0) + facts["nbytes"]
