"""The emulated driver's own tests, through the real cuda.bindings. Only in a process started for it: test_wheels.py."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DRIVER = Path(__file__).parents[1]
EMULATED = os.environ.get("CUDAGRAPH_TEST_DRIVER") == "emulated"
collect_ignore_glob = [] if EMULATED else ["test_*.py"]


@pytest.fixture(scope="session")
def emulation() -> Any:
    """The emulated driver's controls; it is in front of any real driver from here on."""
    spec = importlib.util.spec_from_file_location("emulated_driver", DRIVER / "emulated.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.load(cache_dir=os.environ.get("CUDAGRAPH_TEST_CACHE"))


class Checked:
    """`cuda.bindings.driver` whose functions return the value, or raise `RuntimeError` with the error's name."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.raw, name)
        if not name.startswith("cu"):
            return function

        def call(*arguments: Any) -> Any:
            status, *values = function(*arguments)
            if status:
                raise RuntimeError(f"{name}: {status.name}")
            return values[0] if len(values) == 1 else tuple(values) or None

        return call


@pytest.fixture(scope="session")
def context(emulation: Any) -> tuple[Checked, Any]:
    """The checked driver and the primary context, current in this thread."""
    from cuda.bindings import driver as raw

    cu = Checked(raw)
    cu.cuInit(0)
    primary = cu.cuDevicePrimaryCtxRetain(cu.cuDeviceGet(0))
    cu.cuCtxSetCurrent(primary)
    return cu, primary


@pytest.fixture(scope="session")
def image(emulation: Any) -> bytes:
    """A module image with the kernels of `kernels.cpp`."""
    return (emulation.folder / "kernels.so").read_bytes()


@pytest.fixture
def cu(context: tuple[Checked, Any], emulation: Any) -> Iterator[Checked]:
    """The driver. Whatever a test makes it must also release."""
    checked, primary = context
    checked.cuCtxSetCurrent(primary)
    emulation.reset()
    before = emulation.live_objects()
    yield checked
    emulation.reset()
    checked.cuCtxSynchronize()
    assert emulation.live_objects() == before


class Bench:
    """Short hands for what most tests do; releases everything that was made through it."""

    def __init__(self, cu: Checked, image: bytes) -> None:
        self.cu = cu
        self._undo: list[Callable[[], Any]] = []
        self.stream = self.new_stream()
        module = cu.cuModuleLoadData(image)
        self._undo.append(lambda: cu.cuModuleUnload(module))
        self.module = module

    def kernel(self, name: str) -> Any:
        """A function of the test module."""
        return self.cu.cuModuleGetFunction(self.module, name.encode())

    def new_stream(self) -> Any:
        """A non-blocking stream."""
        stream = self.cu.cuStreamCreate(self.cu.raw.CUstream_flags.CU_STREAM_NON_BLOCKING)
        self._undo.append(lambda: self.cu.cuStreamDestroy(stream))
        return stream

    def event(self, flags: int = 0) -> Any:
        """An event."""
        event = self.cu.cuEventCreate(flags)
        self._undo.append(lambda: self.cu.cuEventDestroy(event))
        return event

    def device(self, values: Any, dtype: Any = np.float32) -> int:
        """Device memory that holds the values."""
        data = np.array(values, dtype)
        address = int(self.cu.cuMemAlloc(data.nbytes))
        self._undo.append(lambda: self.cu.cuMemFree(address))
        self.cu.cuMemcpyHtoD(address, data.ctypes.data, data.nbytes)
        return address

    def pinned(self, shape: Any, dtype: Any = np.float32) -> np.ndarray:
        """A pinned array."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        pointer = self.cu.cuMemHostAlloc(nbytes, 0)
        self._undo.append(lambda: self.cu.cuMemFreeHost(pointer))
        return np.frombuffer((ctypes.c_char * nbytes).from_address(int(pointer)), dtype).reshape(shape)

    def read(self, address: int, count: int, dtype: Any = np.float32) -> np.ndarray:
        """What lies there now; does not wait for non-blocking streams."""
        out = np.empty(count, dtype)
        self.cu.cuMemcpyDtoH(out.ctypes.data, address, out.nbytes)
        return out

    def finish(self) -> None:
        """Wait for the stream."""
        self.cu.cuStreamSynchronize(self.stream)

    def graph(self) -> Any:
        """An empty graph."""
        graph = self.cu.cuGraphCreate(0)
        self._undo.append(lambda: self.cu.raw.cuGraphDestroy(graph))  # a test may have destroyed it already
        return graph

    def instantiate(self, graph: Any) -> Any:
        """An executable."""
        executable = self.cu.cuGraphInstantiate(graph, 0)
        self._undo.append(lambda: self.cu.cuGraphExecDestroy(executable))
        return executable

    def params(self, name: str, *arguments: Any, grid: int = 1, threads: int = 32, shared: int = 0) -> Any:
        """Kernel node parameters; each argument is a ctypes value or an address."""
        values = [a if isinstance(a, ctypes._SimpleCData) else ctypes.c_void_p(a) for a in arguments]
        made = self.cu.CUDA_KERNEL_NODE_PARAMS()
        made.func = self.kernel(name)
        made.gridDimX, made.gridDimY, made.gridDimZ = grid, 1, 1
        made.blockDimX, made.blockDimY, made.blockDimZ = threads, 1, 1
        made.sharedMemBytes = shared
        made.kernelParams = (tuple(v.value or 0 for v in values), tuple(type(v) for v in values))
        return made

    def scale(self, address: int, count: int, factor: float) -> Any:
        """Parameters of `scale`."""
        return self.params("scale", address, ctypes.c_int(count), ctypes.c_float(factor), grid=-(-count // 32))

    def saxpy(self, count: int, factor: float, x: int, y: int) -> Any:
        """Parameters of `saxpy`."""
        return self.params("saxpy", ctypes.c_int(count), ctypes.c_float(factor), x, y, grid=-(-count // 32))

    def launch(self, params: Any, stream: Any = None) -> None:
        """A plain launch."""
        p = params
        self.cu.cuLaunchKernel(
            p.func, p.gridDimX, p.gridDimY, p.gridDimZ, p.blockDimX, p.blockDimY, p.blockDimZ,
            p.sharedMemBytes, self.stream if stream is None else stream, p.kernelParams, 0,
        )  # fmt: skip

    def copy_params(self, source: int, target: int, nbytes: int, *, to_host: bool = False) -> Any:
        """Parameters of a flat copy."""
        kinds = self.cu.raw.CUmemorytype
        made = self.cu.CUDA_MEMCPY3D()
        made.srcMemoryType, made.srcDevice = kinds.CU_MEMORYTYPE_DEVICE, source
        if to_host:
            made.dstMemoryType, made.dstHost = kinds.CU_MEMORYTYPE_HOST, target
        else:
            made.dstMemoryType, made.dstDevice = kinds.CU_MEMORYTYPE_DEVICE, target
        made.WidthInBytes, made.Height, made.Depth = nbytes, 1, 1
        return made

    def fill_params(self, target: int, count: int, value: int = 0, element: int = 4, height: int = 1) -> Any:
        """Parameters of a fill."""
        made = self.cu.CUDA_MEMSET_NODE_PARAMS()
        made.dst, made.elementSize, made.value, made.width, made.height = target, element, value, count, height
        made.pitch = count * element if height > 1 else 0
        return made

    def close(self) -> None:
        """Release everything."""
        for undo in reversed(self._undo):
            undo()


@pytest.fixture
def bench(cu: Checked, image: bytes, emulation: Any) -> Iterator[Bench]:
    """Short hands for memory, streams, events, graphs and launches."""
    made = Bench(cu, image)
    yield made
    emulation.reset()  # a test may have left a sticky error behind
    made.close()
