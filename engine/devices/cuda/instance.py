"""One CUDA graph: its definition, and the executable that was instantiated from it."""

from __future__ import annotations

from typing import Any

from ...plan import Plan
from .bound import BoundPlan
from .counters import counter_writers
from .driver import DriverError
from .refusal import update_refusal
from .runtime import Runtime
from .work import KernelWork, Refused


class GraphInstance:
    """A plan's graph. With `timed`, every node stands between two event records.

    Nodes are added in plan order, because the driver pairs nodes by it in whole-graph updates. The definition stays
    alive as long as the executable: its nodes are the names by which parts of the executable are changed.
    """

    def __init__(self, runtime: Runtime, bound: BoundPlan, *, timed: bool) -> None:
        self._runtime = runtime
        self._driver = runtime.driver
        self.stale: set[int] = set()  # nodes whose parameters changed since they were last brought in
        self.pairs: list[tuple[Any, Any]] = []  # start and end of each node, when timed
        self._events: list[Any] = []
        self.nodes: list[Any] = []
        self.executable: Any = None
        self._counter_node: Any = None
        self._slot = 0
        self.definition = self._driver.cuGraphCreate(0)
        try:
            self._define(bound, timed)
        except BaseException:
            self.close()
            raise

    def _define(self, bound: BoundPlan, timed: bool) -> None:
        last: list[Any] = []  # what the successors of each node wait for
        for node, work in zip(bound.plan.nodes, bound.works, strict=True):
            after = [last[index] for index in node.after]
            if timed:
                last.append(self._add_timed(work, after))
            else:
                self.nodes.append(work.add(self.definition, after))
                last.append(self.nodes[-1])
        if bound.counters is not None:
            after = [last[index] for index in counter_writers(bound.plan)]
            self._counter_node = self._driver.cuGraphAddMemcpyNode(
                self.definition, after, len(after), bound.counters.params[0], self._runtime.context.handle
            )

    def _add_timed(self, work: Any, after: list[Any]) -> Any:
        driver = self._driver
        start = self._event()
        end = self._event()
        self.pairs.append((start, end))
        before = driver.cuGraphAddEventRecordNode(self.definition, after, len(after), start)
        self.nodes.append(work.add(self.definition, [before]))
        return driver.cuGraphAddEventRecordNode(self.definition, [self.nodes[-1]], 1, end)

    def _event(self) -> Any:
        self._events.append(self._driver.cuEventCreate(0))
        return self._events[-1]

    def instantiate(self) -> None:
        """Make it launchable and send it to the GPU, so that the first launch costs no more than any other."""
        self.executable = self._driver.cuGraphInstantiate(self.definition, 0)
        self._driver.cuGraphUpload(self.executable, self._runtime.stream)

    def apply(self, bound: BoundPlan) -> None:
        """Bring the parameters of the stale nodes into the executable, or raise `Refused`."""
        while self.stale:
            index = next(iter(self.stale))
            bound.works[index].apply(self.executable, self.nodes[index])
            self.stale.remove(index)

    def swap(self, users: list[tuple[int, KernelWork]]) -> bool:
        """Bring swapped kernels in at once, so that nothing names the old ones. False when that needs a new graph."""
        for index, work in users:
            try:
                work.apply(self.executable, self.nodes[index])
            except Refused:
                self.stale.add(index)
                return False
            self._driver.cuGraphKernelNodeSetParams(self.nodes[index], work.params)
        return True

    def aim(self, bound: BoundPlan, slot: int) -> None:
        """Let the counters of the next launch land in a slot."""
        if slot != self._slot:
            assert bound.counters is not None
            params, context = bound.counters.params[slot], self._runtime.context.handle
            status = self._driver.raw.cuGraphExecMemcpyNodeSetParams(
                self.executable, self._counter_node, params, context
            )[0]
            if status:
                raise self._driver.error(
                    status, "cuGraphExecMemcpyNodeSetParams", subject="the copy of the append counters"
                )
            self._slot = slot

    def stale_counters(self) -> None:
        """The counters moved on the device: the copy node has to be set before the next launch."""
        self._slot = -1

    def update_to(self, other: GraphInstance) -> None:
        """Take over all parameters of a definition of the same topology, or raise `Refused` with the reason."""
        if self._driver.raw.cuGraphExecUpdate(self.executable, other.definition)[0]:
            raise Refused(update_refusal(self.executable, other.definition, other.nodes))
        self._slot = 0
        self.stale.clear()

    def close(self) -> None:
        """Destroy it; no launch may be running."""
        raw = self._driver.raw
        if self.executable is not None:
            raw.cuGraphExecDestroy(self.executable)
        if self.definition is not None:
            raw.cuGraphDestroy(self.definition)
        for event in self._events:
            raw.cuEventDestroy(event)
        self.executable, self.definition, self._events, self.nodes = None, None, [], []


def topology(plan: Plan) -> tuple[Any, ...]:
    """What has to be equal for a whole-graph update: kinds of nodes, edges, and what the counters wait for."""
    shape = tuple((type(node).__name__, node.after) for node in plan.nodes)
    return shape, bool(plan.counters), tuple(counter_writers(plan)) if plan.counters else ()


def try_instantiate(runtime: Runtime, bound: BoundPlan, *, timed: bool) -> GraphInstance:
    """A launchable graph; nothing is left behind when the driver refuses."""
    instance = GraphInstance(runtime, bound, timed=timed)
    try:
        instance.instantiate()
    except DriverError:
        instance.close()
        raise
    return instance
