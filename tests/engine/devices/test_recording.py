from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cudagraph.engine.cache import BinaryCache
from cudagraph.engine.compile import compile_programs
from cudagraph.engine.devices.base import Device, Timing
from cudagraph.engine.devices.recording import RecordingDevice
from cudagraph.engine.plan import (
    Buffer,
    Constant,
    Counter,
    Hot,
    KernelNode,
    LibraryNode,
    ParameterSlot,
    Place,
    Plan,
    Pointer,
)
from cudagraph.errors import CompileError, DeviceError
from cudagraph.program import Language, Program

FLOAT = np.dtype(np.float32)
PROGRAM = Program("// text", "scale", "scale.cu")


@pytest.fixture
def device():
    return RecordingDevice(logging=True)


def make_plan(grid=4, extra=False):
    """x -> scale (gain, n) -> y and its upper half -> gemm -> z."""
    buffers = (
        Buffer(0, "x", (16,), FLOAT, Place.INPUT, 0),
        Buffer(1, "y", (16,), FLOAT, Place.ARENA, 1),
        Buffer(2, "y[8:]", (8,), FLOAT, Place.ARENA, 1, 32),
        Buffer(3, "z", (16,), FLOAT, Place.KEPT, 3),
        Buffer(4, "counters", (1,), np.dtype(np.uint32), Place.COUNTERS, 4),
    )
    scale = KernelNode(
        index=0,
        name="a:scale",
        block="a",
        reads=(0,),
        writes=(1,),
        key=(1, 0),
        program=0,
        grid=(grid, 1, 1),
        threads=(32, 1, 1),
        arguments=(Pointer(0), Hot(0), Pointer(1), Constant(b"12345678")),
    )
    gemm = LibraryNode(
        index=1,
        name="b:gemm",
        block="b",
        reads=(2,),
        writes=(3,),
        after=(0,),
        key=(2, 0),
        operation="cublas.gemm",
        operands={"a": 2, "c": 3},
        options={"tf32": False},
    )
    again = replace(scale, index=2, name="c:scale", reads=(), writes=(), arguments=(), key=(3, 0))
    nodes = (scale, gemm, again) if extra else (scale, gemm)
    slots = (ParameterSlot("a.gain", FLOAT, None, ((0, 1),)),)
    return Plan(buffers, nodes, (PROGRAM,), slots, (Counter(0, "a.out", 16),), counter_buffer=4)


def allocate(device, plan):
    addresses = {root.index: device.allocate(root.nbytes) for root in plan.roots()}
    return [addresses[buffer.base] + buffer.offset for buffer in plan.buffers]


def load(device, program=PROGRAM):
    return device.load(program, device.compiler.compile(program), None)


@pytest.fixture
def executable(device):
    plan = make_plan()
    built = device.build(plan, allocate(device, plan), [load(device)])
    device.calls.clear()
    device.log.clear()
    return built


def test_it_is_a_device(device):
    assert isinstance(device, Device)


def test_requests_are_counted_and_logged(device):
    address = device.allocate(100)
    device.fill(address, 100, 1)
    device.synchronize()
    device.free(address)
    assert device.calls == {"allocate": 1, "fill": 1, "synchronize": 1, "free": 1}
    assert [name for name, _ in device.log] == ["allocate", "fill", "synchronize", "free"]
    assert device.log[0] == ("allocate", {"nbytes": 100})


def test_the_log_can_be_off():
    device = RecordingDevice()
    device.allocate(1)
    assert device.log == []
    assert device.calls["allocate"] == 1
    device.logging = True
    device.allocate(1)
    assert len(device.log) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.bool_, "bfloat16", [("p", np.float32, 3), ("id", np.int32)]])
@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (0, 4)])
def test_uploads_come_back(device, dtype, shape):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    count = int(np.prod(shape))
    data = np.frombuffer(bytes(i % 2 for i in range(count * dtype.itemsize)), np.uint8).view(dtype).reshape(shape)
    address = device.allocate(data.nbytes)
    device.upload(address, data)
    out = np.empty(shape, dtype)
    device.download(address, out)
    assert out.tobytes() == data.tobytes()
    assert device.view(address, shape, dtype, None).tobytes() == data.tobytes()
    assert device.calls["upload_bytes"] == data.nbytes


def test_parts_of_an_allocation(device):
    address = device.allocate(16)
    device.upload(address + 4, np.arange(2, dtype=np.int32))
    device.fill(address + 12, 4, 0)
    out = np.empty(4, np.int32)
    device.download(address, out)
    assert out.tolist() == [-1, 0, 1, 0]  # what nobody wrote is all ones


def test_addresses_are_aligned_distinct_and_never_reused(device):
    first = device.allocate(256)
    device.free(first)
    second = device.allocate(0)
    third = device.allocate(1)
    assert len({first, second, third}) == 3
    assert all(address % 256 == 0 for address in (first, second, third))
    assert device.allocations == 2
    assert device.allocated_nbytes == 1


def test_memory_errors(device):
    address = device.allocate(16)
    with pytest.raises(DeviceError, match="not allocated"):
        device.upload(address + 4, np.zeros(4, np.int32))
    with pytest.raises(DeviceError, match="not allocated"):
        device.download(12, np.zeros(1))
    with pytest.raises(DeviceError, match="C-contiguous"):
        device.upload(address, np.zeros((2, 4), np.int8).T)
    with pytest.raises(DeviceError, match="C-contiguous"):
        device.download(address, np.zeros((2, 4), np.int8).T)
    with pytest.raises(DeviceError, match="not the address of an allocation"):
        device.free(address + 1)
    device.free(address)
    with pytest.raises(DeviceError, match="freed already"):
        device.free(address)
    with pytest.raises(DeviceError, match="not allocated"):
        device.fill(address, 1, 0)
    with pytest.raises(DeviceError, match="-1"):
        device.allocate(-1)


class Foreign:
    def __init__(self, address, strides=None):
        data = {"data": (address, False), "shape": (2, 8), "typestr": "<f4", "strides": strides, "version": 3}
        self.__cuda_array_interface__ = data


def test_foreign_arrays_are_borrowed(device):
    assert device.borrow(np.zeros(3)) is None
    assert device.borrow(Foreign(4096, strides=(4, 8))) is None
    assert device.borrow(Foreign(4096)) == (4096, (2, 8), FLOAT)
    plan = make_plan()
    addresses = allocate(device, plan)
    executable = device.build(plan, [4096, *addresses[1:]], [load(device)])
    executable.set_address(0, addresses[0])
    with pytest.raises(DeviceError, match="not allocated"):
        executable.set_address(0, 5000)


def test_the_compiler_compiles_and_fails(device):
    cache = BinaryCache(None)
    bad = Program("int x;\n#if 0\n#error no\n#endif\n  #error missing T\n", "bad", "bad.cu")
    guarded = Program("#ifndef T\n#error T\n#endif\n", "guarded", "guarded.cu")
    binary = Program(b"#error", "cubin", "k.cubin", Language.CUBIN)
    results = compile_programs([PROGRAM, bad, guarded, binary], device.compiler, cache)
    assert results[PROGRAM].binary == device.compiler.compile(PROGRAM)
    assert results[PROGRAM].binary != results[guarded].binary
    assert isinstance(results[bad], CompileError)
    assert results[bad].origin == "bad.cu"
    assert "bad.cu(5): error: #error directive: missing T" in results[bad].log
    assert device.calls["compile"] == 5


def test_nothing_of_it_is_kept_on_disk(device, tmp_path):
    cache = BinaryCache(tmp_path)
    compile_programs([PROGRAM], device.compiler, cache)
    assert cache.size() == 0


def test_load_wants_the_binary_of_that_program(device):
    kernel = load(device)
    assert kernel.program is PROGRAM
    with pytest.raises(DeviceError, match="not the one compiled"):
        device.load(Program("// other", "other", "o.cu"), kernel.binary, None)


def test_build_checks_what_it_is_given(device):
    plan = make_plan()
    addresses, kernels = allocate(device, plan), [load(device)]
    other = load(device, Program("// other", "other", "o.cu"))
    with pytest.raises(DeviceError, match="4 addresses and 1 kernels were given for 5 buffers and 1 programs"):
        device.build(plan, addresses[:4], kernels)
    with pytest.raises(DeviceError, match="x: 64 bytes at 0x7b are not allocated"):
        device.build(plan, [123, *addresses[1:]], kernels)
    with pytest.raises(DeviceError, match="z: 64 bytes"):
        device.build(plan, [*addresses[:3], addresses[3] + 4, addresses[4]], kernels)
    with pytest.raises(DeviceError, match=r"view y\[8:\] is at"):
        device.build(plan, [*addresses[:2], addresses[1], *addresses[3:]], kernels)
    with pytest.raises(DeviceError, match=r"was made from other of o\.cu"):
        device.build(plan, addresses, [other])
    with pytest.raises(DeviceError, match="is not a kernel of this device"):
        device.build(plan, addresses, [None])
    with pytest.raises(DeviceError, match="has a grid of"):
        device.build(make_plan(grid=0), addresses, kernels)
    assert device.executables == []
    device.build(plan, addresses, kernels)


def test_without_checking_plans_are_trusted():
    device = RecordingDevice(checking=False)
    executable = device.build(make_plan(grid=0), [0] * 5, [None])
    executable.set_scalar(9, 9, b"")
    executable.set_address(0, 7)
    assert device.calls["build"] == 1


def test_launches_are_counted(device, executable):
    for frame in range(5):
        executable.launch(frame)
    assert device.calls == {"launch": 5}
    device.calls.clear()
    executable.launch(5)
    assert device.calls == {"launch": 1}
    assert device.log[-1] == ("launch", {"frame": 5})


def test_scalars(device, executable):
    executable.set_scalar(0, 1, b"abcd")
    device.logging = False
    executable.set_scalar(0, 1, b"efgh")
    executable.set_scalar(0, 3, b"87654321")
    assert executable.scalars == {(0, 1): b"efgh", (0, 3): b"87654321"}
    assert device.calls == {"set_scalar": 3}
    for node, argument, data, message in [
        (0, 1, b"abc", "argument 1 of a:scale takes 4 bytes per element; 3 were given"),
        (0, 1, b"", "4 bytes per element; 0"),
        (0, 3, b"1234", "takes 8 bytes; 4 were given"),
        (0, 0, b"12345678", "is a pointer"),
        (0, 9, b"1234", "no argument 9"),
        (1, 0, b"1234", "b:gemm is no kernel"),
        (2, 0, b"1234", "no node 2"),
        (-1, 0, b"1234", "no node -1"),
    ]:
        with pytest.raises(DeviceError, match=message):
            executable.set_scalar(node, argument, data)
    assert executable.scalars == {(0, 1): b"efgh", (0, 3): b"87654321"}


def test_a_vector_parameter_has_several_elements(executable):
    executable.set_scalar(0, 1, bytes(12))


def test_addresses_of_views_follow(device, executable):
    new = device.allocate(64)
    executable.set_address(1, new)
    assert executable.address_of(1) == new
    assert executable.address_of(2) == new + 32
    with pytest.raises(DeviceError, match=r"y\[8:\] is a view; only y can be moved"):
        executable.set_address(2, new)
    with pytest.raises(DeviceError, match="z: 64 bytes"):
        executable.set_address(3, device.allocate(60))
    with pytest.raises(DeviceError, match="no buffer 5"):
        executable.set_address(5, new)


def test_kernels_and_options(device, executable):
    kernel = load(device, Program("// better", "scale", "scale.cu"))
    executable.set_kernel(0, kernel)
    assert executable.kernels == [kernel]
    executable.set_options(1, {"tf32": True})
    assert executable.options == {1: {"tf32": True}}
    with pytest.raises(DeviceError, match="no program 1"):
        executable.set_kernel(1, kernel)
    with pytest.raises(DeviceError, match="not a kernel of this device"):
        executable.set_kernel(0, PROGRAM)
    with pytest.raises(DeviceError, match="a:scale is no library call"):
        executable.set_options(0, {})
    with pytest.raises(DeviceError, match="b:gemm has no option split; it has tf32"):
        executable.set_options(1, {"split": 1})


def test_replace_counts_what_an_update_would_touch(device, executable):
    addresses, kernels = executable.addresses, executable.kernels
    assert executable.replace(make_plan(grid=5), addresses, kernels) == (
        "1 node changed (grid of a:scale), 1 kept; same topology -> update in place"
    )
    assert executable.plan.nodes[0].grid == (5, 1, 1)
    assert device.calls["replace_same_topology"] == 1
    assert "topology changed" in executable.replace(make_plan(grid=5, extra=True), addresses, kernels)
    assert device.calls["replace_rebuilt"] == 1
    counts = {name: count for name, count in device.calls.items() if name.startswith("nodes")}
    assert counts == {"nodes_kept": 3, "nodes_changed": 1, "nodes_added": 1, "nodes_removed": 0}


def test_a_refused_replacement_changes_nothing(device, executable):
    plan, addresses = executable.plan, executable.addresses
    with pytest.raises(DeviceError, match="has a grid of"):
        executable.replace(make_plan(grid=0), addresses, executable.kernels)
    device.fail("replace", DeviceError("out of memory"))
    with pytest.raises(DeviceError, match="out of memory"):
        executable.replace(make_plan(grid=5), addresses, executable.kernels)
    assert executable.plan is plan
    executable.launch(0)


def test_memory_in_use_cannot_be_freed(device, executable):
    with pytest.raises(DeviceError, match="freed while the running graph uses it for y"):
        device.free(executable.addresses[1])
    executable.close()
    device.free(executable.addresses[1])


def test_failures_can_be_arranged(device, executable):
    device.logging = False
    executable.set_scalar(0, 1, b"abcd")
    for name, request in [
        ("allocate", lambda: device.allocate(1)),
        ("set_scalar", lambda: executable.set_scalar(0, 1, b"abcd")),
        ("launch", lambda: executable.launch(0)),
    ]:
        device.fail(name, DeviceError("arranged", node=1))
        with pytest.raises(DeviceError, match="arranged"):
            request()
        request()


def test_requests_can_be_forbidden(device, executable):
    with device.forbid("allocate", "build"):
        executable.launch(0)
        with pytest.raises(DeviceError, match=r"allocate .* is forbidden here"):
            device.allocate(1)
    device.allocate(1)


def test_frames_in_flight(device, executable):
    assert executable.finished() == []
    for frame in range(10, 15):
        executable.launch(frame)
    records = executable.finished()
    assert [record.frame for record in records] == [12, 13, 14]
    assert executable.finished() == []
    assert records[0].elapsed_ms is None
    assert records[0].node_times is None
    assert records[0].counters.tolist() == [0]
    assert records[0].counters.dtype == np.uint32


def test_measured_frames(executable):
    executable.counters[0] = 11
    executable.timing = Timing.FRAME
    executable.launch(0)
    (record,) = executable.finished()
    assert record.counters.tolist() == [11]
    assert record.elapsed_ms == pytest.approx(0.02)
    assert record.node_times is None
    executable.timing = Timing.NODE
    executable.launch(1)
    (record,) = executable.finished()
    assert record.node_times == pytest.approx(np.array([[0.0, 0.01], [0.01, 0.02]]))


def test_a_failed_frame_shows_when_waited_for(executable):
    executable.failure = DeviceError("trap", node=0)
    executable.launch(0)
    with pytest.raises(DeviceError, match="trap"):
        executable.wait()
    executable.wait()


@pytest.mark.parametrize("logging", [True, False])
def test_nothing_works_after_close(device, executable, logging):
    device.logging = logging
    executable.set_scalar(0, 1, b"abcd")
    executable.launch(0)
    executable.close()
    executable.close()
    assert device.calls["launch"] == 1
    for request in [
        lambda: executable.launch(1),
        lambda: executable.set_scalar(0, 1, b"abcd"),
        lambda: executable.set_address(0, 0),
        lambda: executable.wait(),
    ]:
        with pytest.raises(DeviceError, match="closed"):
            request()
    device.close()
    device.close()
    for request in [lambda: device.allocate(1), lambda: device.synchronize(), lambda: device.compiler.compile(PROGRAM)]:
        with pytest.raises(DeviceError, match="closed"):
            request()
    assert device.calls["close"] == 1
