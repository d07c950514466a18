"""Flattening: all blocks with their paths, and every wire followed to where its data originates."""

from __future__ import annotations

import pytest
from described import context, delay, describe, unary
from hypothesis import given
from hypothesis import strategies as st

from cudagraph.engine.flatten import flatten
from cudagraph.errors import DescriptionError


def through(depth):
    """A composite whose input goes through `depth` levels to a block inside, and whose output comes back."""

    def say(block, b):
        block.x = b.input("x", (...,))
        block.inner = b.child(through(depth - 1) if depth else unary())
        b.connect(block.x, block.inner.x)
        block.y = b.output("y", (...,))
        b.connect(block.inner.y, block.y)
        block.leaf = block.inner.leaf if depth else block.inner

    return describe(say)


@given(st.integers(0, 6), st.integers(0, 6))
def test_wires_are_followed_through_composites(first, second):
    source, target = through(first), through(second)
    flat = flatten(context(source, target, wires=[(source.y, target.x)]))
    assert flat.source(target.leaf.x) is source.leaf.y
    assert flat.source(target.x) is flat.source(source.y) is source.leaf.y
    assert flat.source(source.leaf.x) is source.x  # nothing feeds it
    assert len(flat.blocks) == first + second + 4


def test_blocks_come_in_order_parents_first():
    def say(block, b):
        block.a, block.b = b.child(through(0)), b.child(unary())

    first, second = describe(say), unary()
    flat = flatten(context(first, second))
    paths = ["described", "described/a", "described/a/inner", "described/b", "described_2"]
    assert [flat.paths[block] for block in flat.blocks] == paths
    assert list(flat.paths) == list(flat.blocks)


def test_an_inner_port_may_be_wired_directly():
    def say(block, b):
        block.inner = b.child(unary())

    outer, one = describe(say), unary()
    flat = flatten(context(one, outer, wires=[(one.y, outer.inner.x)]))
    assert flat.source(outer.inner.x) is one.y


def test_inputs_share_what_is_bound_to_one_of_them():
    one, two, three = unary(), unary(), unary()
    flat = flatten(context(one, two, three, wires=[(one.x, two.x), (two.x, three.x)]))
    assert flat.source(three.x) is flat.source(two.x) is one.x


def test_wires_alone_make_no_data():
    one, two = unary(), unary()
    with pytest.raises(
        DescriptionError, match=r"described.*x is fed by itself through wires alone; some block has to make its data"
    ):
        flatten(context(one, two, wires=[(one.x, two.x), (two.x, one.x)]))


def test_views_are_seen_through_and_delays_are_not():
    def say(block, b):
        block.x = b.input("x", (4,))
        block.view = b.view(block.x, (2, 2), name="v")
        block.again = b.view(block.view, (4,), name="w")
        block.state = b.state("s", (4,))
        block.of_state = b.view(block.state, (2,), name="u")

    one, views, later = unary(), describe(say), delay()
    flat = flatten(context(one, views, later, wires=[(one.y, views.x), (views.again, later.x)]))
    assert flat.viewed(later.x) is flat.viewed(views.view) is one.y
    assert flat.source(later.x) is views.again
    assert flat.viewed(views.of_state) is views.state
    assert flat.viewed(later.y) is later.y


def test_views_alone_make_no_data():
    def say(block, b):
        block.x = b.input("x", (4,))
        block.y = b.view(block.x, (4,), name="y")

    one, two = describe(say), describe(say)
    with pytest.raises(DescriptionError, match="is fed by itself through wires alone"):
        flatten(context(one, two, wires=[(one.y, two.x), (two.y, one.x)]))


def test_nothing_is_flat():
    flat = flatten(context())
    assert flat.blocks == ()
    assert flat.sources == {}
