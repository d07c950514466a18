"""The dirty tracker: what changed, sorted by what it costs."""

from __future__ import annotations

import pytest
from described import describe, kernel

from cudagraph.dirty import DirtyTracker


def say(block, b):
    block.x = b.input("x", (1,))
    block.p, block.q = b.parameter("p", 1.0), b.parameter("q", 1.0)
    block.o = b.option("o", 1, (1, 2))
    block.w, block.s = b.weight("w", (1,)), b.state("s", (1,))
    b.kernel(kernel("const float* x"), grid=1, x=block.x)


@pytest.fixture
def block():
    return describe(say)


@pytest.fixture
def tracker(block):
    tracker = DirtyTracker()
    block.attach(object(), tracker, None)
    return tracker


def test_it_starts_clean(tracker):
    assert not tracker.dirty
    assert not tracker.cold


def test_parameters_are_hot(block, tracker):
    block.q.value, block.p.value, block.q.value = 2, 2, 3
    assert tracker.dirty
    assert not tracker.cold
    assert list(tracker.parameters) == [block.q, block.p]  # each once, in order of the first change


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda block, tracker: setattr(block.w, "value", [2]), "contents"),
        (lambda block, tracker: setattr(block.s, "value", [2]), "contents"),
        (lambda block, tracker: setattr(block.o, "value", 2), "options"),
        (lambda block, tracker: tracker.mark_binding(block.x), "bindings"),
        (lambda block, tracker: block.replace_source('extern "C" __global__ void w(const float* x) {}'), "sources"),
        (lambda block, tracker: tracker.mark_structure("x added"), "structure"),
    ],
)
def test_everything_else_is_cold(block, tracker, change, where):
    change(block, tracker)
    assert tracker.cold
    assert {name for name in tracker.__slots__ if name != "cold" and getattr(tracker, name)} == {where}
    tracker.clear()
    assert not tracker.dirty


def test_what_could_not_be_applied_is_put_back(block, tracker):
    block.p.value, block.w.value, block.o.value = 2, [2], 2
    taken = DirtyTracker()
    tracker.move_to(taken)
    assert not tracker.dirty
    assert (list(taken.parameters), list(taken.contents), list(taken.options)) == ([block.p], [block.w], [block.o])
    block.q.value, block.s.value = 3, [3]  # by another thread, meanwhile
    tracker.put_back(taken)
    assert tracker.cold
    assert list(tracker.parameters) == [block.p, block.q]
    assert (list(tracker.contents), list(tracker.options)) == ([block.w, block.s], [block.o])


def test_the_source_to_fall_back_to_is_the_one_that_ran(block, tracker):
    first = block.source_of(0)
    for name in ("a", "b"):
        block.replace_source(f'extern "C" __global__ void {name}(const float* x) {{}}')
    assert tracker.sources == {(block, 0): first}
    block.restore_source(0, first)
    assert block.source_of(0) is first


def test_a_detached_block_tells_nobody(block, tracker):
    block.attach(None, None, None)
    block.p.value, block.o.value, block.w.value, block.s.value = 5, 2, [3], [3]
    assert not tracker.dirty
