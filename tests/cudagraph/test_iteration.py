"""Walks over shapes that broadcast: every element of every operand is found where NumPy finds it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cudagraph.errors import ShapeError
from cudagraph.iteration import OUTER, Iteration, launch_of, vector_threads
from cudagraph.shape import evaluate_size


class Nothing:
    """A scope that nothing has to be looked up in."""


def operands(result: tuple[int, ...], masks: list[list[bool]]) -> list[tuple[int, ...]]:
    return [tuple(length if whole else 1 for length, whole in zip(result, mask, strict=False)) for mask in masks]


def places(walk, number, rows, columns):
    """Where an operand has each element of the result, as a kernel computes it."""
    table = np.zeros((rows, columns), np.int64)
    for row in range(rows):
        at, rest = 0, row
        for extent, stride in zip(walk.extents, walk.strides[number], strict=True):
            at, rest = at + rest % extent * stride, rest // extent
        table[row] = at + walk.steps[number] * np.arange(columns)
    return table


mask = st.lists(st.booleans(), min_size=5, max_size=5)


@example((3, 2, 2), [[True, False, True, True, True], [False, True, False, True, True]])
@given(st.lists(st.integers(1, 3), max_size=5).map(tuple), st.lists(mask, min_size=1, max_size=3))
def test_a_walk_is_what_numpy_broadcasts(result, masks):
    shapes = operands(result, masks)
    iteration = Iteration("test", result, {f"x{i}": shape for i, shape in enumerate(shapes)})
    walk = iteration.walk(Nothing())  # type: ignore[arg-type]
    assert walk.rows * walk.columns == math.prod(result)
    assert len(walk.extents) <= OUTER
    for number, shape in enumerate(shapes):
        expected = np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), result)
        np.testing.assert_array_equal(places(walk, number, walk.rows, walk.columns).ravel(), expected.ravel())


def test_neighbours_alike_become_one():
    walk = Iteration("test", (2, 3, 4, 5), {"x": (2, 3, 4, 5), "bias": (5,)}).walk(Nothing())  # type: ignore[arg-type]
    assert (walk.extents, walk.columns, walk.steps, walk.strides) == ((24,), 5, (1, 1), ((5,), (0,)))
    walk = Iteration("test", (2, 3, 4, 5), {"x": (2, 3, 4, 5), "bias": (3, 1, 1)}).walk(Nothing())  # type: ignore[arg-type]
    assert (walk.extents, walk.columns, walk.steps, walk.strides) == ((3, 2), 20, (1, 0), ((20, 60), (1, 0)))


def test_what_does_not_broadcast_is_named():
    with pytest.raises(ShapeError, match=r"test works element by element, but x is \[3\].*broadcast to \[2, 4\]"):
        Iteration("test", (2, 4), {"x": (3,)}).walk(Nothing())  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="more than 6"):
        Iteration("test", (2,) * 8, {"x": (1, 2) * 4}).walk(Nothing())  # type: ignore[arg-type]


@given(st.integers(0, 1 << 40))
def test_threads_that_move_vectors_have_16_elements_each_but_enough_threads(size):
    threads = evaluate_size(vector_threads(size), Nothing())  # type: ignore[arg-type]
    assert threads * 16 >= size
    assert threads >= min(-(-size // 4), 1 << 16)
    assert size < 1 << 20 or threads == -(-size // 16)


@given(st.integers(0, 10**6), st.integers(0, 3000), st.sampled_from([1, 4]))
def test_a_launch_has_a_thread_for_everything(rows, columns, each):
    launch = {name: [evaluate_size(size, Nothing()) for size in sizes]  # type: ignore[arg-type]
              for name, sizes in launch_of(rows, columns, each).items()}  # fmt: skip
    (lanes, height), (x, y, z) = launch["threads"], launch["grid"]
    assert lanes * height == 256 and min(x, y, z) >= 1 and max(y, z) <= 65535
    assert x * lanes * each >= columns
    assert y * z * height >= rows
