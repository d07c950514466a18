"""Another plan in a running executable: updated where the shape allows, built anew where not, untouched on an error."""

from __future__ import annotations

import numpy as np
import pytest

from cudagraph.engine.devices.base import Timing
from cudagraph.errors import DeviceError

N = 500


@pytest.fixture
def scaled(make, sources):
    """y = 2 x, z = y."""
    x, y, z = make.buffer(N), make.buffer(N), make.buffer(N)
    make.kernel(sources["scale"], x, y, np.float32(2), np.int32(N), elements=N)
    make.copy(y, z)
    make.write(x, np.arange(N))
    return make, make.build(), (x, y, z)


def replacement(make, another, sources, factor=5.0):
    """The same shape with another constant."""
    other = another()
    other.buffers, other.addresses = make.buffers, make.addresses
    other.kernel(sources["scale"], 0, 1, np.float32(factor), np.int32(N), elements=N)
    other.copy(1, 2)
    return other


def test_the_same_shape_is_updated_in_place(scaled, another, sources, run, driver):
    make, executable, (_, _, z) = scaled
    run(executable)
    other = replacement(make, another, sources)
    driver.take()
    said = executable.replace(other.plan(), other.addresses, other.kernels())
    run(executable)
    calls = driver.take()
    assert said == "updated the whole graph in place"
    assert calls.count("cuGraphExecUpdate") == 1 and "cuGraphInstantiate" not in calls
    np.testing.assert_array_equal(make.read(z), 5 * np.arange(N))


def test_hot_changes_still_reach_an_updated_graph(make, another, sources, run):
    x, y = make.buffer(N), make.buffer(N)
    make.kernel(sources["scale"], x, y, make.hot(np.float32), np.int32(N), elements=N)
    make.write(x, 1)
    executable = make.build()
    other = another()
    other.buffers, other.addresses = make.buffers, make.addresses
    other.kernel(sources["scale"], x, y, other.hot(np.float32), np.int32(N // 2), elements=N // 2)
    assert "in place" in executable.replace(other.plan(), other.addresses, other.kernels())
    executable.set_scalar(0, 2, np.float32(9).tobytes())
    run(executable)
    np.testing.assert_array_equal(make.read(y), [9] * (N // 2) + [0] * (N // 2))


def test_another_shape_is_instantiated_with_the_reason_in_words(scaled, another, sources, run, driver):
    make, executable, (_, _, z) = scaled
    other = replacement(make, another, sources)
    other.fill(1, 0)
    driver.take()
    said = executable.replace(other.plan(), other.addresses, other.kernels())
    assert (
        said
        == "instantiated a new graph: it has 3 nodes instead of 2"
        == f"instantiated a new graph: {executable.rebuild_reason}"
    )
    calls = driver.take()
    assert calls.count("cuGraphInstantiate") == 1 and "cuGraphExecUpdate" not in calls
    run(executable)
    np.testing.assert_array_equal(make.read(z), 5 * np.arange(N))
    np.testing.assert_array_equal(make.read(1), np.zeros(N))


def test_other_kinds_and_edges_are_told_apart(scaled, another, sources):
    make, executable, _ = scaled
    other = replacement(make, another, sources)
    other.nodes.pop()
    other.fill(2, 1)
    said = executable.replace(other.plan(), other.addresses, other.kernels())
    assert said == "instantiated a new graph: node 1 (fill#1) is a FillNode instead of a CopyNode"
    third = replacement(make, another, sources)
    third.nodes.pop()
    third.fill(2, 1, after=())
    said = executable.replace(third.plan(), third.addresses, third.kernels())
    assert said == "instantiated a new graph: node 1 (fill#1) waits for other nodes"


def test_a_refused_update_is_instantiated_and_the_driver_quoted(make, another, device, run, driver):
    """Two captures of different shape look alike from outside: only the driver knows."""
    x, y = make.buffer(N), make.buffer(N)

    def copies(count):
        def copy(stream, source, target):
            to, origin = (array.__cuda_array_interface__["data"][0] for array in (target, source))
            for _ in range(count):
                driver.cuMemcpyDtoDAsync(to, origin, 4 * N, int(stream))

        return copy

    make.capture(copies(1), (x,), (y,))
    make.write(x, 3)
    executable = make.build()
    other = another()
    other.buffers, other.addresses = make.buffers, make.addresses
    other.capture(copies(2), (x,), (y,))
    said = executable.replace(other.plan(), other.addresses, other.kernels())
    assert said.startswith("instantiated a new graph: the driver refused the update: the topology changed")
    run(executable)
    np.testing.assert_array_equal(make.read(y), np.full(N, 3))


def test_an_error_leaves_the_old_plan_running(scaled, another, sources, run, emulation, device):
    make, executable, (_, _, z) = scaled
    run(executable)
    other = replacement(make, another, sources)
    other.library("no.such", c=1, a=0)
    with pytest.raises(DeviceError, match=r"no library operation 'no.such'; it has: cublas.gemm"):
        executable.replace(other.plan(), other.addresses, other.kernels())
    other.nodes[-1:] = []
    other.kernel(sources["scale"], 0, 1, np.float32(1), np.int32(N), elements=2048, threads=2048)
    with pytest.raises(DeviceError, match=r"2048 threads per block are too many"):
        executable.replace(other.plan(), other.addresses, other.kernels())
    assert len(executable.plan.nodes) == 2
    make.write(0, 1)
    run(executable)
    np.testing.assert_array_equal(make.read(z), np.full(N, 2))


def test_a_failed_instantiation_leaves_the_old_plan_running(scaled, another, sources, run, emulation):
    if emulation is None:
        pytest.skip("no driver that fails on demand")
    make, executable, (_, _, z) = scaled
    other = replacement(make, another, sources)
    other.fill(1, 0)
    emulation.fail("cuGraphInstantiateWithFlags", 1, 2)
    with pytest.raises(
        DeviceError, match=r"cuGraphInstantiate failed: CUDA_ERROR_OUT_OF_MEMORY, out of memory. Free memory"
    ):
        executable.replace(other.plan(), other.addresses, other.kernels())
    run(executable)
    np.testing.assert_array_equal(make.read(z), 2 * np.arange(N))
    assert "instantiated" in executable.replace(other.plan(), other.addresses, other.kernels())


def test_frames_in_flight_finish_with_the_plan_they_started_with(scaled, another, sources):
    make, executable, (_, _, z) = scaled
    executable.launch(0)
    other = replacement(make, another, sources)
    other.fill(1, 0)
    executable.replace(other.plan(), other.addresses, other.kernels())
    executable.launch(1)
    executable.wait()
    assert [record.frame for record in executable.finished()] == [0, 1]
    np.testing.assert_array_equal(make.read(z), 5 * np.arange(N))


def test_records_of_the_old_plan_survive_what_they_were_read_from(make, another, sources, device):
    counters = make.buffer(1, np.uint32)
    make.count(counters, (10,))
    make.fill(counters, 0)
    make.kernel(sources["append"], counters, np.uint32(3), elements=1)
    executable = make.build()
    executable.timing = Timing.NODE
    executable.launch(0)
    other = another()
    other.buffers, other.addresses = make.buffers, make.addresses
    other.fill(counters, 0)
    executable.replace(other.plan(), other.addresses, other.kernels())
    device.synchronize()
    device.free(device.allocate(4))
    (record,) = executable.finished()
    assert record.counters.tolist() == [3] and record.node_times.shape == (2, 2)


def test_whatever_a_failed_update_did_is_set_right(scaled, another, sources, run, emulation, driver):
    if emulation is None:
        pytest.skip("no driver that fails on demand")
    make, executable, (_, _, z) = scaled
    other = replacement(make, another, sources)
    kernels = other.kernels()
    emulation.fail("cuGraphExecUpdate", 1, 910)
    emulation.fail("cuGraphInstantiateWithFlags", 1, 2)
    with pytest.raises(DeviceError, match=r"CUDA_ERROR_OUT_OF_MEMORY"):
        executable.replace(other.plan(), other.addresses, kernels)
    driver.take()
    run(executable)
    assert sorted(driver.take()) == [
        "cuGraphExecKernelNodeSetParams",
        "cuGraphExecMemcpyNodeSetParams",
        "cuGraphLaunch",
    ]
    np.testing.assert_array_equal(make.read(z), 2 * np.arange(N))


def test_node_timing_follows_a_replacement(scaled, another, sources, run):
    make, executable, _ = scaled
    run(executable, 1, Timing.NODE)
    other = replacement(make, another, sources)
    other.fill(1, 0)
    executable.replace(other.plan(), other.addresses, other.kernels())
    (record,) = run(executable, 1, Timing.NODE)
    assert record.node_times.shape == (3, 2)


def test_counters_may_come_and_go(make, another, sources, run):
    counters = make.buffer(1, np.uint32)
    make.fill(counters, 0)
    make.kernel(sources["append"], counters, np.uint32(3), elements=1)
    executable = make.build()
    assert run(executable)[0].counters is None
    make.count(counters, (10,))
    executable.replace(make.plan(), make.addresses, make.kernels())
    assert [record.counters.tolist() for record in run(executable, 2)] == [[3], [3]]
    make.counters, make.counter_buffer = (), None
    executable.replace(make.plan(), make.addresses, make.kernels())
    assert run(executable)[0].counters is None
