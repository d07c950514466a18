"""Launching: frames in flight, records, timings, counters, faults."""

from __future__ import annotations

import time

import numpy as np
import pytest

from cudagraph.engine.devices.base import Timing
from cudagraph.errors import DeviceError

N = 1000


@pytest.fixture
def accumulate(make, sources):
    """y += 1 * x each frame, with the scalar hot."""
    x, y = make.buffer(N), make.buffer(N)
    make.kernel(sources["axpy"], make.hot(np.float32), x, y, np.int32(N), elements=N)
    make.write(x, np.arange(N))
    executable = make.build()
    executable.set_scalar(0, 0, np.float32(1).tobytes())
    return make, executable, y


def test_frames_run_in_order_and_leave_one_record_each(accumulate, run):
    make, executable, y = accumulate
    records = run(executable, 2)
    assert [record.frame for record in records] == [0, 1]
    assert records[0].elapsed_ms is None and records[0].counters is None and records[0].node_times is None
    np.testing.assert_array_equal(make.read(y), 2 * np.arange(N))


def test_a_clean_launch_makes_no_graph_calls_but_the_launch(accumulate, run, driver):
    _, executable, _ = accumulate
    run(executable)
    driver.take()
    executable.launch(1)
    assert driver.take() == ["cuGraphLaunch"]


def test_the_three_newest_records_are_kept(accumulate, run):
    make, executable, y = accumulate
    records = run(executable, 8)
    assert [record.frame for record in records] == [5, 6, 7]
    assert executable.finished() == []
    np.testing.assert_array_equal(make.read(y), 8 * np.arange(N))


def test_frame_timing_gives_elapsed_time_and_can_be_switched_at_any_time(accumulate, run):
    _, executable, _ = accumulate
    executable.timing = Timing.FRAME
    executable.launch(0)
    executable.timing = Timing.OFF
    executable.launch(1)
    executable.timing = Timing.FRAME
    executable.launch(2)
    executable.wait()
    elapsed = [record.elapsed_ms for record in executable.finished()]
    assert elapsed[0] is not None and elapsed[0] >= 0 and elapsed[1] is None and elapsed[2] is not None


def test_node_timing_measures_every_node_and_leaves_the_plain_graph_alone(make, sources, run, driver):
    x, y, z = make.buffer(N), make.buffer(N), make.buffer(N)
    make.kernel(sources["scale"], x, y, np.float32(2), np.int32(N), elements=N)
    make.copy(y, z)
    make.fill(y, 0)
    make.write(x, 1)
    executable = make.build()
    driver.take()
    (record,) = run(executable, 1, Timing.NODE)
    calls = driver.take()
    assert calls.count("cuGraphInstantiate") == 1 and calls.count("cuGraphAddEventRecordNode") == 6
    assert record.node_times.shape == (3, 2) and record.elapsed_ms is not None
    assert (record.node_times[:, 1] >= record.node_times[:, 0]).all()
    assert record.node_times[0, 1] <= record.node_times[1, 0] + 1e-3
    np.testing.assert_array_equal(make.read(z), np.full(N, 2))
    run(executable, 1, Timing.OFF)
    run(executable, 1, Timing.NODE)
    assert "cuGraphInstantiate" not in driver.take()


def test_node_times_of_successive_frames_are_not_mixed(accumulate):
    _, executable, _ = accumulate
    executable.timing = Timing.NODE
    for frame in range(3):
        executable.launch(frame)
    executable.wait()
    records = executable.finished()
    assert len(records) == 3
    for record in records:
        assert record.node_times.min() >= 0 and record.node_times.max() <= record.elapsed_ms + 1e-3


def test_finished_frames_are_seen_without_waiting(accumulate):
    _, executable, _ = accumulate
    executable.launch(0)
    deadline, records = time.monotonic() + 10, []
    while not records and time.monotonic() < deadline:
        records = executable.finished()
    assert [record.frame for record in records] == [0]


def test_changes_reach_the_plain_and_the_measured_graph_alike(accumulate, run):
    make, executable, y = accumulate
    run(executable, 1, Timing.NODE)
    executable.set_scalar(0, 0, np.float32(10).tobytes())
    run(executable, 1, Timing.OFF)
    run(executable, 1, Timing.NODE)
    executable.set_scalar(0, 0, np.float32(100).tobytes())
    run(executable, 1, Timing.NODE)
    run(executable, 1, Timing.OFF)
    np.testing.assert_array_equal(make.read(y), (1 + 10 + 10 + 100 + 100) * np.arange(N))


def test_counters_of_each_frame_in_flight_are_its_own(make, sources):
    counters = make.buffer(2, np.uint32)
    first, second = make.buffer((), np.uint32, counters, 0), make.buffer((), np.uint32, counters, 4)
    make.count(counters, (10, 10))
    make.fill(counters, 0)
    by = make.hot(np.uint32)
    make.kernel(sources["append"], first, by, elements=1)
    make.kernel(sources["append"], second, np.uint32(7), elements=1)
    executable = make.build()
    for frame in range(3):
        executable.set_scalar(1, 1, np.uint32(frame + 1).tobytes())
        executable.launch(frame)
    executable.wait()
    assert [record.counters.tolist() for record in executable.finished()] == [[1, 7], [2, 7], [3, 7]]


def test_moved_counters_are_read_where_they_are(make, sources, device, run):
    counters = make.buffer(1, np.uint32)
    make.count(counters, (10,))
    make.fill(counters, 0)
    make.kernel(sources["append"], counters, np.uint32(3), elements=1)
    executable = make.build()
    run(executable)
    elsewhere = device.allocate(4)
    device.fill(elsewhere, 4, 0xFF)
    executable.set_address(counters, elsewhere)
    device.fill(make.addresses[counters], 4, 0xFF)
    assert run(executable)[0].counters.tolist() == [3]


def test_a_scalar_of_the_wrong_size_is_refused(accumulate):
    _, executable, _ = accumulate
    with pytest.raises(DeviceError, match="argument 0 has 4 bytes, 8 were given"):
        executable.set_scalar(0, 0, bytes(8))


def test_closing_twice_and_with_frames_in_flight_is_safe(accumulate):
    _, executable, _ = accumulate
    executable.launch(0)
    executable.close()
    executable.close()
