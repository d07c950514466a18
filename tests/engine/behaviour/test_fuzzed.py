"""What the fuzzer found: edits that meet before one frame, and reads of memory that moved on."""

from __future__ import annotations

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg
from cudagraph.blocks import Delay, Flatten

X = np.array([1, 2, 3], np.float32)


def test_an_array_bound_and_taken_away_before_the_frame(engine: cg.CudaEngine) -> None:
    first, second = engine.add(toy.Scale(2.0), toy.Scale(3.0))
    engine.bind(first.x, X)
    engine.bind(second.x, X)
    engine.update()
    engine.bind(first.x, 2 * X)
    engine.bind(second.x, 2 * X)
    engine.unbind(second.x)
    engine.connect(first.y, second.x)
    engine.update()
    np.testing.assert_array_equal(engine.read(second.y), 12 * X)
    engine.bind(first.x, X)
    engine.remove(first)
    engine.bind(second.x, X)
    engine.update()
    np.testing.assert_array_equal(engine.read(second.y), 3 * X)


def test_a_state_assigned_before_its_shape_changes_is_made_anew(engine: cg.CudaEngine) -> None:
    block = engine.add(toy.Accumulate(5.0))
    engine.bind(block.x, X)
    engine.update()
    block.total.value = 100 * X
    engine.bind(block.x, np.ones(2, np.float32))
    engine.update()
    np.testing.assert_array_equal(engine.read(block.y), [6, 6])
    engine.update()
    np.testing.assert_array_equal(block.total.value, [7, 7])


def test_what_an_engine_left_in_a_state_does_not_fix_its_shape(engine: cg.CudaEngine) -> None:
    block = engine.add(toy.Accumulate(5.0))
    engine.bind(block.x, X)
    engine.update()
    engine.remove(block)
    engine.add(block)
    engine.bind(block.x, X)
    engine.update()
    np.testing.assert_array_equal(engine.read(block.y), 5 + 2 * X)
    engine.bind(block.x, np.ones(2, np.float32))
    engine.update()
    assert not engine.errors
    np.testing.assert_array_equal(engine.read(block.y), [6, 6])
    engine.bind(block.x, X)
    engine.update()
    np.testing.assert_array_equal(engine.read(block.y), 5 + X)  # and does not come back


def test_what_changes_while_a_block_is_out_is_seen(engine: cg.CudaEngine) -> None:
    offset, total = engine.add(toy.Offset([1, 2, 3]), toy.Accumulate())
    engine.bind(offset.x, X)
    engine.bind(total.x, X)
    engine.update()
    engine.remove(offset, total)
    offset.weight.value = np.array([10, 20, 30], np.float32)
    total.total.value = np.array([100, 100, 100], np.float32)
    engine.add(offset, total)
    engine.bind(offset.x, X)
    engine.bind(total.x, X)
    engine.update()
    np.testing.assert_array_equal(engine.read(offset.y), 11 * X)
    np.testing.assert_array_equal(engine.read(total.y), 100 + X)


def test_memory_that_an_in_place_output_took_is_not_read(engine: cg.CudaEngine) -> None:
    scale, double = engine.add(toy.Scale(2.0), toy.Double())
    engine.bind(scale.x, X)
    engine.connect(scale.y, double.x)
    engine.update()
    with pytest.raises(cg.DescriptionError, match="taken over by an in-place output"):
        engine.read(scale.y)
    engine.keep(scale.y)
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * X)
    np.testing.assert_array_equal(engine.read(double.outputs[0]), 4 * X)


def test_a_view_of_a_delay_is_not_read(engine: cg.CudaEngine) -> None:
    delay, flat = engine.add(Delay(), Flatten(0))
    engine.bind(delay.x, np.ones((1, 3), np.float32))
    engine.connect(delay.y, flat.x)
    engine.update()
    with pytest.raises(cg.DescriptionError, match="one frame ago"):
        engine.read(flat.y)
