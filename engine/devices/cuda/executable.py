"""A plan running on a GPU: hot changes in place, whole-graph updates where the shape allows, frames in flight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from cudagraph.errors import DeviceError

from ...plan import Plan, RegionNode
from ..base import FrameRecord, Timing
from .bound import BoundPlan
from .captured import LibraryWork
from .driver import STICKY, DriverError
from .frames import Frames, Slot
from .instance import GraphInstance, topology, try_instantiate
from .modules import CudaKernel
from .runtime import Runtime
from .work import KernelWork, Refused


class CudaExecutable:
    """One frame's work as an instantiated CUDA graph, with a second one that measures nodes for `Timing.NODE`."""

    def __init__(
        self,
        runtime: Runtime,
        plan: Plan,
        addresses: Sequence[int],
        kernels: Sequence[CudaKernel],
        closed: Callable[[CudaExecutable], None] = lambda executable: None,
    ) -> None:
        self._closed = closed
        self._runtime = runtime
        self._driver = runtime.driver
        self._raw = runtime.driver.raw
        self._context = runtime.context
        self._fault: DriverError | None = None
        self._timed: GraphInstance | None = None
        self._timing = Timing.OFF
        self.rebuild_reason = ""  # why a change could not be made in place, the last time that happened
        with runtime.context, ExitStack() as undo:
            self._bound = BoundPlan(runtime, plan, addresses, kernels, {})
            undo.callback(self._bound.close)
            self._plain = try_instantiate(runtime, self._bound, timed=False)
            undo.callback(self._plain.close)
            self._frames = Frames(runtime.driver, self._faulted)
            undo.pop_all()
        self._use_plan(self._bound)

    def _use_plan(self, bound: BoundPlan) -> None:
        self._bound = bound
        self.plan = bound.plan
        self._choose_instance()

    def _choose_instance(self) -> None:
        """The hot path reads these: which graph is launched, and where changes have to be noted."""
        wants_times = self._timing >= Timing.NODE
        self._active = self._timed if wants_times else self._plain
        self._stale = [instance.stale for instance in self._instances()]

    @property
    def timing(self) -> Timing:
        """How finely frames are measured, from the next launch on."""
        return self._timing

    @timing.setter
    def timing(self, timing: Timing) -> None:
        self._timing = Timing(timing)
        self._choose_instance()

    # Launching

    def launch(self, frame: int) -> None:
        """Apply the pending changes and start one frame; waits only when three are in flight."""
        if self._context.bound:
            self._start(frame)
        else:
            with self._context:
                self._start(frame)

    def _start(self, frame: int) -> None:
        if self._fault is not None:
            raise self._fault
        if self._timing >= Timing.NODE:
            self._frames.wait()  # the events inside the graph belong to one frame at a time
        instance = self._active or self._add_timed()
        if instance.stale:
            instance = self._apply(instance)
        slot = self._frames.acquire()
        bound = self._bound
        if bound.counters is not None:
            instance.aim(bound, slot.index)
        raw, stream = self._raw, self._runtime.stream
        if self._timing:
            raw.cuEventRecord(slot.start, stream)
        status = raw.cuGraphLaunch(instance.executable, stream)[0] or raw.cuEventRecord(slot.end, stream)[0]
        if status:
            raise self._launch_error(frame, status)
        self._frames.started(slot, frame, self._timing, bound, instance)

    def _add_timed(self) -> GraphInstance:
        self._timed = try_instantiate(self._runtime, self._bound, timed=True)
        self._choose_instance()
        return self._timed

    def _apply(self, instance: GraphInstance) -> GraphInstance:
        try:
            instance.apply(self._bound)
        except Refused as refusal:
            return self._renew(instance, str(refusal))
        return instance

    def _renew(self, instance: GraphInstance, reason: str) -> GraphInstance:
        """Bring refused changes in by a whole-graph update or, failing that, by a new executable."""
        timed = instance is self._timed
        fresh = GraphInstance(self._runtime, self._bound, timed=timed)
        try:
            if not self._update_whole(instance, fresh):
                self.rebuild_reason = reason
                fresh.instantiate()
                self._install(fresh, timed=timed)
                return fresh
        except BaseException:
            fresh.close()
            raise
        fresh.close()
        return instance

    def _update_whole(self, instance: GraphInstance, fresh: GraphInstance) -> bool:
        if fresh.pairs or any(isinstance(node, RegionNode) for node in self._bound.plan.nodes):
            return False  # its events would have to move over; its condition's name belongs to the old graph
        try:
            instance.update_to(fresh)
        except Refused:
            return False
        return True

    def _install(self, instance: GraphInstance, *, timed: bool) -> None:
        old = self._timed if timed else self._plain
        if timed:
            self._timed = instance
        else:
            self._plain = instance
        self._retire(old)
        self._choose_instance()

    def _retire(self, instance: GraphInstance | None) -> None:
        if instance is not None:
            self._after_frames(instance.close)

    def _after_frames(self, close: Callable[[], None]) -> None:
        """Close something that the frames in flight run, and that their records are read from."""

        def collect_and_close() -> None:
            self._frames.collect()
            close()

        self._runtime.deferred.after_frames(collect_and_close)

    # Changes

    def set_scalar(self, node: int, argument: int, data: bytes) -> None:
        """Replace the bytes of one by-value kernel argument."""
        work = self._bound.works[node]
        if not isinstance(work, KernelWork):
            self._refuse_scalar(node)
            return
        work.set_bytes(argument, data)
        for stale in self._stale:
            stale.add(node)

    def _refuse_scalar(self, node: int) -> None:
        if 0 not in getattr(self.plan.nodes[node], "grid", ()):  # an empty launch has nobody to tell
            raise DeviceError(f"{self.plan.nodes[node].name} is no kernel and has no scalar arguments", node=node)

    def set_address(self, buffer: int, address: int) -> None:
        """Move a root buffer; every use of it or of a view of it follows."""
        if self.plan.buffers[buffer].is_view:
            base = self.plan.buffers[self.plan.buffers[buffer].base].name
            raise DeviceError(f"{self.plan.buffers[buffer].name} is a view: move {base}, which owns its storage")
        for move in self._bound.move(buffer, address):
            move.work.move(move.place, address + move.offset)
            for stale in self._stale:
                stale.add(move.node)
        if buffer == self.plan.counter_buffer:
            for instance in self._instances():
                instance.stale_counters()

    def set_kernel(self, program: int, kernel: CudaKernel) -> None:
        """Swap the kernel of every node that runs the program; nothing changes when one of them cannot launch it."""
        with self._context:
            users = [
                (index, work)
                for index, work in enumerate(self._bound.works)
                if isinstance(work, KernelWork) and work.node.program == program
            ]
            for _, work in users:
                work.check_kernel(kernel)
            for _, work in users:
                work.set_kernel(kernel)
            old, self._bound.kernels[program] = self._bound.kernels[program], kernel
            swapped = [instance.swap(users) for instance in self._instances()]
            if all(swapped):
                self._runtime.deferred.after_frames(lambda: old)  # the closure keeps the module loaded until then
            else:
                self._bound.retired.append(old)

    def _instances(self) -> list[GraphInstance]:
        return [instance for instance in (self._plain, self._timed) if instance is not None]

    def set_options(self, node: int, options: dict[str, Any]) -> None:
        """Capture one library call anew with other options; on an error the old ones stay."""
        work = self._bound.works[node]
        if not isinstance(work, LibraryWork):
            raise DeviceError(f"{self.plan.nodes[node].name} is no library call and has no options", node=node)
        with self._context:
            work.set_options(options)
        for stale in self._stale:
            stale.add(node)

    def replace(self, plan: Plan, addresses: Sequence[int], kernels: Sequence[CudaKernel]) -> str:
        """Run another plan from now on; says how it was brought in. On an error the old one still runs."""
        with self._context:
            old = self._bound
            bound = BoundPlan(self._runtime, plan, addresses, kernels, old.operations)
            try:
                answer = self._bring_in(bound)
            except BaseException:
                bound.close(keep=old.operations)
                raise
            self._after_frames(lambda: old.close(keep=bound.operations))
            return answer

    def _bring_in(self, bound: BoundPlan) -> str:
        reason = _difference(self.plan, bound.plan)
        fresh = GraphInstance(self._runtime, bound, timed=False)
        updated = False
        try:
            if not reason:
                reason = self._try_update(fresh)
                updated = not reason
            if not updated:
                fresh.instantiate()
        except BaseException:
            fresh.close()
            self._plain.stale.update(range(len(self.plan.nodes)))  # whatever an update half did is set right again
            raise
        self._retire(self._timed)
        self._timed = None
        if updated:
            fresh.close()
        else:
            self._retire(self._plain)
            self._plain = fresh
            self.rebuild_reason = reason
        self._use_plan(bound)
        return "updated the whole graph in place" if updated else f"instantiated a new graph: {reason}"

    def _try_update(self, fresh: GraphInstance) -> str:
        try:
            self._plain.update_to(fresh)
        except Refused as refusal:
            return f"the driver refused the update: {refusal}"
        return ""

    # Frames

    def finished(self) -> list[FrameRecord]:
        """Records of the frames that ended since the last call, oldest first."""
        if self._fault is not None:
            raise self._fault
        if self._context.bound:
            return self._frames.finished()
        with self._context:
            return self._frames.finished()

    def wait(self) -> None:
        """Block until every started frame is done."""
        if self._fault is not None:
            raise self._fault
        with self._context:
            self._frames.wait()

    def _launch_error(self, frame: int, status: Any) -> DriverError:
        """A launch reports what an earlier frame did, if that broke the context."""
        code = self._driver.code(status)
        running = self._frames.in_flight
        if code in STICKY and running:
            return self._faulted(running[0], status)
        return self._driver.error(status, "cuGraphLaunch", subject=f"frame {frame} could not be started")

    def _faulted(self, slot: Slot, status: Any) -> DriverError:
        nodes = slot.bound.plan.nodes if slot.bound is not None else ()
        only = nodes[0] if len(nodes) == 1 else None
        names = ", ".join(node.name for node in nodes[:8]) + (", ..." if len(nodes) > 8 else "")
        error = self._driver.error(status, "the GPU", subject=f"frame {slot.frame} ({names})", node=only and only.index)
        if error.code in STICKY:
            lost = f"{error}. The GPU's context is lost: this process has to be started again"
            error = self._fault = DriverError(lost, code=error.code, node=error.node)
            self._frames.abandon()
        return error

    def close(self) -> None:
        """Wait for the frames in flight and give everything back. Safe to call twice."""
        if self._bound.closed or self._context.forked:
            return
        with self._context:
            self._raw.cuStreamSynchronize(self._runtime.stream)
            self._frames.abandon()
            for instance in self._instances():
                instance.close()
            self._bound.close()
            self._frames.close()
            self._runtime.deferred.collect()
        self._closed(self)


def _difference(old: Plan, new: Plan) -> str:
    """Why one graph cannot be updated into the other; empty when the driver may be asked."""
    before, after = topology(old), topology(new)
    if any(isinstance(node, RegionNode) for node in (*old.nodes, *new.nodes)):
        return "conditional nodes cannot be updated"
    if before == after:
        return ""
    if len(old.nodes) != len(new.nodes):
        return f"it has {len(new.nodes)} nodes instead of {len(old.nodes)}"
    for node, (was, now) in zip(new.nodes, zip(before[0], after[0], strict=True), strict=True):
        if was[0] != now[0]:
            return f"node {node.index} ({node.name}) is a {now[0]} instead of a {was[0]}"
        if was[1] != now[1]:
            return f"node {node.index} ({node.name}) waits for other nodes"
    return "its append counters changed"
