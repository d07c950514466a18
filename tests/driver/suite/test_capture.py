"""Stream capture: what goes into the graph, and what a capture forbids."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest


@contextmanager
def capturing(bench: Any, mode: str = "THREAD_LOCAL") -> Iterator[list[Any]]:
    """Captures on the bench's stream; the list holds the graph afterwards."""
    cu, result = bench.cu, []
    cu.cuStreamBeginCapture(bench.stream, getattr(cu.raw.CUstreamCaptureMode, f"CU_STREAM_CAPTURE_MODE_{mode}"))
    try:
        yield result
    finally:
        status, graph = cu.raw.cuStreamEndCapture(bench.stream)
        result.append(graph if not status else status.name)
    if not status:
        bench._undo.append(lambda: cu.raw.cuGraphDestroy(graph))


def test_captured_work_runs_only_when_the_graph_is_launched(bench: Any, cu: Any) -> None:
    y = bench.device([1.0])
    with capturing(bench) as captured:
        bench.launch(bench.scale(y, 1, 2.0))
        cu.cuMemsetD32Async(y + 0, 0x3F800000, 1, bench.stream)
        bench.launch(bench.scale(y, 1, 3.0))
    bench.finish()
    assert bench.read(y, 1)[0] == 1
    assert cu.cuGraphGetNodes(captured[0], 0)[1] == 3
    cu.cuGraphLaunch(bench.instantiate(captured[0]), bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 3


def test_events_fork_and_join_streams(bench: Any, cu: Any) -> None:
    y, other, forked, joined = bench.device(np.ones(2)), bench.new_stream(), bench.event(), bench.event()
    with capturing(bench) as captured:
        bench.launch(bench.scale(y, 1, 2.0))
        cu.cuEventRecord(forked, bench.stream)
        cu.cuStreamWaitEvent(other, forked, 0)
        bench.launch(bench.scale(y + 4, 1, 5.0), other)
        bench.launch(bench.scale(y, 1, 3.0))
        cu.cuEventRecord(joined, other)
        cu.cuStreamWaitEvent(bench.stream, joined, 0)
        bench.launch(bench.scale(y, 2, 10.0))
    graph = captured[0]
    nodes = cu.cuGraphGetNodes(graph, 4)[0]
    assert [cu.cuGraphNodeGetDependencies(node, 0)[-1] for node in nodes] == [0, 1, 1, 2]
    cu.cuGraphLaunch(bench.instantiate(graph), bench.stream)
    bench.finish()
    np.testing.assert_array_equal(bench.read(y, 2), [60, 50])


def test_a_stream_that_is_not_joined_spoils_the_capture(bench: Any, cu: Any) -> None:
    y, other, forked = bench.device([1.0]), bench.new_stream(), bench.event()
    with capturing(bench) as captured:
        bench.launch(bench.scale(y, 1, 2.0))
        cu.cuEventRecord(forked, bench.stream)
        cu.cuStreamWaitEvent(other, forked, 0)
        bench.launch(bench.scale(y, 1, 2.0), other)
    assert captured == ["CUDA_ERROR_STREAM_CAPTURE_UNJOINED"]


@pytest.mark.parametrize("call", ["cuStreamSynchronize", "cuStreamQuery"])
def test_waiting_on_a_capturing_stream_invalidates_the_capture(bench: Any, cu: Any, call: str) -> None:
    y = bench.device([1.0])
    with capturing(bench) as captured:
        with pytest.raises(RuntimeError, match="STREAM_CAPTURE_UNSUPPORTED"):
            getattr(cu, call)(bench.stream)
        with pytest.raises(RuntimeError, match="STREAM_CAPTURE_INVALIDATED"):
            bench.launch(bench.scale(y, 1, 2.0))
    assert captured == ["CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"]


@pytest.mark.parametrize(("mode", "allowed"), [("GLOBAL", False), ("THREAD_LOCAL", False), ("RELAXED", True)])
def test_allocation_is_forbidden_unless_the_capture_is_relaxed(bench: Any, cu: Any, mode: str, allowed: bool) -> None:
    with capturing(bench, mode) as captured:
        status, address = cu.raw.cuMemAlloc(16)
    assert (status == 0) == allowed
    if allowed:
        cu.cuMemFree(address)
    else:
        assert status == cu.raw.CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
        assert captured == ["CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"]


@pytest.mark.parametrize(("mode", "disturbed"), [("GLOBAL", True), ("THREAD_LOCAL", False)])
def test_other_threads_disturb_global_captures_only(bench: Any, cu: Any, mode: str, disturbed: bool) -> None:
    current, statuses = cu.cuCtxGetCurrent(), []

    def allocate() -> None:
        cu.cuCtxSetCurrent(current)
        status, address = cu.raw.cuMemAlloc(16)
        statuses.append(int(status))
        if not status:
            cu.cuMemFree(address)

    with capturing(bench, mode) as captured:
        thread = threading.Thread(target=allocate)
        thread.start()
        thread.join()
    assert (statuses[0] != 0) == disturbed
    assert (captured == ["CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"]) == disturbed


def test_an_event_of_a_capture_cannot_be_waited_for_outside(bench: Any, cu: Any) -> None:
    event = bench.event()
    with capturing(bench) as captured:
        cu.cuEventRecord(event, bench.stream)
        cu.raw.cuThreadExchangeStreamCaptureMode(cu.raw.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED)
        with pytest.raises(RuntimeError, match="CAPTURED_EVENT"):
            cu.cuEventSynchronize(event)
        cu.raw.cuThreadExchangeStreamCaptureMode(cu.raw.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_GLOBAL)
    assert captured == ["CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"]


def test_work_outside_of_the_capture_cannot_be_waited_for_inside(bench: Any, cu: Any) -> None:
    event, other = bench.event(), bench.new_stream()
    cu.cuEventRecord(event, other)
    with capturing(bench) as captured, pytest.raises(RuntimeError, match="STREAM_CAPTURE_ISOLATION"):
        cu.cuStreamWaitEvent(bench.stream, event, 0)
    assert captured == ["CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"]


def test_the_legacy_stream_is_unusable_while_a_blocking_stream_captures(bench: Any, cu: Any) -> None:
    y, blocking = bench.device([1.0]), cu.cuStreamCreate(0)
    cu.cuStreamBeginCapture(blocking, cu.raw.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED)
    with pytest.raises(RuntimeError, match="STREAM_CAPTURE_IMPLICIT"):
        cu.cuMemsetD32Async(y, 0, 1, 0)
    with pytest.raises(RuntimeError, match="STREAM_CAPTURE_INVALIDATED"):
        cu.cuStreamEndCapture(blocking)
    with pytest.raises(RuntimeError, match="STREAM_CAPTURE_UNSUPPORTED"):
        cu.cuStreamBeginCapture(0, cu.raw.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED)
    cu.cuStreamDestroy(blocking)


def test_a_capture_ends_on_its_own_stream_and_thread(bench: Any, cu: Any) -> None:
    other, errors, current = bench.new_stream(), [], cu.cuCtxGetCurrent()
    with capturing(bench):
        with pytest.raises(RuntimeError, match="ILLEGAL_STATE"):
            cu.cuStreamEndCapture(other)

        def end() -> None:
            cu.cuCtxSetCurrent(current)
            errors.append(cu.raw.cuStreamEndCapture(bench.stream)[0])

        thread = threading.Thread(target=end)
        thread.start()
        thread.join()
    assert errors == [cu.raw.CUresult.CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD]


def test_a_capture_may_go_on_in_a_graph_that_exists(bench: Any, cu: Any) -> None:
    y, graph = bench.device([1.0]), bench.graph()
    node = cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, 2.0))
    mode = cu.raw.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    cu.cuStreamBeginCaptureToGraph(bench.stream, graph, [node], None, 1, mode)
    info = cu.cuStreamGetCaptureInfo(bench.stream)
    assert int(info[2]) == int(graph) and [int(n) for n in info[3]] == [int(node)]
    bench.launch(bench.scale(y, 1, 3.0))
    assert int(cu.cuStreamEndCapture(bench.stream)) == int(graph)
    cu.cuGraphLaunch(bench.instantiate(graph), bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 6


def test_external_event_records_become_nodes(bench: Any, cu: Any) -> None:
    event = bench.event()
    with capturing(bench) as captured:
        cu.cuEventRecordWithFlags(event, bench.stream, cu.raw.CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL)
    node = cu.cuGraphGetNodes(captured[0], 1)[0][0]
    assert cu.cuGraphNodeGetType(node) == cu.raw.CUgraphNodeType.CU_GRAPH_NODE_TYPE_EVENT_RECORD


def test_the_source_of_a_captured_copy_is_read_at_replay(bench: Any, cu: Any) -> None:
    y, pinned = bench.device([0.0]), bench.pinned(1)
    pinned[0] = 1
    with capturing(bench) as captured:
        cu.cuMemcpyHtoDAsync(y, pinned.ctypes.data, 4, bench.stream)
    executable = bench.instantiate(captured[0])
    pinned[0] = 2
    cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 2
