"""Pictures of a pipeline: text, Mermaid, DOT and SVG, from the dataflow graph."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

import networkx as nx

from .block import Block
from .context import Context
from .dataflow import dataflow
from .errors import DescriptionError

if TYPE_CHECKING:
    from collections.abc import Callable


class HasGraph(Protocol):
    """Anything that knows its dataflow, such as an engine."""

    def graph(self) -> nx.DiGraph:
        """Blocks as nodes, wires as edges."""
        ...


def render(what: HasGraph | Context | Block | nx.DiGraph, format: str = "text") -> str:
    """A picture of an engine, a context or a composite block as "text", "mermaid", "dot" or "svg"."""
    writers: Mapping[str, Callable[[nx.DiGraph], str]] = {"text": _text, "mermaid": _mermaid, "dot": _dot, "svg": _svg}
    if format not in writers:
        raise DescriptionError(f"there is no format {format!r}; choose one of {', '.join(writers)}")
    return writers[format](_graph_of(what))


def _graph_of(what: Any) -> nx.DiGraph:
    if isinstance(what, nx.DiGraph):
        return what
    if isinstance(what, Block):
        description = what.description
        wires = {destination: source for source, destination in description.wires}
        return dataflow(description.children or (what,), wires, description.order)
    if isinstance(what, Context):
        return dataflow(list(what.blocks.values()), what.wires, what.order)
    return what.graph()


def _text(graph: nx.DiGraph) -> str:
    lines: list[str] = []
    for node in _sorted(graph):
        lines.append(_label(graph, node))
        for _, target, data in graph.out_edges(node, data=True):
            lines.append(f"  {data['label']} -> {target}" if data["label"] else f"  then {target}")
    return "\n".join(lines)


def _mermaid(graph: nx.DiGraph) -> str:
    ids = {node: f"n{index}" for index, node in enumerate(graph)}
    lines = ["flowchart LR"]
    lines += [f'    {ids[node]}["{escape(_label(graph, node))}"]' for node in graph]
    for source, target, data in graph.edges(data=True):
        arrow = f'-- "{escape(data["label"])}" -->' if data["label"] else "-.->"
        lines.append(f"    {ids[source]} {arrow} {ids[target]}")
    return "\n".join(lines)


def _dot(graph: nx.DiGraph) -> str:
    lines = ["digraph cudagraph {", "    rankdir=LR;", "    node [shape=box];"]
    lines += [f"    {_quote(node)} [label={_quote(_label(graph, node))}];" for node in graph]
    for source, target, data in graph.edges(data=True):
        style = "" if data["label"] else ", style=dashed"
        lines.append(f"    {_quote(source)} -> {_quote(target)} [label={_quote(data['label'])}{style}];")
    return "\n".join([*lines, "}"])


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 190, 44, 90, 26


def _svg(graph: nx.DiGraph) -> str:
    places = _places(graph)
    width = max((x for x, _ in places.values()), default=0) + _WIDTH + 20
    height = max((y for _, y in places.values()), default=0) + _HEIGHT + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<defs><marker id="arrow" markerWidth="8" markerHeight="8" refX="7" refY="3" orient="auto">'
        '<path d="M0,0 L7,3 L0,6 z" fill="#555"/></marker></defs>',
    ]
    parts += [
        _svg_edge(places[source], places[target], data["label"]) for source, target, data in graph.edges(data=True)
    ]
    parts += [_svg_node(places[node], _label(graph, node)) for node in graph]
    return "\n".join([*parts, "</svg>"])


def _svg_node(place: tuple[int, int], label: str) -> str:
    x, y = place
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#eef3fb" stroke="#456"/>'
        f'<text x="{x + _WIDTH // 2}" y="{y + _HEIGHT // 2 + 4}" text-anchor="middle">{escape(label)}</text>'
    )


def _svg_edge(source: tuple[int, int], target: tuple[int, int], label: str) -> str:
    x1, y1 = source[0] + _WIDTH, source[1] + _HEIGHT // 2
    x2, y2 = target[0], target[1] + _HEIGHT // 2
    bend = _GAP_X // 2
    dashed = "" if label else ' stroke-dasharray="4"'
    return (
        f'<path d="M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2},{y2}" fill="none" '
        f'stroke="#555"{dashed} marker-end="url(#arrow)"/>'
        f'<text x="{(x1 + x2) // 2}" y="{(y1 + y2) // 2 - 4}" text-anchor="middle" fill="#555">{escape(label)}</text>'
    )


def _places(graph: nx.DiGraph) -> dict[str, tuple[int, int]]:
    """Columns by the longest path from a source; edges that close a circle (through a delay) are ignored."""
    forward = nx.DiGraph(graph)
    forward.remove_edges_from([(s, t) for s, t, data in graph.edges(data=True) if data.get("delayed")])
    while not nx.is_directed_acyclic_graph(forward):
        forward.remove_edge(*nx.find_cycle(forward)[-1][:2])
    places: dict[str, tuple[int, int]] = {}
    for column, layer in enumerate(nx.topological_generations(forward)):
        for row, node in enumerate(layer):
            places[node] = (10 + column * (_WIDTH + _GAP_X), 10 + row * (_HEIGHT + _GAP_Y))
    return places


def _sorted(graph: nx.DiGraph) -> list[str]:
    return [node for node, _ in sorted(_places(graph).items(), key=lambda item: item[1])]


def _label(graph: nx.DiGraph, node: str) -> str:
    data = graph.nodes[node]
    time = data.get("time_ms")
    state = data.get("state", "ok")
    return (
        f"{node} ({data['kind']})"
        + (f" {time:.3f} ms" if time else "")
        + ("" if state in ("ok", "not_compiled") else f" [{state}]")
    )
