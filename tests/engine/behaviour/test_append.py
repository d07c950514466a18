"""Append ports: what arrives, how many, and what happens when there is no room."""

from __future__ import annotations

import numpy as np
import toy_blocks as toy

import cudagraph as cg

X = np.linspace(-1, 1, 5000, dtype=np.float32)


def test_counts_and_elements(engine: cg.CudaEngine) -> None:
    keep = engine.add(toy.Filter(0.5, capacity=5000))
    engine.bind(keep.x, X)
    engine.update(sync=True)
    expected = X[X > 0.5]
    count = int(engine.read(keep.kept.count))
    assert count == len(expected) == keep.debug.append_counts["kept"]
    np.testing.assert_array_equal(np.sort(engine.read(keep.kept)[:count]), expected)
    assert keep.debug.append_overflow == {}


def test_counters_start_each_frame_at_zero(engine: cg.CudaEngine) -> None:
    keep = engine.add(toy.Filter(0.0, capacity=5000))
    engine.bind(keep.x, X)
    for threshold in (0.0, 0.9, -2.0):
        keep.threshold.value = threshold
        engine.update(sync=True)
        assert keep.debug.append_counts["kept"] == (threshold < X).sum()


def test_overflow_writes_nothing_out_of_bounds_and_says_so(engine: cg.CudaEngine) -> None:
    keep, neighbour = engine.add(toy.Filter(-2.0, capacity=100), toy.Scale(1.0))
    engine.bind(keep.x, X)
    engine.bind(neighbour.x, X)
    engine.update(sync=True)
    assert keep.debug.append_counts["kept"] == len(X)
    assert keep.debug.append_overflow == {"kept": len(X) - 100}
    assert keep.debug.state is cg.BlockState.WARNING
    assert "lost 4,900" in keep.debug.message
    np.testing.assert_array_equal(engine.read(neighbour.y), X)
    assert np.isin(engine.read(keep.kept), X).all()
    keep.threshold.value = 0.999
    engine.update(sync=True)
    assert keep.debug.append_overflow == {}
    assert keep.debug.state is cg.BlockState.OK


def test_a_consumer_reads_the_count_on_the_device(engine: cg.CudaEngine) -> None:
    keep, half = engine.add(toy.Filter(0.0, capacity=5000), toy.HalveCount())
    engine.connect(keep.kept.count, half.count)
    engine.bind(keep.x, X)
    engine.update()
    assert engine.read(half.half) == (X > 0).sum() // 2


def test_many_append_ports_share_one_reset(engine: cg.CudaEngine) -> None:
    filters = [engine.add(toy.Filter(threshold, capacity=5000)) for threshold in (-0.5, 0.0, 0.5)]
    for block in filters:
        engine.bind(block.x, X)
    engine.update(sync=True)
    assert [block.debug.append_counts["kept"] for block in filters] == [(t < X).sum() for t in (-0.5, 0.0, 0.5)]
    assert sum(type(node).__name__ == "FillNode" for node in engine.plan.nodes) == 1
