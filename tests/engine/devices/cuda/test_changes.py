"""Changes between launches: scalars, addresses, kernels, captures; each at its own cost and no more."""

from __future__ import annotations

import numpy as np
import pytest

from cudagraph.engine.devices.base import Timing
from cudagraph.errors import DeviceError

N = 300


def test_many_scalars_of_one_node_are_one_call(make, sources, run, driver):
    x, y = make.buffer(N), make.buffer(N)
    make.kernel(sources["scale"], x, y, make.hot(np.float32), np.int32(N), elements=N)
    make.kernel(sources["axpy"], make.hot(np.float32), x, y, np.int32(N), elements=N)
    make.write(x, 1)
    executable = make.build()
    driver.take()
    for value in (1, 2, 3):
        executable.set_scalar(0, 2, np.float32(value).tobytes())
    executable.set_scalar(1, 0, np.float32(0.5).tobytes())
    run(executable)
    assert sorted(driver.take()) == ["cuGraphExecKernelNodeSetParams"] * 2 + ["cuGraphLaunch"]
    np.testing.assert_array_equal(make.read(y), np.full(N, 3.5))


def test_an_address_reaches_kernels_copies_fills_and_views(make, sources, device, run, driver):
    pool, y, z = make.buffer(2 * N), make.buffer(N), make.buffer(N)
    half = make.buffer(N, np.float32, pool, 4 * N)
    make.kernel(sources["scale"], half, y, np.float32(1), np.int32(N), elements=N)
    make.copy(half, z)
    make.fill(half, 0)
    executable = make.build()
    run(executable)
    elsewhere = device.allocate(8 * N)
    device.upload(elsewhere, np.arange(2 * N, dtype=np.float32))
    driver.take()
    executable.set_address(pool, elsewhere)
    run(executable)
    calls = driver.take()
    assert calls.count("cuGraphLaunch") == 1 and len(calls) == 4 and "cuGraphExecUpdate" not in calls
    np.testing.assert_array_equal(make.read(y), np.arange(N, 2 * N))
    np.testing.assert_array_equal(make.read(z), np.arange(N, 2 * N))
    left = np.empty(2 * N, np.float32)
    device.download(elsewhere, left)
    np.testing.assert_array_equal(left, np.concatenate([np.arange(N), np.zeros(N)]))


def test_a_view_cannot_be_moved(make, sources):
    pool = make.buffer(2 * N)
    half = make.buffer(N, np.float32, pool, 4 * N)
    make.fill(half, 1)
    executable = make.build()
    with pytest.raises(DeviceError, match="b1 is a view: move b0"):
        executable.set_address(half, make.addresses[half])


def test_a_delay_swaps_two_addresses_each_frame(make, sources, run):
    """y(t) = x(t) + y(t - 1), without a copy."""
    x, now, before = make.buffer(N), make.buffer(N), make.buffer(N)
    make.kernel(sources["add"], x, before, now, np.int32(N), elements=N)
    make.write(x, np.arange(N))
    executable = make.build()
    a, b = make.addresses[now], make.addresses[before]
    for _ in range(5):
        run(executable)
        a, b = b, a
        executable.set_address(now, a)
        executable.set_address(before, b)
    make.addresses[before] = b
    np.testing.assert_array_equal(make.read(before), 5 * np.arange(N))


def test_a_swapped_kernel_runs_without_a_new_graph(make, sources, program, run, driver):
    x, y = make.buffer(N), make.buffer(N)
    make.kernel(sources["scale"], x, y, make.hot(np.float32), np.int32(N), elements=N)
    make.write(x, 1)
    executable = make.build()
    executable.set_scalar(0, 2, np.float32(3).tobytes())
    run(executable, 1, Timing.NODE)
    driver.take()
    executable.set_kernel(0, make.load(program(sources["scale"].replace("f * x[i]", "f * x[i] + 1"), "scale")))
    run(executable)
    calls = driver.take()
    assert "cuGraphInstantiate" not in calls and "cuGraphExecUpdate" not in calls
    np.testing.assert_array_equal(make.read(y), np.full(N, 4))
    run(executable, 1, Timing.NODE)
    np.testing.assert_array_equal(make.read(y), np.full(N, 4))


def test_replaced_kernels_are_unloaded(make, sources, program, run, driver, device):
    x, y = make.buffer(N), make.buffer(N)
    make.kernel(sources["scale"], x, y, np.float32(1), np.int32(N), elements=N)
    executable = make.build()
    driver.take()
    for step in range(6):
        executable.set_kernel(0, make.load(program(sources["scale"].replace("f * x", f"{step + 2} * x"), "scale")))
        run(executable)
    device.synchronize()
    make.load(program(sources["add"], "add"))
    device.synchronize()
    assert driver.take("cuModuleUnload").count("cuModuleUnload") >= 4


def test_equal_programs_are_loaded_once(make, sources, program, driver):
    driver.take()
    first = make.load(program(sources["scale"], "scale"))
    assert make.load(program(sources["scale"], "scale")) is first
    assert driver.take("cuModuleLoad") == ["cuModuleLoadData"]


def copy_on(driver, device):
    """User code that queues a copy on the stream it is given."""

    def copy(stream, source, target):
        address = source.__cuda_array_interface__["data"][0]
        target_address = target.__cuda_array_interface__["data"][0]
        nbytes = 4 * int(np.prod(source.shape))
        assert stream.__cuda_stream__() == (0, int(stream))
        assert driver.cuMemcpyDtoDAsync(target_address, address, nbytes, int(stream))[0] == 0

    return copy


def test_captured_code_runs_and_follows_addresses(make, device, run, driver):
    x, y = make.buffer(N), make.buffer(N)
    make.capture(copy_on(driver, device), (x,), (y,))
    make.write(x, np.arange(N))
    executable = make.build()
    run(executable)
    np.testing.assert_array_equal(make.read(y), np.arange(N))
    elsewhere = device.allocate(4 * N)
    device.upload(elsewhere, np.full(N, 7, np.float32))
    driver.take()
    executable.set_address(x, elsewhere)
    run(executable)
    calls = driver.take()
    assert calls.count("cuGraphExecChildGraphNodeSetParams") == 1 and "cuGraphInstantiate" not in calls
    np.testing.assert_array_equal(make.read(y), np.full(N, 7))


def test_a_capture_of_another_shape_builds_a_new_graph_and_says_why(make, device, run, driver):
    x, y = make.buffer(N), make.buffer(N)
    copy, times = copy_on(driver, device), [1]

    def repeated(stream, source, target):
        for _ in range(times[0]):
            copy(stream, source, target)

    make.capture(repeated, (x,), (y,))
    executable = make.build()
    run(executable)
    times[0] = 2
    executable.set_address(x, make.addresses[x])
    driver.take()
    run(executable)
    assert driver.take().count("cuGraphInstantiate") == 1
    assert "cuGraphExecChildGraphNodeSetParams" in executable.rebuild_reason


def test_failing_and_empty_captures_are_named(make, driver):
    x, y = make.buffer(N), make.buffer(N)

    def broken(stream, source, target):
        raise ValueError("no such thing")

    make.capture(broken, (x,), (y,))
    with pytest.raises(DeviceError, match="capture#0: the captured function failed with ValueError: no such thing"):
        make.build()
    make.nodes.clear()
    make.capture(lambda stream, source, target: None, (x,), (y,))
    with pytest.raises(DeviceError, match="capture#0: the captured function queued nothing"):
        make.build()


def test_empty_work_is_no_work(make, sources, run):
    x, y = make.buffer(0), make.buffer(0)
    z = make.buffer(N)
    make.copy(x, y)
    make.fill(x, 1)
    make.fill(z, 1)
    executable = make.build()
    run(executable, 1, Timing.NODE)
    run(executable)
    executable.set_address(x, 0)
    run(executable)
    assert (make.read(z).view(np.uint8) == 1).all()


def test_shared_memory_beyond_the_default_is_asked_for(make, run):
    text = """extern "C" __global__ void wide(float* y, int n)
{
    extern __shared__ float room[];
    room[n - 1 - threadIdx.x] = threadIdx.x;
    __syncthreads();
    y[threadIdx.x] = room[threadIdx.x];
}"""
    y = make.buffer(64)
    make.kernel(text, y, np.int32(64), elements=64, shared=60 * 1024)
    run(make.build())
    np.testing.assert_array_equal(make.read(y), np.arange(64)[::-1])
    make.nodes.clear()
    make.kernel(text, y, np.int32(64), elements=64, shared=1 << 20)
    with pytest.raises(DeviceError, match="wide wants 1048576 bytes of shared memory per block, this GPU has"):
        make.build()


def test_a_struct_argument_keeps_its_bytes(make, run):
    text = """struct Box { float4 low; int count; };
extern "C" __global__ void box(Box b, float* y) { y[threadIdx.x] = b.low.w + b.count; }"""
    dtype = np.dtype([("low", "f4", 4), ("count", "i4"), ("pad", "i4", 3)])
    y = make.buffer(4)
    make.kernel(text, make.hot(dtype), y, elements=4, threads=4)
    executable = make.build()
    executable.set_scalar(0, 0, np.array(((0, 0, 0, 1.5), 2, 0), dtype).tobytes())
    run(executable)
    np.testing.assert_array_equal(make.read(y), np.full(4, 3.5))
