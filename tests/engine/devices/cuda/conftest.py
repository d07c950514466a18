"""The cuda device's own tests, on the emulated driver or on a GPU.

Run by an interpreter that has the CUDA wheels. With CUDAGRAPH_TEST_DRIVER=emulated the emulated driver is loaded first;
otherwise the tests carry the marker `gpu` and run on the real one. `test_wheels.py` starts the emulated runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices_under_test import EMULATED, emulated_driver, missing_cudnn

from cudagraph.engine.devices.base import Compiler, FrameRecord, Timing
from cudagraph.engine.devices.cuda import CudaDevice
from cudagraph.engine.devices.cuda import driver as cuda_driver
from cudagraph.engine.devices.cuda.executable import CudaExecutable
from cudagraph.engine.devices.host.toolchain import HostCompiler
from cudagraph.engine.plan import (
    Argument,
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
)
from cudagraph.program import Language, Program

HERE = Path(__file__).parent
collect_ignore = ["test_wheels.py"] if EMULATED else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a driver needs a GPU, unless the driver is emulated."""
    for item in items:
        if HERE in item.path.parents and "driver" in getattr(item, "fixturenames", ()) and not EMULATED:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def emulation() -> Any:
    """The emulated driver, loaded into this process, with its controls; None on a real one."""
    return emulated_driver() if EMULATED else None


class RememberingCompiler(HostCompiler):
    """The host device's compiler, which makes what the emulated driver runs; each program once per session."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, bytes] = {}

    def compile(self, program: Program) -> bytes:
        """The module image."""
        if program.digest not in self._known:
            self._known[program.digest] = super().compile(program)
        return self._known[program.digest]


@pytest.fixture(scope="session")
def compiler(emulation: Any) -> Compiler | None:
    """What the device compiles with: its own NVRTC on a real GPU."""
    return None if emulation is None else RememberingCompiler()


class CountingDriver:
    """`cuda.bindings.driver`, counting calls by name."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._raw, name)
        if not name.startswith("cu") or not callable(function):
            return function

        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            return function(*arguments)

        self.__dict__[name] = call
        return call

    def take(self, prefix: str = "cuGraph") -> list[str]:
        """Names of the calls since the last question."""
        taken = [name for name in self.calls if name.startswith(prefix)]
        self.calls.clear()
        return taken


@pytest.fixture(scope="session")
def driver(emulation: Any) -> CountingDriver:
    """The driver under everything, with counted calls."""
    if not cuda_driver.is_present():
        pytest.skip("no driver")
    try:
        loaded = cuda_driver.load()
    except cuda_driver.DriverError as error:
        if error.code == "CUDA_ERROR_NO_DEVICE":
            pytest.skip("no device")
        raise
    counting = CountingDriver(loaded.raw)
    for name in [name for name in loaded.__dict__ if name.startswith("cu")]:
        del loaded.__dict__[name]
    loaded.raw = counting
    return counting


@pytest.fixture
def cudnn(driver: CountingDriver) -> None:
    """Skips where a GPU is there, but cuDNN is not."""
    if not EMULATED and missing_cudnn():
        pytest.skip("no cuDNN")


@pytest.fixture
def device(driver: CountingDriver, emulation: Any, compiler: Any) -> Iterator[CudaDevice]:
    """A fresh device; afterwards nothing of it may be left in the driver."""
    made = CudaDevice(compiler=compiler)
    yield made
    made.close()
    if emulation is not None:
        emulation.reset()
        assert emulation.live_objects() == {}, "objects left in the driver"


class PlanMaker:
    """Writes plans by hand and runs them."""

    def __init__(self, device: CudaDevice) -> None:
        self.device = device
        self.buffers: list[Buffer] = []
        self.nodes: list[Node] = []
        self.programs: list[Program] = []
        self.parameters: list[ParameterSlot] = []
        self.counter_buffer: int | None = None
        self.counters: tuple[Counter, ...] = ()
        self.addresses: list[int] = []

    def buffer(
        self, shape: Sequence[int] | int, dtype: Any = np.float32, base: int | None = None, offset: int = 0
    ) -> int:
        """A buffer, with zeroed memory unless it is a view."""
        index = len(self.buffers)
        dims = (shape,) if isinstance(shape, int) else tuple(shape)
        made = Buffer(index, f"b{index}", dims, np.dtype(dtype), Place.STATE, index if base is None else base, offset)
        self.buffers.append(made)
        if base is None:
            address = self.device.allocate(made.nbytes)
            self.device.fill(address, made.nbytes, 0)
        else:
            address = self.addresses[base] + offset
        self.addresses.append(address)
        return index

    def hot(self, dtype: Any) -> Hot:
        """A hot scalar."""
        self.parameters.append(ParameterSlot(f"p{len(self.parameters)}", np.dtype(dtype), None, ()))
        return Hot(len(self.parameters) - 1)

    def kernel(
        self, text: str, *arguments: Any, elements: int, threads: int = 64, after: Any = None, **more: Any
    ) -> int:
        """A launch; integers are buffers, NumPy scalars constants. The entry is the first kernel of the text."""
        entry = text.split("__global__ void ")[1].split("(")[0].strip()
        program = Program(text, entry, f"{entry}.cu")
        if program not in self.programs:
            self.programs.append(program)
        bound: tuple[Argument, ...] = tuple(
            a if isinstance(a, Hot) else Constant(a.tobytes()) if isinstance(a, np.generic) else Pointer(a)
            for a in arguments
        )
        used = tuple(a for a in arguments if isinstance(a, int))
        return self._add(
            KernelNode, entry, after, reads=used, writes=used, program=self.programs.index(program),
            grid=(-(-elements // threads), 1, 1), threads=(threads, 1, 1), arguments=bound, **more,
        )  # fmt: skip

    def copy(self, source: int, target: int, after: Any = None) -> int:
        """A copy."""
        nbytes = self.buffers[source].nbytes
        return self._add(
            CopyNode, "copy", after, reads=(source,), writes=(target,), source=source, target=target, nbytes=nbytes
        )

    def fill(self, target: int, value: int, after: Any = None) -> int:
        """A fill."""
        nbytes = self.buffers[target].nbytes
        return self._add(FillNode, "fill", after, writes=(target,), target=target, value=value, nbytes=nbytes)

    def library(
        self, operation: str, after: Any = None, options: Any = None, result: str = "c", **operands: int
    ) -> int:
        """A library call; the operand `result` is what it writes."""
        reads = tuple(i for name, i in operands.items() if name != result)
        return self._add(
            LibraryNode, operation, after, reads=reads, writes=(operands[result],), operation=operation,
            operands=operands, options=options or {},
        )  # fmt: skip

    def capture(
        self, function: Callable[..., None], inputs: tuple[int, ...], outputs: tuple[int, ...], after: Any = None
    ) -> int:
        """The user's own code."""
        return self._add(
            CaptureNode,
            "capture",
            after,
            reads=inputs,
            writes=outputs,
            function=function,
            host=None,
            inputs=inputs,
            outputs=outputs,
        )

    def _add(self, kind: Any, name: str, after: Any, **fields: Any) -> int:
        index = len(self.nodes)
        before = ((index - 1,) if index else ()) if after is None else tuple(after)
        self.nodes.append(
            kind(index=index, name=f"{name}#{index}", block="test", after=before, key=(1, index), **fields)
        )
        return index

    def count(self, buffer: int, capacities: Sequence[int]) -> None:
        """Declare the counters buffer."""
        self.counter_buffer = buffer
        self.counters = tuple(Counter(i, f"c{i}", capacity) for i, capacity in enumerate(capacities))

    def plan(self) -> Plan:
        """The plan so far."""
        return Plan(
            tuple(self.buffers), tuple(self.nodes), tuple(self.programs), tuple(self.parameters),
            counters=self.counters, counter_buffer=self.counter_buffer,
        )  # fmt: skip

    def kernels(self) -> list[Any]:
        """The plan's kernels, compiled and loaded."""
        return [self.load(program) for program in self.programs]

    def load(self, program: Program) -> Any:
        """One kernel, compiled and loaded."""
        return self.device.load(program, self.device.compiler.compile(program), None)

    def build(self) -> CudaExecutable:
        """The plan, running."""
        return self.device.build(self.plan(), self.addresses, self.kernels())

    def write(self, buffer: int, values: Any) -> None:
        """Set a buffer's contents."""
        data = np.ascontiguousarray(np.broadcast_to(values, self.buffers[buffer].shape), self.buffers[buffer].dtype)
        self.device.upload(self.addresses[buffer], data)

    def read(self, buffer: int) -> np.ndarray:
        """A buffer's contents."""
        out = np.empty(self.buffers[buffer].shape, self.buffers[buffer].dtype)
        self.device.download(self.addresses[buffer], out)
        return out


@pytest.fixture
def make(device: CudaDevice) -> PlanMaker:
    """A maker of hand-written plans."""
    return PlanMaker(device)


@pytest.fixture
def another(device: CudaDevice) -> Callable[[], PlanMaker]:
    """Further makers on the same device."""
    return lambda: PlanMaker(device)


@pytest.fixture
def run() -> Callable[..., list[FrameRecord]]:
    """Runs frames to the end and returns their records."""

    def run(executable: CudaExecutable, frames: int = 1, timing: Timing = Timing.OFF) -> list[FrameRecord]:
        executable.timing = timing
        for frame in range(frames):
            executable.launch(frame)
        executable.wait()
        return executable.finished()

    return run


@pytest.fixture(scope="session")
def sources() -> dict[str, str]:
    """Kernels that the tests use."""
    return {
        "axpy": """extern "C" __global__ void axpy(float a, const float* x, float* y, int n)
{ int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) y[i] += a * x[i]; }""",
        "scale": """extern "C" __global__ void scale(const float* x, float* y, float f, int n)
{ int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) y[i] = f * x[i]; }""",
        "add": """extern "C" __global__ void add(const float* a, const float* b, float* c, int n)
{ int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) c[i] = a[i] + b[i]; }""",
        "append": """extern "C" __global__ void append(unsigned int* count, unsigned int by)
{ if (threadIdx.x == 0) atomicAdd(count, by); }""",
    }


@pytest.fixture
def program() -> Callable[..., Program]:
    """A program from text."""

    def program(text: str, entry: str, language: Language = Language.CUDA, **more: Any) -> Program:
        return Program(text, entry, f"{entry}.cu", language, **more)

    return program
