"""A plan with everything that makes it run: addresses, kernels and the parameters of each node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from cudagraph.errors import DeviceError

from ...plan import CaptureNode, CopyNode, FillNode, KernelNode, LibraryNode, Node, Plan, RegionNode
from .captured import CaptureWork, LibraryWork
from .conditional import RegionWork
from .counters import CounterSlots
from .libraries import CudaOperation
from .modules import CudaKernel
from .runtime import Runtime, Storage
from .work import CopyWork, EmptyWork, FillWork, KernelWork, Work

OperationKey = tuple[tuple[int, int], str, str]
Operations = dict[OperationKey, CudaOperation]


class Move(NamedTuple):
    """One use of a buffer's storage: what to tell which work when it moves."""

    node: int
    work: Work
    place: int
    offset: int


class BoundPlan:
    """The works of a plan. `operations` are library operations kept from an earlier plan; new ones are added to it."""

    def __init__(
        self,
        runtime: Runtime,
        plan: Plan,
        addresses: Sequence[int],
        kernels: Sequence[CudaKernel],
        operations: Operations,
    ) -> None:
        self._runtime = runtime
        self.plan = plan
        self.kernels = list(kernels)
        self.storage = Storage(plan.buffers, list(addresses))
        self.operations: Operations = {}
        self.retired: list[CudaKernel] = []  # swapped out, but named in graph definitions and perhaps still running
        self.closed = False
        self.counters: CounterSlots | None = None
        self.works: list[Work] = []
        try:
            self.works = [self._work(node, operations) for node in plan.nodes]
            self.counters = CounterSlots.of(runtime.driver, plan, self.storage.addresses)
        except BaseException:
            self.close(keep=operations)
            raise
        self.moves = self._moves()
        self._views = self._views_by_root()

    def _work(self, node: Node, known: Operations) -> Work:
        runtime, storage = self._runtime, self.storage
        match node:
            case KernelNode():
                if 0 in node.grid:
                    return EmptyWork(runtime)
                return KernelWork(runtime, node, self.kernels[node.program], storage, self.plan.parameters)
            case CopyNode():
                return CopyWork(runtime, node, storage) if node.nbytes else EmptyWork(runtime)
            case FillNode():
                return FillWork(runtime, node, storage) if node.nbytes else EmptyWork(runtime)
            case LibraryNode():
                if not any(self.plan.buffers[index].nbytes for index in node.writes):
                    return EmptyWork(runtime)
                return LibraryWork(runtime, node, storage, self._operation(node, known))
            case CaptureNode():
                return CaptureWork(runtime, node, storage)
            case RegionNode():
                bodies = [[self._work(inner, known) for inner in body] for body in node.bodies]
                return RegionWork(runtime, node, storage, bodies)
        raise DeviceError(f"{node.name}: the cuda device does not know {type(node).__name__}")

    def _operation(self, node: LibraryNode, known: Operations) -> CudaOperation:
        key = (node.key, node.name, node.operation)
        operation = known.get(key)
        if operation is None:
            make = self._runtime.operations.get(node.operation)
            if make is None:
                names = ", ".join(sorted(self._runtime.operations)) or "none"
                raise DeviceError(
                    f"{node.name}: the cuda device has no library operation {node.operation!r}; it has: {names}"
                )
            operation = make(self._runtime.library)
        self.operations[key] = operation
        return operation

    def _moves(self) -> dict[int, list[Move]]:
        buffers = self.plan.buffers
        moves: dict[int, list[Move]] = defaultdict(list)
        for index, work in enumerate(self.works):
            for buffer, place in work.moves:
                moves[buffers[buffer].base].append(Move(index, work, place, buffers[buffer].offset))
        return dict(moves)

    def _views_by_root(self) -> dict[int, list[tuple[int, int]]]:
        views: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for buffer in self.plan.buffers:
            views[buffer.base].append((buffer.index, buffer.offset))
        return dict(views)

    def move(self, root: int, address: int) -> list[Move]:
        """Record a root buffer's new address; returns the uses that have to follow."""
        for index, offset in self._views.get(root, ()):
            self.storage.addresses[index] = address + offset
        if root == self.plan.counter_buffer and self.counters is not None:
            self.counters.move(address)
        return self.moves.get(root, [])

    def close(self, keep: Operations | None = None) -> None:
        """Give everything back, but not the library operations in `keep`. Safe to call twice."""
        self.closed = True
        for work in self.works:
            work.close()
        if self.counters is not None:
            self.counters.close()
        for key, operation in self.operations.items():
            if keep is None or keep.get(key) is not operation:
                operation.close()
        self.works, self.operations, self.counters, self.retired, self.kernels = [], {}, None, [], []
