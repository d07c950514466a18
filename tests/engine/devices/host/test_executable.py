"""Plans on the host: order, changes between frames, records, regions, replacement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cudagraph.engine.devices.base import Device, Executable, Timing
from cudagraph.engine.devices.host import HostDevice
from cudagraph.engine.plan import (
    Buffer,
    CaptureNode,
    Constant,
    CopyNode,
    Counter,
    FillNode,
    Hot,
    KernelNode,
    LibraryNode,
    Node,
    ParameterSlot,
    Place,
    Plan,
    Pointer,
    RegionKind,
    RegionNode,
)
from cudagraph.environment import Environment
from cudagraph.errors import DeviceError
from cudagraph.program import Program

N = 64
SCALE = Program(
    'extern "C" __global__ void scale(const float* x, float* y, float gain) { int i=threadIdx.x; y[i] = x[i] * gain; }',
    "scale", "scale.cu",
)  # fmt: skip
SHIFT = Program(
    'extern "C" __global__ void scale(const float* x, float* y, float gain) { int i=threadIdx.x; y[i] = x[i] + gain; }',
    "scale", "shift.cu",
)  # fmt: skip
COUNT = Program('extern "C" __global__ void count(unsigned* c, unsigned n) { atomicAdd(c, n); }', "count", "count.cu")
CHECK = Program(
    'extern "C" __global__ void check(const float* x) { if (x[threadIdx.x] < 0) __trap(); }', "check", "check.cu"
)
GAIN = ParameterSlot("gain", np.dtype("f4"), None, ((0, 2),))


class Rig:
    """Buffers of 64 floats called a, b, c, ... on a device, and the kernels of the tests."""

    def __init__(self, lab: Any, libraries: dict[str, Any]) -> None:
        self.device = HostDevice(libraries, lab.device()._environment)
        self.lab = lab
        self.addresses: list[int] = []
        self.buffers: list[Buffer] = []

    def buffer(self, values: Any = 0.0, dtype: str = "f4", count: int = N) -> int:
        index = len(self.buffers)
        self.buffers.append(Buffer(index, f"b{index}", (count,), np.dtype(dtype), Place.STATE, index))
        self.addresses.append(self.device.allocate(self.buffers[-1].nbytes))
        self.write(index, values)
        return index

    def view(self, base: int, offset: int, count: int) -> int:
        index = len(self.buffers)
        parent = self.buffers[base]
        self.buffers.append(Buffer(index, f"v{index}", (count,), parent.dtype, Place.STATE, base, offset))
        self.addresses.append(self.addresses[base] + offset)
        return index

    def write(self, index: int, values: Any) -> None:
        buffer = self.buffers[index]
        self.device.upload(self.addresses[index], np.full(buffer.shape, values, buffer.dtype))

    def read(self, index: int, address: int | None = None) -> np.ndarray:
        out = np.empty(self.buffers[index].shape, self.buffers[index].dtype)
        self.device.download(address or self.addresses[index], out)
        return out

    def plan(self, *nodes: Node, programs: tuple[Program, ...] = (SCALE,), **facts: Any) -> Plan:
        return Plan(tuple(self.buffers), nodes, programs, **facts)

    def kernels(self, plan: Plan) -> list[Any]:
        return [self.lab.kernel(program) for program in plan.programs]

    def build(self, *nodes: Node, **facts: Any) -> Any:
        plan = self.plan(*nodes, **facts)
        return self.device.build(plan, self.addresses, self.kernels(plan))


@pytest.fixture
def rig(lab):
    def double(operands: dict[str, np.ndarray], options: dict[str, Any]) -> None:
        np.multiply(operands["x"], options.get("factor", 2), out=operands["y"])

    return Rig(lab, {"test.double": double})


def _scale(index: int, x: int, y: int, gain: float | Hot, program: int = 0, key: int | None = None) -> KernelNode:
    argument = gain if isinstance(gain, Hot) else Constant(np.float32(gain).tobytes())
    return KernelNode(
        index=index, name=f"block/scale{index}", block="block", program=program, grid=(1, 1, 1), threads=(N, 1, 1),
        arguments=(Pointer(x), Pointer(y), argument), key=(index if key is None else key, 0),
    )  # fmt: skip


def test_it_is_a_device(rig):
    assert isinstance(rig.device, Device)
    assert rig.device.name == "host"
    a, b = rig.buffer(1), rig.buffer()
    executable: Executable = rig.build(_scale(0, a, b, 2))
    executable.launch(0)
    executable.wait()
    executable.close()
    executable.close()
    with pytest.raises(DeviceError, match="closed"):
        executable.launch(1)


def test_kernels_copies_fills_libraries_and_captured_code_run_in_order(rig):
    a, b, c, d, e = (rig.buffer(value) for value in (3, 0, 0, 0, 0))
    seen = []

    def host(x: np.ndarray, y: np.ndarray) -> None:
        seen.append(x.copy())
        y[:] = x - 1

    executable = rig.build(
        _scale(0, a, b, 2),
        CopyNode(index=1, name="copy", block="", source=b, target=c, nbytes=4 * 32),
        LibraryNode(
            index=2, name="double", block="block", operation="test.double", operands={"x": c, "y": d}, options={}
        ),
        CaptureNode(
            index=3, name="user", block="block", function=lambda *_: None, host=host, inputs=(d,), outputs=(e,)
        ),
        FillNode(index=4, name="fill", block="", target=c, value=0, nbytes=4 * 16),
    )
    for frame in range(2):
        executable.launch(frame)
    half = np.arange(N) < 32
    assert (seen[1] == np.where(half, 12, 0)).all()
    assert (rig.read(e) == np.where(half, 11, -1)).all()
    assert (rig.read(c) == np.where(half & (np.arange(N) >= 16), 6, 0)).all()


def test_hot_scalars(rig):
    a, b = rig.buffer(3), rig.buffer()
    executable = rig.build(_scale(0, a, b, Hot(0)), parameters=(GAIN,))
    for frame, gain in enumerate((2.0, -1.0)):
        executable.set_scalar(0, 2, np.float32(gain).tobytes())
        executable.launch(frame)
        assert (rig.read(b) == 3 * gain).all()
    with pytest.raises(DeviceError, match=r"argument 2 \(gain\) of kernel scale takes 4 bytes; 8 were given"):
        executable.set_scalar(0, 2, bytes(8))
    with pytest.raises(DeviceError, match="no node 7"):
        executable.set_scalar(7, 0, bytes(4))


def test_everything_follows_a_buffer_that_moves(rig):
    a = rig.buffer(1)
    part, b, c, d = rig.view(a, 4 * 32, 32), rig.buffer(), rig.buffer(), rig.buffer()
    moved = rig.buffer(5)
    executable = rig.build(
        _scale(0, a, b, 1),
        CopyNode(index=1, name="copy", block="", source=part, target=c, nbytes=4 * 32),
        LibraryNode(index=2, name="double", block="x", operation="test.double", operands={"x": a, "y": d}, options={}),
    )
    executable.launch(0)
    executable.set_address(a, rig.addresses[moved])
    executable.launch(1)
    assert (rig.read(b) == 5).all() and (rig.read(d) == 10).all()
    assert (rig.read(c)[:32] == 5).all()


def test_kernels_are_swapped_live(rig):
    a, b, c = rig.buffer(3), rig.buffer(), rig.buffer()
    executable = rig.build(_scale(0, a, b, 2), _scale(1, b, c, 2))
    executable.launch(0)
    executable.set_kernel(0, rig.lab.kernel(SHIFT))
    executable.launch(1)
    assert (rig.read(c) == 7).all()
    with pytest.raises(DeviceError, match="kernel count takes 2 arguments; the plan gives 3"):
        executable.set_kernel(0, rig.lab.kernel(COUNT))
    executable.launch(2)
    assert (rig.read(c) == 7).all()


def test_options_of_a_library_call(rig):
    a, b = rig.buffer(3), rig.buffer()
    call = LibraryNode(
        index=0, name="double", block="x", operation="test.double", operands={"x": a, "y": b}, options={"factor": 2}
    )
    executable = rig.build(call)
    executable.set_options(0, {"factor": 7})
    executable.launch(0)
    assert (rig.read(b) == 21).all()


def test_unknown_library_operations_and_captures_without_a_host_function(rig):
    a = rig.buffer()
    with pytest.raises(DeviceError, match=r"no library operation 'cudnn\.conv'; it has: test\.double"):
        rig.build(LibraryNode(index=0, name="conv", block="", operation="cudnn.conv", operands={"x": a}, options={}))
    with pytest.raises(
        DeviceError, match=r"user: this captured function runs on a GPU only; give b\.capture\(\.\.\., host="
    ):
        rig.build(CaptureNode(index=0, name="user", block="", function=print, host=None, inputs=(a,), outputs=()))


def test_python_errors_name_the_node(rig):
    a = rig.buffer()
    executable = rig.build(
        FillNode(index=0, name="fill", block="", target=a, value=255, nbytes=4),
        CaptureNode(index=1, name="user", block="", function=print, host=lambda x: x[1000], inputs=(a,), outputs=()),
    )
    with pytest.raises(DeviceError, match="user failed with IndexError") as caught:
        executable.launch(0)
    assert caught.value.node == 1


def test_a_fault_names_its_node_and_leaves_the_executable_usable(rig):
    a, b = rig.buffer(1), rig.buffer(-1)
    node = KernelNode(
        index=1, name="sim/check", block="sim", program=1, grid=(1, 1, 1), threads=(N, 1, 1), arguments=(Pointer(b),)
    )
    executable = rig.build(_scale(0, a, b, -2), node, _scale(2, a, a, 3), programs=(SCALE, CHECK))
    with pytest.raises(DeviceError, match="sim/check: kernel check: __trap") as caught:
        executable.launch(0)
    assert caught.value.node == 1
    assert (rig.read(a) == 1).all()
    assert executable.finished() == []
    rig.write(a, -1)
    executable.launch(1)
    assert (rig.read(a) == -3).all()
    assert [record.frame for record in executable.finished()] == [1]


def test_records(rig):
    a, b, counters = rig.buffer(1), rig.buffer(), rig.buffer(0, "u4", 3)
    count = KernelNode(
        index=1, name="count", block="", program=1, grid=(2, 1, 1), threads=(5, 1, 1),
        arguments=(Pointer(counters), Constant(np.uint32(3).tobytes())),
    )  # fmt: skip
    slow = CaptureNode(
        index=2, name="slow", block="", function=print, host=lambda x: sum(range(20000)), inputs=(a,), outputs=()
    )
    executable = rig.build(
        _scale(0, a, b, 2), count, slow, programs=(SCALE, COUNT),
        counters=(Counter(0, "p", 9), Counter(1, "q", 9)), counter_buffer=counters,
    )  # fmt: skip
    for frame in range(5):
        executable.launch(frame)
    records = executable.finished()
    assert [record.frame for record in records] == [2, 3, 4]
    assert [list(record.counters) for record in records] == [[90, 0], [120, 0], [150, 0]]
    assert records[0].elapsed_ms is None and records[0].node_times is None
    executable.timing = Timing.FRAME
    executable.launch(5)
    (record,) = executable.finished()
    assert 0 < record.elapsed_ms < 1000 and record.node_times is None
    executable.timing = Timing.NODE
    executable.launch(6)
    (record,) = executable.finished()
    times = record.node_times
    assert times.shape == (3, 2) and (times[:, 1] >= times[:, 0]).all() and (times[1:, 0] >= times[:-1, 1]).all()
    assert times[2, 1] - times[2, 0] > 0.05 and times[2, 1] <= record.elapsed_ms


def test_replacing_the_plan(rig):
    a, b, c = rig.buffer(3), rig.buffer(), rig.buffer()
    executable = rig.build(_scale(0, a, b, 2), _scale(1, b, c, Hot(0)), parameters=(GAIN,))
    executable.set_scalar(1, 2, np.float32(10).tobytes())
    executable.launch(0)
    assert (rig.read(c) == 60).all()
    d = rig.buffer()
    plan = rig.plan(
        _scale(0, a, b, 5, key=7), _scale(1, b, c, Hot(0), key=1), _scale(2, c, d, 1, program=1),
        programs=(SCALE, SHIFT), parameters=(GAIN,),
    )  # fmt: skip
    kept = executable._bound.reusable[(1, 0)]
    words = executable.replace(plan, rig.addresses, rig.kernels(plan))
    assert isinstance(words, str) and words
    assert executable._bound.reusable[(1, 0)] is kept
    assert executable.plan is plan
    executable.set_scalar(1, 2, np.float32(10).tobytes())
    executable.launch(1)
    assert (rig.read(c) == 150).all() and (rig.read(d) == 151).all()


def test_works_that_moved_are_not_mistaken_for_equal_ones(rig):
    a, b, elsewhere = rig.buffer(3), rig.buffer(), rig.buffer(8)
    executable = rig.build(_scale(0, a, b, 2))
    executable.set_address(a, rig.addresses[elsewhere])
    plan = rig.plan(_scale(0, a, b, 2))
    executable.replace(plan, rig.addresses, rig.kernels(plan))
    executable.launch(0)
    assert (rig.read(b) == 6).all()


def test_a_plan_that_cannot_be_built_leaves_the_old_one(rig):
    a, b = rig.buffer(3), rig.buffer()
    executable = rig.build(_scale(0, a, b, 2))
    before = executable.plan
    bad = KernelNode(index=1, name="bad", block="", program=0, grid=(1, 1, 1), threads=(1, 1, 1), arguments=())
    plan = rig.plan(_scale(0, b, a, 2), bad)
    with pytest.raises(DeviceError, match="kernel scale takes 3 arguments"):
        executable.replace(plan, rig.addresses, rig.kernels(plan))
    assert executable.plan is before
    executable.launch(0)
    assert (rig.read(b) == 6).all()


def test_empty_grids_run_nothing(rig):
    a, b = rig.buffer(3), rig.buffer(1)
    node = KernelNode(
        index=0, name="none", block="", program=0, grid=(0, 1, 1), threads=(N, 1, 1),
        arguments=(Pointer(a), Pointer(b), Constant(bytes(4))),
    )  # fmt: skip
    executable = rig.build(node)
    executable.timing = Timing.NODE
    executable.launch(0)
    assert (rig.read(b) == 1).all()


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (RegionKind.WHEN, 1, 4), (RegionKind.WHEN, 0, 2), (RegionKind.LOOP, 3, 16), (RegionKind.LOOP, 0, 2),
        (RegionKind.SWITCH, 0, 4), (RegionKind.SWITCH, 1, 6), (RegionKind.SWITCH, 5, 2),
    ],
)  # fmt: skip
def test_regions(rig, kind, value, expected):
    condition, a = rig.buffer(value, "i4", 1), rig.buffer(1)
    first, second = (_scale(index, a, a, gain) for index, gain in ((2, 2), (3, 3)))
    bodies = ((first,), (second,)) if kind is RegionKind.SWITCH else ((first,),)
    region = RegionNode(index=1, name="region", block="", kind=kind, condition=condition, bodies=bodies)
    executable = rig.build(_scale(0, a, a, 2), region)
    executable.timing = Timing.NODE
    executable.launch(0)
    assert (rig.read(a) == expected).all()


def test_a_while_region_ends_when_a_kernel_says_so(rig):
    program = Program(
        'extern "C" __global__ void step(int* left, int* done) { done[0] += 1; left[0] -= 1; }', "step", "step.cu"
    )
    left, done = rig.buffer(9, "i4", 1), rig.buffer(0, "i4", 1)
    step = KernelNode(
        index=1,
        name="step",
        block="",
        program=0,
        grid=(1, 1, 1),
        threads=(1, 1, 1),
        arguments=(Pointer(left), Pointer(done)),
    )
    region = RegionNode(index=0, name="region", block="", kind=RegionKind.WHILE, condition=left, bodies=((step,),))
    rig.build(region, programs=(program,)).launch(0)
    assert rig.read(done)[0] == 9


def test_memory(rig):
    device = rig.device
    address = device.allocate(1000)
    assert address % 256 == 0
    device.fill(address, 1000, 7)
    owner = np.zeros(1)
    view = device.view(address, (10, 25), np.dtype("i4"), owner)
    assert view.shape == (10, 25) and (view == 0x07070707).all() and view.flags.writeable
    view[3, 4] = 5
    out = np.empty(250, np.int32)
    device.download(address, out)
    assert out[79] == 5
    for wrong in (np.zeros((4, 4))[:, ::2], np.zeros((4, 4)).T[:, 1:]):
        with pytest.raises(DeviceError, match="C-contiguous"):
            device.upload(address, wrong)
    device.free(address)
    with pytest.raises(DeviceError, match="freed already"):
        device.free(address)
    with pytest.raises(DeviceError, match=r"no .* bytes of memory left"):
        device.allocate(1 << 60)
    assert device.view(0, (0, 5), np.dtype("f4"), None).shape == (0, 5)


def test_views_keep_their_owner_alive(rig):
    import gc
    import weakref

    class Owner:
        pass

    owner = Owner()
    gone = weakref.ref(owner)
    view = rig.device.view(rig.device.allocate(16), (4,), np.dtype("f4"), owner)[1:]
    del owner
    gc.collect()
    assert gone() is not None
    del view
    gc.collect()
    assert gone() is None


def test_borrowing(rig):
    torch = pytest.importorskip("torch")
    tensor = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    address, shape, dtype = rig.device.borrow(tensor)
    assert (address, shape, dtype) == (tensor.data_ptr(), (3, 4), np.dtype("f4"))
    assert rig.device.borrow(tensor.T) is None
    assert rig.device.borrow(tensor.requires_grad_()) is None
    assert rig.device.borrow(np.zeros(3)) is None and rig.device.borrow([1, 2]) is None


def test_closing_a_device(lab):
    device = HostDevice(environment=Environment(cache=lab.device()._environment.cache))
    device.allocate(10)
    device.close()
    device.close()
    with pytest.raises(DeviceError, match="closed"):
        device.allocate(10)
