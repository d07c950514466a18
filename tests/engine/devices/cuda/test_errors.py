"""What goes wrong on the device surfaces as DeviceError, and nothing is left behind."""

from __future__ import annotations

import numpy as np
import pytest

from cudagraph.engine.devices.base import Timing
from cudagraph.engine.devices.cuda import CudaDevice
from cudagraph.engine.devices.cuda.driver import DriverError
from cudagraph.errors import DeviceError
from cudagraph.program import Language

N = 100
OUT_OF_MEMORY = 2


@pytest.fixture
def faulty(emulation):
    """The emulated driver, which fails on demand. A real one does not, so there the test has nothing to run."""
    if emulation is None:
        pytest.skip("no driver that fails on demand")
    yield emulation
    emulation.reset()


def objects(emulation):
    """What exists in the driver; work that is still queued is no object."""
    return {kind: count for kind, count in emulation.live_objects().items() if kind != "pending"}


@pytest.fixture
def doubled(make, sources):
    x, y = make.buffer(N), make.buffer(N)
    make.kernel(sources["scale"], x, y, make.hot(np.float32), np.int32(N), elements=N)
    make.write(x, 1)
    executable = make.build()
    executable.set_scalar(0, 2, np.float32(2).tobytes())
    return make, executable, y


BUILD_CALLS = [
    "cuGraphCreate",
    "cuGraphAddKernelNode",
    "cuGraphAddMemsetNode",
    "cuGraphAddMemcpyNode",
    "cuGraphInstantiateWithFlags",
    "cuGraphUpload",
    "cuEventCreate",
    "cuMemHostAlloc",
]


@pytest.mark.parametrize("call", BUILD_CALLS)
def test_a_build_that_fails_anywhere_leaves_nothing(make, sources, faulty, call, run):
    counters, x = make.buffer(1, np.uint32), make.buffer(N)
    make.count(counters, (1,))
    make.fill(counters, 0)
    make.kernel(sources["append"], counters, np.uint32(1), elements=1)
    make.copy(x, make.buffer(N))
    kernels = make.kernels()
    make.write(x, 0)
    live = objects(faulty)
    faulty.fail(call, 1, OUT_OF_MEMORY)
    with pytest.raises(DeviceError, match=r"CUDA_ERROR_OUT_OF_MEMORY"):
        make.device.build(make.plan(), make.addresses, kernels)
    assert objects(faulty) == live
    assert run(make.build())[0].counters.tolist() == [1]


@pytest.mark.parametrize("call", ["cuGraphCreate", "cuGraphAddKernelNode", "cuGraphExecUpdate", "cuMemHostAlloc"])
def test_a_replacement_that_fails_anywhere_leaves_the_old_plan(doubled, another, sources, faulty, call, run):
    make, executable, y = doubled
    other = another()
    other.buffers, other.addresses = make.buffers, make.addresses
    other.kernel(sources["scale"], 0, 1, np.float32(9), np.int32(N), elements=N)
    other.count(other.buffer(1, np.uint32), (1,))
    kernels = other.kernels()
    faulty.fail(call, 1, OUT_OF_MEMORY)
    if call == "cuGraphExecUpdate":
        other.counters, other.counter_buffer = (), None
        assert "the driver refused the update" in executable.replace(other.plan(), other.addresses, kernels)
        return
    live = objects(faulty)
    with pytest.raises(DeviceError, match=r"CUDA_ERROR_OUT_OF_MEMORY"):
        executable.replace(other.plan(), other.addresses, kernels)
    assert objects(faulty) == live
    run(executable)
    np.testing.assert_array_equal(make.read(y), np.full(N, 2))


def test_a_refused_patch_becomes_a_whole_graph_update(doubled, faulty, run, driver):
    make, executable, y = doubled
    run(executable)
    executable.set_scalar(0, 2, np.float32(3).tobytes())
    faulty.fail("cuGraphExecKernelNodeSetParams", 1, 1)
    driver.take()
    run(executable)
    assert driver.take().count("cuGraphExecUpdate") == 1
    run(executable)
    assert driver.take() == ["cuGraphLaunch"]
    np.testing.assert_array_equal(make.read(y), np.full(N, 3))


def test_a_patch_that_cannot_be_brought_in_is_tried_again(doubled, faulty, run):
    make, executable, y = doubled
    run(executable)
    executable.set_scalar(0, 2, np.float32(3).tobytes())
    for call, code in (
        ("cuGraphExecKernelNodeSetParams", 1),
        ("cuGraphExecUpdate", 910),
        ("cuGraphInstantiateWithFlags", 2),
    ):
        faulty.fail(call, 1, code)
    with pytest.raises(DeviceError, match=r"cuGraphInstantiate failed: CUDA_ERROR_OUT_OF_MEMORY"):
        executable.launch(7)
    run(executable)
    np.testing.assert_array_equal(make.read(y), np.full(N, 3))


def test_a_failed_launch_starts_no_frame(doubled, faulty, run):
    _, executable, _ = doubled
    faulty.fail("cuGraphLaunch", 1, OUT_OF_MEMORY)
    with pytest.raises(
        DeviceError, match=r"frame 3 could not be started: cuGraphLaunch failed: CUDA_ERROR_OUT_OF_MEMORY"
    ):
        executable.launch(3)
    assert executable.finished() == []
    assert [record.frame for record in run(executable)] == [0]


def test_a_measured_graph_that_cannot_be_built_leaves_plain_frames_alone(doubled, faulty, run):
    _, executable, _ = doubled
    faulty.fail("cuGraphAddEventRecordNode", 1, OUT_OF_MEMORY)
    executable.timing = Timing.NODE
    with pytest.raises(DeviceError, match=r"CUDA_ERROR_OUT_OF_MEMORY"):
        executable.launch(0)
    assert len(run(executable)) == 1
    assert run(executable, 1, Timing.NODE)[0].node_times.shape == (1, 2)


def test_a_device_that_cannot_be_made_gives_its_context_back(faulty, driver, compiler):
    live = objects(faulty)
    faulty.fail("cuStreamCreate", 2, OUT_OF_MEMORY)
    with pytest.raises(DeviceError, match=r"cuStreamCreate failed"):
        CudaDevice(compiler=compiler)
    assert objects(faulty) == live


def test_there_is_no_second_gpu(driver):
    with pytest.raises(DeviceError, match=r"There is no GPU 99: this machine has \d+, numbered 0 to"):
        CudaDevice(99)


def test_a_binary_without_the_kernel_or_for_no_gpu_is_refused(make, sources, program, tmp_path):
    binary = make.device.compiler.compile(program(sources["scale"], "scale"))
    with pytest.raises(DeviceError, match=r"scale.cu: the binary has no kernel named 'other'"):
        make.device.load(
            program(sources["scale"], "other").__class__(sources["scale"], "other", "scale.cu"), binary, None
        )
    with pytest.raises(
        DriverError, match=r"scale.cu \(kernel scale\): cuModuleLoadData failed.*It came from .*stale.cubin"
    ):
        make.device.load(program(sources["scale"], "scale"), b"not a binary" * 20, tmp_path / "stale.cubin")


def test_broken_ptx_is_refused_with_its_name(make, program):
    with pytest.raises(DriverError, match=r"f.cu"):
        make.device.load(program("hello", "f", Language.PTX), b"hello\0", None)


def test_scalars_and_options_of_the_wrong_node_are_refused(make):
    x = make.buffer(N)
    make.fill(x, 1)
    executable = make.build()
    with pytest.raises(DeviceError, match=r"fill#0 is no kernel") as caught:
        executable.set_scalar(0, 0, bytes(4))
    assert caught.value.node == 0
    with pytest.raises(DeviceError, match=r"fill#0 is no library call"):
        executable.set_options(0, {})


def test_devices_share_context_and_kernels_and_close_in_any_order(device, compiler, sources, program):
    other = CudaDevice(compiler=compiler)
    made = program(sources["add"], "add")
    binary = device.compiler.compile(made)
    assert device.load(made, binary) is other.load(made, binary)
    address = other.allocate(16)
    other.fill(address, 16, 1)
    device.synchronize()
    other.close()
    other.close()
    address = device.allocate(16)
    device.upload(address, np.ones(2))
