"""One frame on the host: the plan's nodes in order, on all cores, done when `launch` returns."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cudagraph.errors import DeviceError

from ...diff import compare
from ...plan import CaptureNode, CopyNode, FillNode, KernelNode, LibraryNode, Node, Plan, RegionNode
from ..base import FrameRecord, Timing
from .library import HostKernel, RuntimeLibrary
from .steps import RegionWork, Steps, Work
from .work import CaptureWork, CopyWork, HostOperation, KernelWork, LibraryWork, Slot, Storage, operation_of, pointers


class Settings(NamedTuple):
    """What executables of a device share."""

    runtime: RuntimeLibrary
    libraries: Mapping[str, HostOperation]
    schedule: int
    sanitize: bool


class BoundPlan:
    """A plan with everything that makes it run. Launches of an earlier plan are taken over where nothing differs."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        addresses: Sequence[int],
        kernels: Sequence[HostKernel],
        before: Mapping[tuple[int, int], KernelWork],
    ) -> None:
        self._settings = settings
        self._before = before
        self.plan = plan
        self.kernels = list(kernels)
        self._adopted: list[tuple[KernelWork, KernelNode]] = []
        self.storage = Storage(plan.buffers, list(addresses))
        self.reusable: dict[tuple[int, int], KernelWork] = {}
        self.works: dict[int, tuple[Steps, int]] = {}  # by node index: where it is
        self.slots: dict[tuple[int, int], Slot] = {}  # by-value arguments that were set before
        self.users: dict[int, list[tuple[Work, int, int]]] = defaultdict(list)  # by root buffer: work, place, offset
        self.steps = self._steps(plan.nodes)
        self._views: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for buffer in plan.buffers:
            self._views[buffer.base].append((buffer.index, buffer.offset))
        self.counters = self._counters()

    def _steps(self, nodes: Sequence[Node]) -> Steps:
        works = [self._work(node) for node in nodes]
        steps = Steps(self._settings.runtime, works, self._settings.schedule)
        for position, (node, work) in enumerate(zip(nodes, works, strict=True)):
            self.works[node.index] = (steps, position)
            for buffer, place in _places(node, work):
                found = self.plan.buffers[buffer]
                self.users[found.base].append((work, place, found.offset))  # type: ignore[arg-type]
        return steps

    def _work(self, node: Node) -> Work | None:
        storage = self.storage
        match node:
            case KernelNode():
                return self._kernel(node) if 0 not in node.grid else None
            case CopyNode() | FillNode():
                return CopyWork(node, storage)
            case LibraryNode():
                return LibraryWork(node, storage, operation_of(node, self._settings.libraries))
            case CaptureNode():
                return CaptureWork(node, storage)
            case RegionNode():
                return RegionWork(node, storage, [self._steps(body) for body in node.bodies])
        raise DeviceError(f"{node.name}: the host device does not know {type(node).__name__}", node=node.index)

    def _kernel(self, node: KernelNode) -> KernelWork:
        kernel = self.kernels[node.program]
        old = self._before.get(node.key)
        if old is not None and old.kernel is kernel and old.matches(node, self.storage):
            work = old
            self._adopted.append((work, node))
        else:
            work = KernelWork(node, kernel, self.storage, self.plan.parameters)
            if self._settings.sanitize:
                work.limit(self.storage)
        self.reusable[node.key] = work
        return work

    def commit(self) -> None:
        """This plan runs from now on: what it took over from an earlier one is its own."""
        for work, node in self._adopted:
            work.adopt(node)
        self._adopted, self._before = [], {}

    def _counters(self) -> np.ndarray | None:
        index = self.plan.counter_buffer
        if index is None or not self.plan.counters:
            return None
        return self.storage.view(index).reshape(-1).view(np.uint32)[: len(self.plan.counters)]

    def move(self, root: int, address: int) -> None:
        """A root buffer is elsewhere: everything that uses it or a view of it follows."""
        for index, offset in self._views[root]:
            self.storage.addresses[index] = address + offset
        for work, place, offset in self.users.get(root, ()):
            work.move(place, address + offset)
            if self._settings.sanitize and isinstance(work, KernelWork):
                work.limit(self.storage)
                steps, position = self.works[work.node.index]
                steps.place(position)
        if root == self.plan.counter_buffer:
            self.counters = self._counters()


def _places(node: Node, work: Work | None) -> Sequence[tuple[int, int]]:
    if work is None:
        return ()
    return pointers(node) if isinstance(node, KernelNode) else work.places


class HostExecutable:
    """Implements `Executable`. Frames are done when `launch` returns, so nothing is ever pending."""

    def __init__(self, settings: Settings, plan: Plan, addresses: Sequence[int], kernels: Sequence[HostKernel]) -> None:
        self.timing = Timing.OFF
        self._settings = settings
        self._records: deque[tuple[int, float | None, np.ndarray | None, np.ndarray | None]] = deque(maxlen=3)
        self._bound: BoundPlan | None = BoundPlan(settings, plan, addresses, kernels, {})

    @property
    def plan(self) -> Plan:
        """What it runs."""
        return self._live().plan

    def _live(self) -> BoundPlan:
        if self._bound is None:
            raise DeviceError("this executable is closed")
        return self._bound

    def launch(self, frame: int) -> None:
        """Run one frame to its end. `DeviceError` tells which kernel failed and where; later frames may go on."""
        bound = self._bound or self._live()
        if self.timing is Timing.OFF:
            bound.steps.run()
            elapsed = times = None
        else:
            elapsed, times = self._measure(bound)
        counters = bound.counters.copy() if bound.counters is not None else None
        self._records.append((frame, elapsed, counters, times))

    def _measure(self, bound: BoundPlan) -> tuple[float, np.ndarray | None]:
        times = np.zeros((len(bound.plan.nodes), 2)) if self.timing is Timing.NODE else None
        begin = self._settings.runtime.now()
        bound.steps.run(times, begin)
        return self._settings.runtime.now() - begin, times

    def set_scalar(self, node: int, argument: int, data: bytes) -> None:
        """Replace the bytes of one by-value kernel argument."""
        slots = (self._bound or self._live()).slots
        slot = slots.get((node, argument))
        if slot is None or len(data) != slot[3]:
            slot = slots[node, argument] = self._slot(node, argument, data)
        storage, begin, end, _ = slot
        storage[begin:end] = data

    def set_address(self, buffer: int, address: int) -> None:
        """Move a root buffer; every argument, copy, view and call that uses it follows."""
        self._live().move(buffer, address)

    def set_kernel(self, program: int, kernel: HostKernel) -> None:
        """Swap the kernel of every node that runs `plan.programs[program]`. On an error the old one stays."""
        bound = self._live()
        swapped = [
            (steps, position, work.with_kernel(kernel, bound.plan.parameters))
            for steps, position in bound.works.values()
            if isinstance(work := steps.works[position], KernelWork) and work.node.program == program
        ]
        bound.kernels[program] = kernel
        for steps, position, apply in swapped:
            apply()
            steps.place(position)

    def set_options(self, node: int, options: dict[str, Any]) -> None:
        """Change the options of one library call."""
        work = self._work(node)
        if not isinstance(work, LibraryWork):
            raise DeviceError(f"node {node} is no library call and takes no options", node=node)
        work.options.update(options)

    def replace(self, plan: Plan, addresses: Sequence[int], kernels: Sequence[HostKernel]) -> str:
        """Run another plan from now on; launches that are the same in both are kept. On an error the old plan stays."""
        before = self._live()
        difference = compare(before.plan, plan)
        known = {} if self._settings.sanitize else before.reusable
        self._bound = BoundPlan(self._settings, plan, addresses, kernels, known)
        self._bound.commit()
        self._records.clear()
        return difference.summary()

    def finished(self) -> list[FrameRecord]:
        """Records of the frames since the last call, oldest first; at most the three newest."""
        records = [FrameRecord(*record) for record in self._records]
        self._records.clear()
        return records

    def wait(self) -> None:
        """Frames are done when `launch` returns."""

    def close(self) -> None:
        """Let go of the plan. Safe to call twice."""
        self._bound = None
        self._records.clear()

    def _slot(self, node: int, argument: int, data: bytes) -> Slot:
        work = self._work(node)
        if work is None:  # nothing runs here, so nobody reads it
            return Slot(bytearray(data), 0, len(data), len(data))
        if not isinstance(work, KernelWork):
            raise DeviceError(f"{work.node.name} is no kernel and has no arguments", node=node)
        slot = work.slot(argument)
        if len(data) != slot.length:
            raise work.wrong_size(argument, len(data))
        return slot

    def _work(self, node: int) -> Work | None:
        found = self._live().works.get(node)
        if found is None:
            raise DeviceError(f"there is no node {node} in the plan")
        return found[0].works[found[1]]
