"""Running a list of nodes in order: native ones in one call each stretch, Python ones between them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cudagraph.errors import DeviceError

from ...plan import RegionKind, RegionNode
from .abi import Error, Node
from .faults import fault
from .library import RuntimeLibrary
from .memory import array_at
from .work import CaptureWork, CopyWork, KernelWork, LibraryWork, Storage, call

NativeWork = KernelWork | CopyWork


class RegionWork:
    """Bodies that run as often as a value on the device says."""

    def __init__(self, node: RegionNode, storage: Storage, bodies: Sequence[Steps]) -> None:
        self.node = node
        self.bodies = bodies
        self.places = [(node.condition, 0)]
        self._condition = storage.view(node.condition)

    def move(self, position: int, address: int) -> None:
        """The condition is elsewhere."""
        self._condition = array_at(address, self._condition.shape, self._condition.dtype)

    def run(self) -> None:
        """Run the bodies that the condition asks for."""
        kind, bodies = self.node.kind, self.bodies
        value = int(self._condition.reshape(-1)[0])
        if kind is RegionKind.WHILE:
            while self._condition.reshape(-1)[0]:
                bodies[0].run()
        elif kind is RegionKind.LOOP:
            for _ in range(value):
                bodies[0].run()
        elif kind is RegionKind.SWITCH:
            if 0 <= value < len(bodies):
                bodies[value].run()
        elif value:
            bodies[0].run()
        elif len(bodies) > 1:
            bodies[1].run()


PythonWork = LibraryWork | CaptureWork | RegionWork
Work = NativeWork | PythonWork


class _Stretch(NamedTuple):
    """Works `first` to `first + length - 1` as one native call, or one Python work."""

    first: int
    length: int
    address: int
    nodes: Any  # what is at the address, kept alive
    python: PythonWork | None


class Steps:
    """The works of a plan, or of a region's body, ready to run. None stands for a node with nothing to do."""

    def __init__(self, runtime: RuntimeLibrary, works: Sequence[Work | None], schedule: int) -> None:
        self.works = works
        self.schedule = schedule
        self._runtime = runtime
        self._error = Error()
        self._error_address = ctypes.addressof(self._error)
        self.native: dict[int, Node] = {}
        self._stretches = self._split()
        self._run_nodes = runtime.run_nodes

    def place(self, position: int) -> None:
        """Write the work at a position into the node list again."""
        work = self.works[position]
        if isinstance(work, NativeWork):
            work.place(self.native[position], self.schedule)

    def _split(self) -> list[_Stretch]:
        stretches: list[_Stretch] = []
        run: list[int] = []
        for position, work in enumerate(self.works):
            if isinstance(work, NativeWork):
                run.append(position)
                if position + 1 < len(self.works) and isinstance(self.works[position + 1], NativeWork):
                    continue
            if run:
                stretches.append(self._native_stretch(run))
                run = []
            if work is not None and not isinstance(work, NativeWork):
                stretches.append(_Stretch(position, 1, 0, None, work))
        return stretches

    def _native_stretch(self, positions: list[int]) -> _Stretch:
        nodes = (Node * len(positions))()
        for index, position in enumerate(positions):
            self.native[position] = nodes[index]
            self.place(position)
        return _Stretch(positions[0], len(positions), ctypes.addressof(nodes), nodes, None)

    def run(self, times: np.ndarray | None = None, origin: float = 0.0) -> None:
        """Run all works in order. `times`, float64 (works, 2), gets start and end of each in ms since `origin`."""
        for first, length, address, _, python in self._stretches:
            if python is not None:
                self._run_python(python, times, first, origin)
                continue
            pointer = times.ctypes.data + first * 16 if times is not None else None
            done = self._run_nodes(address, length, pointer, origin, self._error_address)
            if done != length:
                raise self._fault(first + done)

    def _run_python(self, work: PythonWork, times: np.ndarray | None, position: int, origin: float) -> None:
        begin = self._runtime.now() if times is not None else 0.0
        if isinstance(work, RegionWork):
            work.run()
        else:
            call(work)
        if times is not None:
            times[position] = begin - origin, self._runtime.now() - origin

    def _fault(self, position: int) -> DeviceError:
        work = self.works[position]
        return fault(work, self._error) if isinstance(work, KernelWork) else DeviceError("a copy failed")
