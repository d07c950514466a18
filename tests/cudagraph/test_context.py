"""The context: blocks come and go, with every wire and order that touches them."""

from __future__ import annotations

import pytest
from described import binary, context, describe, inplace, unary

from cudagraph.context import Context
from cudagraph.errors import DescriptionError


def composite():
    def say(block, b):
        block.x = b.input("x", (...,))
        block.inner, block.last = b.child(unary()), b.child(unary())
        b.connect(block.x, block.inner.x)
        b.connect(block.inner.y, block.last.x)
        block.y = b.expose(block.last.y, "y")

    return describe(say)


def test_names_are_made_unique():
    made = context(unary(), unary(), inplace(), unary())
    assert list(made.blocks) == ["described", "described_2", "described_3", "described_4"]
    made.remove(made.blocks["described_2"])
    made.add(unary())
    assert "described_5" in made.blocks
    made.add(unary(), "mine")
    assert made.blocks["mine"].path == "mine"


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "taken"])
def test_names_that_cannot_be(name):
    made = Context()
    made.add(unary(), "taken")
    with pytest.raises(
        DescriptionError, match=f"{name!r} cannot name a block here: names are unique, not empty, without dots"
    ):
        made.add(unary(), name)


def test_a_block_is_added_once():
    block, outer = unary(), composite()
    made = context(block)
    with pytest.raises(DescriptionError, match="described is already here; build a new one"):
        made.add(block)
    with pytest.raises(DescriptionError, match="described/inner is already inside described"):
        made.add(outer.inner)
    block.owner = object()
    with pytest.raises(DescriptionError, match="described is already in an engine"):
        Context().add(block)
    assert list(made.blocks.values()) == [block]


def test_every_edit_is_a_structural_change():
    one, two = unary(), unary()
    made = context(one, two)
    made.connect(one.y, two.x)
    made.disconnect(one.y, two.x)
    made.after(two, one)
    made.keep(one.y)
    made.keep(one.y)
    made.remove(two)
    assert made.tracker.structure == [
        "described added", "described_2 added", "described.y -> described_2.x connected",
        "described.y -> described_2.x disconnected", "described_2 after described",
        "described.y kept", "described_2 removed",
    ]  # fmt: skip


def test_removing_takes_wires_order_and_kept_ports_along():
    first, middle, last = unary(), composite(), unary()
    made = context(first, middle, last, wires=[(first.y, middle.x), (middle.y, last.x)])
    made.after(middle.inner, first)
    made.after(last, middle.inner)
    made.after(last, first)
    made.keep(middle.inner.y, first.y)
    made.remove(middle)
    assert made.wires == {}
    assert list(made.order) == [(first, last)]
    assert list(made.kept) == [first.y]
    made.add(middle)
    assert [block.path for block in made.walk()] == [
        "described",
        "described_3",
        "described_2",
        "described_2/inner",
        "described_2/last",
    ]


def test_wires():
    one, two, three = unary(), unary(), binary()
    made = context(one, two, three)
    made.connect(one.y, three.a)
    made.connect(one.y, three.b)
    assert made.wires == {three.a: one.y, three.b: one.y}
    stranger = unary()
    mistakes = {
        "described_3.a is already fed by described.y; disconnect it first": lambda: made.connect(two.y, three.a),
        "described.y is an output and takes no wire; the order is connect": lambda: made.connect(two.y, one.y),
        "described.x cannot feed itself": lambda: made.connect(one.x, one.x),
        "described is not in this engine; engine.add": lambda: made.connect(stranger.y, one.x),
        "described is not in this engine": lambda: made.connect(one.y, stranger.x),
        "a wire joins two ports, not 1 and": lambda: made.connect(1, one.x),
        "there is no wire described_2.y -> described_3.a; described_3.a is fed by described.y": lambda: made.disconnect(
            two.y, three.a
        ),
        "there is no wire described.y -> described_2.x; described_2.x is not fed by a wire": lambda: made.disconnect(
            one.y, two.x
        ),
    }
    for message, mistake in mistakes.items():
        with pytest.raises(DescriptionError, match=message):
            mistake()
    assert made.wires == {three.a: one.y, three.b: one.y}
    made.disconnect(one.y, three.a)
    assert made.wires == {three.b: one.y}


def test_inner_ports_take_wires_that_nothing_feeds_yet():
    one, outer = unary(), composite()
    made = context(one, outer)
    for port, inner in ((outer.inner.x, "described_2.x"), (outer.last.x, "described_2/inner.y")):
        with pytest.raises(DescriptionError, match=f"{port.path} is already fed by {inner}, inside described_2"):
            made.connect(one.y, port)


def test_order():
    one, outer = unary(), composite()
    made = context(one, outer)
    made.after(outer.inner, one)
    for later, earlier in ((one, one), (outer, outer.inner), (outer.inner, outer)):
        with pytest.raises(DescriptionError, match=r"cannot run after .*: they are, or share, one block"):
            made.after(later, earlier)
    with pytest.raises(DescriptionError, match="is not in this engine"):
        made.after(one, unary())
    assert list(made.order) == [(one, outer.inner)]


def test_only_blocks_that_are_here_can_be_removed_or_kept():
    made, stranger = context(unary()), unary()
    for use in (lambda: made.remove(stranger), lambda: made.keep(stranger.y)):
        with pytest.raises(DescriptionError, match=r"is not in this engine; engine.add"):
            use()
