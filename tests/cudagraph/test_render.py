"""Pictures: every block and every wire is in them, whatever they are called."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import networkx as nx
import pytest
from described import binary, context, delay, describe, unary

import cudagraph as cg
from cudagraph.errors import DescriptionError

FORMATS = ("text", "mermaid", "dot", "svg")


def diamond():
    first, left, right, last = unary(), unary(), unary(), binary()
    wires = [(first.y, left.x), (first.y, right.x), (left.y, last.a), (right.y, last.b)]
    return context(first, left, right, last, wires=wires)


def test_text():
    assert cg.render(diamond()).splitlines() == [
        "described (Described)", "  float32[...] -> described_2", "  float32[...] -> described_3",
        "described_2 (Described)", "  float32[...] -> described_4", "described_3 (Described)",
        "  float32[...] -> described_4", "described_4 (Described)",
    ]  # fmt: skip


def test_dot_is_read_back_with_the_same_edges():
    text = cg.render(diamond(), "dot")
    edges = set(re.findall(r'^    "(\w+)" -> "(\w+)" \[label="float32\[\.\.\.\]"\];$', text, re.M))
    assert edges == {("described", f"described_{i}") for i in (2, 3)} | {
        (f"described_{i}", "described_4") for i in (2, 3)
    }


def test_mermaid():
    lines = cg.render(diamond(), "mermaid").splitlines()
    assert lines[0] == "flowchart LR"
    assert '    n0["described (Described)"]' in lines
    assert '    n0 -- "float32[...]" --> n1' in lines
    assert len(lines) == 1 + 4 + 4


def test_svg_is_xml_with_a_box_per_block_and_an_arrow_per_wire():
    root = ElementTree.fromstring(cg.render(diamond(), "svg"))
    space = {"s": "http://www.w3.org/2000/svg"}
    boxes = root.findall("s:rect", space)
    assert len(boxes) == 4
    assert len(root.findall("s:path", space)) == 4
    corners = {(int(box.get("x")), int(box.get("y"))) for box in boxes}
    assert len(corners) == 4
    assert len({x for x, _ in corners}) == 3  # three columns: first, the two in the middle, last


def test_order_without_data_is_dashed():
    made = context(unary(), unary())
    one, two = made.blocks.values()
    made.after(two, one)
    assert "  then described_2" in cg.render(made)
    assert "style=dashed" in cg.render(made, "dot")
    assert "n0 -.-> n1" in cg.render(made, "mermaid")
    assert "stroke-dasharray" in cg.render(made, "svg")


@pytest.mark.parametrize("format", FORMATS)
def test_circles_and_odd_names(format):
    made = context(unary(), delay())
    one, two = made.blocks.values()
    made.connect(one.y, two.x)
    made.connect(two.y, one.x)
    made.add(unary(), 'a "quoted" <b> & \\ name')
    text = cg.render(made, format)
    if format == "svg":
        ElementTree.fromstring(text)
    graph = nx.DiGraph([("a", "b"), ("b", "a")])
    assert graph.number_of_edges() == 2
    assert "quoted" in text


def test_two_wires_between_two_blocks_are_both_told():
    def two(block, b):
        block.p, block.q = b.output("p", (2,)), b.output("q", (3,), "int8")
        b.fill(block.p)
        b.fill(block.q)

    def take(block, b):
        block.p, block.q = b.input("p", (2,)), b.input("q", (3,), "int8")

    one, other = describe(two), describe(take)
    text = cg.render(context(one, other, wires=[(one.p, other.p), (one.q, other.q)]))
    assert "  float32[2], int8[3] -> described_2" in text


def test_a_composite_shows_its_children_and_a_leaf_itself():
    def say(block, b):
        block.one, block.two = b.child(unary()), b.child(unary())
        b.connect(b.input("x", (...,)), block.one.x)
        b.connect(block.one.y, block.two.x)
        b.expose(block.two.y, "y")

    assert cg.render(describe(say)).splitlines() == ["one (Described)", "  float32[...] -> two", "two (Described)"]
    assert cg.render(unary()) == "described (Described)"


def test_wires_into_composites_end_at_what_was_added():
    def say(block, b):
        block.x = b.input("x", (...,))
        block.one = b.child(unary())
        b.connect(block.x, block.one.x)
        block.y = b.expose(block.one.y, "y")

    inner, last = describe(say), unary()
    assert cg.render(context(inner, last, wires=[(inner.y, last.x)])).splitlines()[1] == "  float32[...] -> described_2"


def test_anything_with_a_graph_can_be_drawn():
    class Engine:
        def graph(self):
            graph = nx.DiGraph()
            graph.add_node("a", kind="A", state="error", time_ms=1.5)
            return graph

    assert cg.render(Engine()) == "a (A) 1.500 ms [error]"
    assert cg.render(Engine().graph()) == "a (A) 1.500 ms [error]"


def test_an_empty_context_draws_nothing():
    assert cg.render(context()) == ""
    for format in FORMATS:
        cg.render(context(), format)


def test_unknown_formats():
    with pytest.raises(DescriptionError, match="there is no format 'png'; choose one of text, mermaid, dot, svg"):
        cg.render(context(), "png")
