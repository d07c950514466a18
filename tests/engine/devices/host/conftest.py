"""Running one kernel on NumPy arrays, through the device's own plan and executable."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cudagraph.engine.devices.host import HostDevice
from cudagraph.engine.devices.host.library import HostKernel
from cudagraph.engine.plan import Argument, Buffer, Constant, KernelNode, Place, Plan, Pointer
from cudagraph.environment import Environment
from cudagraph.program import Program

Shape = int | tuple[int, ...]


class Lab:
    """Compiles kernels (each once per session) and launches them. Arrays are written back in place."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._devices: dict[tuple[Any, ...], HostDevice] = {}
        self._kernels: dict[tuple[Any, ...], HostKernel] = {}

    def device(self, **settings: Any) -> HostDevice:
        """A host device with these environment settings."""
        key = tuple(sorted(settings.items()))
        if key not in self._devices:
            environment = dataclasses.replace(Environment(cache=self._cache), **settings)
            self._devices[key] = HostDevice(environment=environment)
        return self._devices[key]

    def program(self, source: str, entry: str = "k", **define: str) -> Program:
        """A program from source text; `k` is every kernel's name."""
        return Program(source, entry, "kernel.cu", define=tuple(define.items()))

    def kernel(self, program: Program, **settings: Any) -> HostKernel:
        """The loaded kernel."""
        device = self.device(**{name: value for name, value in settings.items() if name != "schedule"})
        key = (program, id(device))
        if key not in self._kernels:
            self._kernels[key] = device.load(program, device.compiler.compile(program), None)
        return self._kernels[key]

    def run(
        self,
        source: str | Program,
        grid: Shape,
        threads: Shape,
        *arguments: Any,
        shared: int = 0,
        define: dict[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """Launch a kernel: arrays are passed as pointers, NumPy scalars by value."""
        program = source if isinstance(source, Program) else self.program(source, **(define or {}))
        device = self.device(**settings)
        kernel = self.kernel(program, **settings)
        arrays = [argument for argument in arguments if isinstance(argument, np.ndarray)]
        addresses = [device.allocate(array.nbytes) for array in arrays]
        try:
            for address, array in zip(addresses, arrays, strict=True):
                device.upload(address, array)
            plan = _plan(program, grid, threads, shared, arguments)
            device.build(plan, addresses, [kernel]).launch(0)
        finally:
            for address, array in zip(addresses, arrays, strict=True):
                device.download(address, array)
            for address in addresses:
                device.free(address)


def _plan(program: Program, grid: Shape, threads: Shape, shared: int, arguments: tuple[Any, ...]) -> Plan:
    buffers: list[Buffer] = []
    bound: list[Argument] = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            bound.append(Pointer(len(buffers)))
            name = f"buffer{len(buffers)}"
            buffers.append(Buffer(len(buffers), name, argument.shape, argument.dtype, Place.STATE, len(buffers)))
        else:
            bound.append(Constant(argument.tobytes()))
    node = KernelNode(
        index=0, name="lab/k", block="lab", program=0, grid=_three(grid), threads=_three(threads), shared=shared,
        arguments=tuple(bound),
    )  # fmt: skip
    return Plan(tuple(buffers), (node,), (program,))


def _three(shape: Shape) -> tuple[int, int, int]:
    x, y, z = (*((shape,) if isinstance(shape, int) else shape), 1, 1)[:3]
    return x, y, z


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """One for all tests, so that no kernel is compiled twice."""
    return Lab(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def workers(lab: Lab) -> Iterator[Any]:
    """Sets how many threads launches use, until the test ends."""
    runtime = lab.device().runtime
    yield runtime.set_workers
    runtime.set_workers(0)


def _compilers() -> list[Any]:
    found = [pytest.param(name, marks=_unless(shutil.which(name), name)) for name in ("g++", "clang++")]
    zig = importlib.util.find_spec("ziglang")
    return [*found, pytest.param(f"{sys.executable} -m ziglang c++", id="zig", marks=_unless(zig, "ziglang"))]


def _unless(found: object, name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not found, reason=f"{name} is not installed")


@pytest.fixture(params=_compilers())
def compiler(request: pytest.FixtureRequest) -> str:
    """The command of each C++ compiler of this machine."""
    return request.param
