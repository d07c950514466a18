"""Work runs late and in order: what is read, reused or freed too early shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def test_a_result_read_before_waiting_is_stale(bench: Any) -> None:
    y = bench.device([1, 2, 3])
    bench.launch(bench.scale(y, 3, 10.0))
    np.testing.assert_array_equal(bench.read(y, 3), [1, 2, 3])
    bench.finish()
    np.testing.assert_array_equal(bench.read(y, 3), [10, 20, 30])


def test_a_pinned_source_reused_before_the_copy_ran_is_lost(bench: Any, cu: Any) -> None:
    y, staging = bench.device([0.0]), bench.pinned(1)
    staging[0] = 1
    cu.cuMemcpyHtoDAsync(y, staging.ctypes.data, 4, bench.stream)
    staging[0] = 2
    bench.finish()
    assert bench.read(y, 1)[0] == 2


def test_a_pageable_source_is_taken_at_the_call(bench: Any, cu: Any) -> None:
    y, source = bench.device([0.0]), np.array([1], np.float32)
    cu.cuMemcpyHtoDAsync(y, source.ctypes.data, 4, bench.stream)
    source[0] = 2
    bench.finish()
    assert bench.read(y, 1)[0] == 1


def test_a_copy_to_pinned_memory_arrives_late_and_to_pageable_memory_at_once(bench: Any, cu: Any) -> None:
    y, pinned, pageable = bench.device([5.0]), bench.pinned(1), np.zeros(1, np.float32)
    pinned[0] = 0
    cu.cuMemcpyDtoHAsync(pinned.ctypes.data, y, 4, bench.stream)
    assert pinned[0] == 0
    cu.cuMemcpyDtoHAsync(pageable.ctypes.data, y, 4, bench.stream)
    assert pageable[0] == 5 and pinned[0] == 5


def test_a_launch_keeps_the_argument_values_of_its_call(bench: Any) -> None:
    y = bench.device([1.0])
    params = bench.scale(y, 1, 2.0)
    bench.launch(params)
    del params
    bench.finish()
    assert bench.read(y, 1)[0] == 2


def test_an_event_is_not_ready_when_first_asked(bench: Any, cu: Any) -> None:
    event = bench.event()
    assert cu.raw.cuEventQuery(event)[0] == 0  # never recorded: no work
    bench.launch(bench.scale(bench.device([1.0]), 1, 2.0))
    cu.cuEventRecord(event, bench.stream)
    assert cu.raw.cuEventQuery(event)[0] == cu.raw.CUresult.CUDA_ERROR_NOT_READY
    assert cu.raw.cuEventQuery(event)[0] == 0


def test_a_stream_is_not_ready_when_first_asked(bench: Any, cu: Any) -> None:
    y = bench.device([1.0])
    assert cu.raw.cuStreamQuery(bench.stream)[0] == 0
    for factor in (2.0, 3.0):
        bench.launch(bench.scale(y, 1, factor))
        assert cu.raw.cuStreamQuery(bench.stream)[0] == cu.raw.CUresult.CUDA_ERROR_NOT_READY
    assert cu.raw.cuStreamQuery(bench.stream)[0] == 0
    assert bench.read(y, 1)[0] == 6


def test_streams_wait_for_events_only(bench: Any, cu: Any) -> None:
    y, other, event = bench.device([1.0]), bench.new_stream(), bench.event()
    bench.launch(bench.scale(y, 1, 3.0))
    cu.cuEventRecord(event, bench.stream)
    bench.launch(bench.scale(y, 1, 5.0), other)
    cu.cuStreamSynchronize(other)
    assert bench.read(y, 1)[0] == 5  # nothing told `other` to wait
    cu.cuStreamWaitEvent(other, event, 0)
    cu.cuStreamSynchronize(other)
    assert bench.read(y, 1)[0] == 15


def test_blocking_streams_and_the_legacy_stream_wait_for_each_other(bench: Any, cu: Any) -> None:
    y, blocking = bench.device([1.0]), cu.cuStreamCreate(0)
    bench.launch(bench.scale(y, 1, 3.0), blocking)
    assert bench.read(y, 1)[0] == 3  # cuMemcpyDtoH runs on the legacy stream
    cu.cuStreamDestroy(blocking)


def test_elapsed_time_needs_finished_events_with_timing(bench: Any, cu: Any) -> None:
    first, last = bench.event(), bench.event()
    untimed = bench.event(cu.raw.CUevent_flags.CU_EVENT_DISABLE_TIMING)
    with pytest.raises(RuntimeError, match="INVALID_HANDLE"):
        cu.cuEventElapsedTime(first, last)
    for event in (first, untimed, last):
        cu.cuEventRecord(event, bench.stream)
    with pytest.raises(RuntimeError, match="NOT_READY"):
        cu.cuEventElapsedTime(first, last)
    bench.finish()
    assert 0 <= cu.cuEventElapsedTime(first, last) < 1000
    with pytest.raises(RuntimeError, match="INVALID_HANDLE"):
        cu.cuEventElapsedTime(first, untimed)


def test_work_of_a_destroyed_stream_still_runs(bench: Any, cu: Any) -> None:
    y, stream = bench.device([1.0]), cu.cuStreamCreate(1)
    bench.launch(bench.scale(y, 1, 2.0), stream)
    cu.cuStreamDestroy(stream)
    cu.cuCtxSynchronize()
    assert bench.read(y, 1)[0] == 2
    with pytest.raises(RuntimeError, match="INVALID_HANDLE"):
        cu.cuStreamSynchronize(stream)


def test_a_full_queue_runs_its_oldest_half(bench: Any, emulation: Any) -> None:
    y = bench.device([0.0])
    one = bench.device([1.0])
    emulation.set("depth", 10)
    try:
        for _ in range(11):
            bench.launch(bench.saxpy(1, 1.0, one, y))
        assert bench.read(y, 1)[0] == 5
    finally:
        emulation.set("depth", 1024)
    bench.finish()
    assert bench.read(y, 1)[0] == 11


def test_host_functions_run_in_order_and_may_not_call_the_driver(bench: Any, cu: Any) -> None:
    import ctypes

    answers: list[int] = []
    library = ctypes.CDLL("libcuda.so.1")

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def callback(_: object) -> None:
        answers.append(library.cuCtxSynchronize())

    library.cuLaunchHostFunc(ctypes.c_void_p(int(bench.stream)), callback, None)
    assert answers == []
    bench.finish()
    assert answers == [int(cu.raw.CUresult.CUDA_ERROR_NOT_PERMITTED)]
