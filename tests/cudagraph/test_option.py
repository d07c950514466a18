"""Options: a choice among a few."""

from __future__ import annotations

import pytest
from described import describe

from cudagraph.dirty import DirtyTracker
from cudagraph.errors import DescriptionError


def option(value, choices):
    return describe(lambda block, b: setattr(block, "o", b.option("o", value, choices))).o


def test_a_choice_is_told_to_the_tracker():
    o = option("none", ("none", "relu"))
    tracker = DirtyTracker()
    o.attach(tracker)
    o.value = "none"
    assert not tracker.dirty
    o.value = "relu"
    assert (o.value, list(tracker.options), tracker.cold) == ("relu", [o], True)
    assert repr(o) == "described.o = 'relu'"


def test_anything_else_is_refused_with_the_choices():
    o = option("none", ["none", "relu"])
    with pytest.raises(DescriptionError, match=r"described.o cannot be 'gelu'; choose one of 'none', 'relu'"):
        o.value = "gelu"
    assert o.value == "none"
    with pytest.raises(DescriptionError, match="cannot be 3"):
        option(3, (1, 2))


def test_the_value_is_the_choice_as_it_was_given():
    """1 equals True, but a library that asks for a bool gets one."""
    o = option(0, (False, True))
    assert o.value is False
    o.value = 1
    assert o.value is True
