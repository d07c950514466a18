"""Timings, reports and traces."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg

X = np.ones(100_000, np.float32)


def _chain(engine: cg.CudaEngine) -> list[cg.Block]:
    chain, shift = engine.add(toy.Chain(2.0, 1.0), toy.Shift(3.0))
    engine.connect(chain.y, shift.x)
    engine.bind(chain.x, X)
    return [chain, shift]


def test_nothing_is_measured_when_nobody_looks(engine: cg.CudaEngine) -> None:
    chain, _ = _chain(engine)
    engine.update(sync=True)
    assert chain.debug.time_ms is None


@pytest.mark.parametrize("level", ["block", "kernel", "deep"])
def test_block_times(engine: cg.CudaEngine, level: str) -> None:
    chain, shift = _chain(engine)
    engine.update()
    engine.profile = level
    for _ in range(5):
        engine.update(sync=True)
    inner = chain.children["scale"].debug.time_ms + chain.children["shift"].debug.time_ms
    assert 0 < shift.debug.time_ms < 1000
    assert chain.debug.time_ms == pytest.approx(inner)
    assert chain.debug.mean_time_ms > 0
    assert chain.debug.frame == engine.frame


def test_levels_switch_live(engine: cg.CudaEngine) -> None:
    _, shift = _chain(engine)
    engine.update()
    engine.profile = "block"
    engine.update(sync=True)
    assert shift.debug.frame == 1
    engine.profile = "off"
    shift.offset.value = 10.0
    engine.update(sync=True)
    assert shift.debug.frame == 1
    np.testing.assert_array_equal(engine.read(shift.y), 2 * X + 11)
    engine.profile = "block"
    shift.offset.value = 20.0
    engine.update(sync=True)
    assert shift.debug.frame == 3
    np.testing.assert_array_equal(engine.read(shift.y), 2 * X + 21)
    with pytest.raises(cg.DescriptionError, match="off, frame, block, kernel, deep"):
        engine.profile = "everything"


def test_frames_of_an_earlier_plan_do_not_reach_the_blocks_of_the_next(engine: cg.CudaEngine) -> None:
    _, shift = _chain(engine)
    keep = engine.add(toy.Filter(0.5, capacity=1000))
    engine.connect(shift.y, keep.x)
    engine.profile = "block"
    for frame in range(12):
        if frame % 4 == 2:
            other = engine.add(toy.Filter(1e9))
            engine.connect(shift.y, other.x)
        engine.update()
        if frame % 4 == 3:
            engine.remove(other)
    engine.synchronize()
    assert keep.debug.append_counts == {"kept": len(X)}
    assert keep.debug.frame == shift.debug.frame == engine.frame


def test_report_is_a_table(engine: cg.CudaEngine) -> None:
    _chain(engine)
    keep = engine.add(toy.Filter(0.5, capacity=10))
    engine.bind(keep.x, X)
    engine.profile = "block"
    engine.update(sync=True)
    text = engine.report()
    for word in ("chain", "  scale", "Shift", "warning", "kept 100,000 / 10", "arena", "nodes"):
        assert word in text
    assert engine.device.description in text


def test_the_kernel_level_reports_every_kernel(engine: cg.CudaEngine) -> None:
    _chain(engine)
    engine.profile = "block"
    engine.update(sync=True)
    assert ":shift" not in engine.report()
    engine.profile = "kernel"
    engine.update(sync=True)
    lines = engine.report().splitlines()
    mean = next(line.split()[1] for line in lines if line.strip().startswith(":shift "))
    assert float(mean) >= 0
    assert sum(line.strip().startswith(":shift ") for line in lines) == 2


def test_trace_opens_in_perfetto(engine: cg.CudaEngine, tmp_path: Path) -> None:
    _chain(engine)
    engine.update()
    with pytest.raises(cg.DescriptionError, match=r"engine\.profile = 'kernel'"):
        engine.trace(tmp_path / "trace.json")
    engine.profile = "kernel"
    for _ in range(3):
        engine.update(sync=True)
    engine.trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {"frame 1", "frame 2", "frame 3", "scale", "shift"} <= {
        event["name"] for event in events if event["ph"] == "X"
    }
    tracks = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {"chain/scale", "chain/shift", "shift"} <= tracks


def test_graph_and_pictures(engine: cg.CudaEngine) -> None:
    _chain(engine)
    engine.update()
    graph = engine.graph()
    assert isinstance(graph, nx.DiGraph)
    assert graph.edges["chain", "shift"]["shape"] == (100_000,)
    assert graph.nodes["chain"]["state"] == "ok"
    for format in ("text", "mermaid", "dot", "svg"):
        picture = cg.render(engine, format)
        assert "chain" in picture and "float32[100000]" in picture
    with pytest.raises(cg.DescriptionError, match="text, mermaid, dot, svg"):
        cg.render(engine, "png")


def test_explain_tells_tiers_apart(engine: cg.CudaEngine) -> None:
    chain, shift = _chain(engine)
    engine.update()
    assert engine.explain().tiers == {cg.Tier.STRUCTURE}
    engine.update()
    assert str(engine.explain()) == "frame 1: clean, one launch"
    chain.factor.value = 5.0
    shift.offset.value = 6.0
    engine.update()
    text = str(engine.explain())
    assert "chain/scale.factor = 5.0: 1 node patched" in text
    assert "shift.offset = 6.0: one upload" in text
