"""The engine: keeps one executable in step with a context, and runs it once per `update()`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, overload

import networkx as nx
import numpy as np

from cudagraph.block import Block
from cudagraph.context import Context
from cudagraph.dataflow import dataflow
from cudagraph.dirty import DirtyTracker
from cudagraph.environment import Environment
from cudagraph.errors import CudaGraphError, DescriptionError, DeviceError
from cudagraph.parameter import Parameter
from cudagraph.port import Direction, Port
from cudagraph.render import render
from cudagraph.source import KernelSource
from cudagraph.tensor import Tensor, Weight

from .bindings import Bindings
from .build import Builder, Running, specialises
from .devices.base import Device
from .devices.select import open_device
from .explain import Explanation, Tier
from .forks import follow_forks
from .hot import HotValues
from .interrupts import HeldInterrupts
from .plan import Plan
from .profile import Profile, ProfileLevel
from .report import report
from .validate import check_nan, check_references
from .watch import SourceWatch

B = TypeVar("B", bound=Block)
C = TypeVar("C", bound=Block)
D = TypeVar("D", bound=Block)


class CudaEngine:
    """Compiles blocks into one graph and runs it once per frame. Everything may be edited while it runs.

    `device`: "auto" (a GPU if there is one, else the CPU), "cuda", "cuda:1", "host", "recording", or a `Device`.
    `watch`: look for changed kernel files while running. `profile`: see `profile`. Use it as a context manager, or
    `close()` it. All methods may be called from any thread; one `update()` runs at a time.
    """

    def __init__(
        self,
        device: str | Device | None = None,
        *,
        watch: bool | None = None,
        profile: str | ProfileLevel | None = None,
        environment: Environment | None = None,
    ) -> None:
        environment = environment or Environment.from_environ()
        self.environment = environment
        self.context = Context()
        self.frame = -1
        self._lock = threading.RLock()
        self._tracker = self.context.tracker
        self._device = open_device(device if device is not None else environment.device, environment)
        self._bindings = Bindings(self._device)
        self._builder = Builder(self._device, self._bindings, environment)
        self._running: Running | None = None
        self._hot = HotValues(self._device)
        self._profile = Profile(list(ProfileLevel)[environment.debug])
        if profile is not None:
            self._profile.set_level(profile)
        self._watch = SourceWatch() if (environment.watch if watch is None else watch) else None
        self._failed: list[str] = []  # reasons of a structural change that could not be built yet
        self._explanation = Explanation(frame=-1)
        self._changed: dict[Parameter[Any], None] = {}  # what the last hot frame changed
        self._changed_frame = -1
        self._launch: Callable[[int], None] = self._launch_nothing
        self._tracker.mark_structure("first build")
        self._checking = environment.validate or environment.check is not None
        self._each_frame = self._watch is not None or environment.poison
        self._delayed = False  # whether buffers swap before each frame
        self._closed = False
        self._torn = False  # see `abandon`
        follow_forks(self)

    # Editing

    @overload
    def add(self, block: B, /, *, name: str | None = None) -> B: ...

    @overload
    def add(self, first: B, second: C, /) -> tuple[B, C]: ...

    @overload
    def add(self, first: B, second: C, third: D, /) -> tuple[B, C, D]: ...

    @overload
    def add(self, *blocks: Any) -> Any: ...

    def add(self, *blocks: Any, name: str | None = None) -> Any:
        """Put blocks into the engine; returns the block, or a tuple of them. `name` names a single one."""
        if name is not None and len(blocks) != 1:
            raise DescriptionError(f"name= names one block; {len(blocks)} were given")
        with self._lock:
            self._check_open()
            for block in blocks:
                self.context.add(block, name)
                block.attach(self, self._tracker, self._collect)
        return blocks[0] if len(blocks) == 1 else blocks

    def remove(self, *blocks: Block) -> None:
        """Take blocks out, with their wires. They can be added again; states keep the contents of the last frame."""
        with self._lock:
            for block in blocks:
                self.context.check_mine(block)
                self._keep_states(block)
                if self._running is not None:
                    inner = [each.description for _, each in block.walk()]
                    self._running.storage.leave(item for each in inner for item in (*each.tensors, *each.ports))
                self.context.remove(block)
                for port in [port for port in self._bindings.ports() if port.block.root is block]:
                    self._bindings.unbind(port)
                block.attach(None, None, None)

    def connect(self, source: Port, destination: Port) -> None:
        """Feed an output into an input. Shapes and dtypes are checked at the next `update()`."""
        with self._lock:
            if destination in self._bindings:
                raise DescriptionError(
                    f"{destination.path} has an array bound to it; engine.unbind({destination.path}) first"
                )
            self.context.connect(source, destination)

    def disconnect(self, source: Port, destination: Port) -> None:
        """Take a wire away."""
        with self._lock:
            self.context.disconnect(source, destination)

    def after(self, later: Block, *earlier: Block) -> None:
        """Run a block after others, where no data says so."""
        with self._lock:
            self.context.after(later, *earlier)

    def keep(self, *ports: Port) -> None:
        """Leave these inner ports readable after each frame. Outputs that nothing reads always are."""
        with self._lock:
            self.context.keep(*ports)

    def bind(self, port: Port, array: object, *, stream: bool = False) -> None:
        """Feed an input from an array.

        NumPy arrays are copied now (with `stream`: at each `update()`, from the same array). Arrays in the device's own
        memory that offer DLPack or `__cuda_array_interface__` are used in place. Another array of the same shape and
        dtype never rebuilds anything.
        """
        with self._lock:
            self._check_bindable(port)
            try:
                same = self._bindings.bind(port, array, stream)
            except KeyboardInterrupt:  # perhaps another array is bound already
                self._tracker.mark_structure(f"binding {port.path} was interrupted")
                raise
            if same and (self._running is None or self._running.takes(port, *self._bindings.types()[port])):
                self._tracker.mark_binding(port)
            else:
                self._tracker.mark_structure(f"an array of another shape or dtype is bound to {port.path}")
            self._update_each_frame()

    def unbind(self, port: Port) -> None:
        """Forget the array that feeds an input."""
        with self._lock:
            if port not in self._bindings:
                raise DescriptionError(f"nothing is bound to {port.path}")
            self._bindings.unbind(port)
            self._tracker.mark_structure(f"{port.path} unbound")
            self._update_each_frame()

    # Running

    def update(self, *, sync: bool = False) -> None:
        """Apply everything that changed, then run one frame.

        Returns before the device is done, unless `sync`. The first call compiles, and raises what is wrong. Later, a
        change that cannot be built leaves the last good graph running: the error is in `errors`, in `explain()` and on
        its blocks.
        """
        with self._lock:
            tracker = self._tracker
            if tracker.cold or self._each_frame:
                self._prepare()
            elif tracker.parameters:
                changed = self._changed = tracker.parameters
                self._changed_frame = self.frame + 1
                try:
                    tracker.parameters = {}
                    self._hot.apply(changed)
                except BaseException:
                    tracker.parameters = changed | tracker.parameters
                    raise
            try:
                if self._delayed:
                    self._require_running().swap_delays()
                self.frame += 1
                self._launch(self.frame)
                if self._delayed:
                    self._require_running().swapped = []
            except BaseException as error:
                self._give_up_frame(error)
                raise
            if self._profile.observing or self._checking:
                self._inspect()
        if sync:
            self.synchronize()

    def synchronize(self) -> None:
        """Block until every started frame is done; raises `DeviceError` when one failed."""
        with self._lock:
            running = self._require_running()
            try:
                running.executable.wait()
            except DeviceError as error:
                running.blame(error)
                raise
            self._collect()

    def read(self, tensor: Port | Tensor) -> np.ndarray:
        """A NumPy copy of an output, a kept port, an append count, a state or a weight, after the last frame."""
        if isinstance(tensor, Weight):
            return tensor.value.copy()
        with self._lock:
            running = self._require_running()
            buffer = running.buffer_to_read(tensor)
            out = np.empty(buffer.shape, buffer.dtype)
            running.executable.wait()
            if out.nbytes:
                self._device.download(running.storage.addresses[buffer.index], out)
            return out

    def array(self, tensor: Port | Tensor) -> Any:
        """The memory itself as a native array, without a copy: NumPy on the host, CuPy on CUDA.

        Valid until the next structural change. On CUDA, work on it is ordered by your own stream: call `synchronize()`.
        """
        with self._lock:
            running = self._require_running()
            buffer = running.buffer_to_read(tensor)
            return self._device.view(running.storage.addresses[buffer.index], buffer.shape, buffer.dtype, self)

    def close(self) -> None:
        """Release blocks, memory and the device. Safe to call twice; also at the end of `with`."""
        with self._lock:
            if self._closed or self._torn:
                return
            for block in self.context.blocks.values():
                with suppress(DeviceError):  # a device that failed can still be closed
                    self._keep_states(block)
                block.attach(None, None, None)
            self._closed = True
            self._launch = self._launch_nothing
            if self._running is not None:
                self._running.close()
                self._running = None
            self._bindings.close()
            self._device.close()

    def __enter__(self) -> CudaEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Telling

    @property
    def device(self) -> Device:
        """The device it runs on."""
        return self._device

    @property
    def plan(self) -> Plan:
        """The plan that runs now."""
        return self._require_running().plan

    @property
    def rebuilds(self) -> int:
        """How many times a plan was built: 1 after the first frame, and one more for each structural change."""
        return self._builder.builds

    @property
    def errors(self) -> tuple[CudaGraphError, ...]:
        """What keeps the newest changes from running; empty when the graph is up to date."""
        return self._builder.errors

    @property
    def profile(self) -> str:
        """What is measured: "off", "frame", "block", "kernel" or "deep". Settable at any time."""
        return self._profile.level.value

    @profile.setter
    def profile(self, level: str | ProfileLevel) -> None:
        with self._lock:
            self._profile.set_level(level)
            if self._running is not None:
                self._running.executable.timing = self._profile.timing

    @property
    def frame_ms(self) -> float | None:
        """Device time of the newest finished frame, in milliseconds; None while nothing is measured."""
        with self._lock:
            self._collect()
            return self._profile.frames[-1].elapsed_ms if self._profile.frames else None

    def explain(self) -> Explanation:
        """What the last frame did, and why. Prints as text."""
        with self._lock:
            if self._changed_frame == self.frame:
                return self._hot.explain(self.frame, self._changed)
            last = self._explanation
            return last if last.frame == self.frame else Explanation(frame=self.frame)

    def report(self) -> str:
        """A table of blocks: state, times, append counts; and what the whole costs."""
        with self._lock:
            self._collect()
            warning = self._builder.cache_warning
            return report(self.context, self._running, self._device, self._profile, self.frame, warning)

    def trace(self, path: str | Path) -> None:
        """Write the recent measured frames as a trace for Perfetto or chrome://tracing."""
        with self._lock:
            self._collect()
            self._profile.write_trace(path, self._require_running().plan, self._device)

    def graph(self) -> nx.DiGraph:
        """The dataflow as a networkx graph: blocks as nodes (with state and time), wires as edges (shape, bytes)."""
        with self._lock:
            self._collect()
            blocks = list(self.context.blocks.values())
            return dataflow(blocks, self.context.wires, self.context.order, self._running and self._running.describe)

    # Forks of the process

    def hold(self, seconds: float) -> bool:
        """Keep other threads out of the engine; False when that took too long."""
        return self._lock.acquire(timeout=seconds)

    def let_go(self) -> None:
        """Let them in again."""
        self._lock.release()

    def abandon(self) -> None:
        """This is a forked child, and the thread that was using this engine exists in the parent only."""
        self._lock = threading.RLock()
        self._torn = True
        self._tracker.cold = True  # the next frame looks at what happened

    # Inner steps of update()

    def _prepare(self) -> None:
        """Bring the executable up to date. Nothing is lost when that fails: what could not be applied stays pending."""
        self._check_open()
        started = time.perf_counter()
        explanation = self._explanation = Explanation(frame=self.frame + 1)
        if self._watch is not None:
            self._watch.mark_changes(self.context)
        changes = DirtyTracker()
        try:
            self._tracker.move_to(changes)
            self._apply(changes, explanation)
        except BaseException:
            self._tracker.put_back(changes)
            raise
        explanation.microseconds = (time.perf_counter() - started) * 1e6

    def _apply(self, changes: DirtyTracker, explanation: Explanation) -> None:
        if changes.structure or self._running is None or (self._failed and changes.sources):
            self._rebuild(changes, explanation)
        elif changes.sources or any(specialises(option, self._running) for option in changes.options):
            self._swap_code(changes, explanation)
        assert self._running is not None
        self._apply_hot(self._running, changes, explanation)

    def _give_up_frame(self, error: BaseException) -> None:
        """The frame did not come to its end: the next one starts from where this one did."""
        running = self._running
        if running is not None:
            running.swap_back()
            if isinstance(error, DeviceError):
                running.blame(error)

    def _rebuild(self, changes: DirtyTracker, explanation: Explanation) -> None:
        if self._running is not None:
            self._collect()
            self._running.settle_delays()
        reasons = [*self._failed, *changes.structure]
        with HeldInterrupts() as interrupts:
            try:
                timing, hold = self._profile.timing, interrupts.hold
                running, outcome = self._builder.build(self.context, self._running, timing, hold)
            except CudaGraphError as error:
                if self._running is None:
                    raise
                self._failed = list(dict.fromkeys(reasons))
                explanation.add(Tier.FAILED, f"{'; '.join(reasons)}: {error}. The last good graph keeps running")
                _restore(changes.sources)
                return
            self._failed = []
            self._install(running)
        explanation.add(Tier.STRUCTURE, f"{'; '.join(reasons) or 'first build'}: {outcome}")

    def _swap_code(self, changes: DirtyTracker, explanation: Explanation) -> None:
        assert self._running is not None
        sources = changes.sources
        options = [option for option in changes.options if specialises(option, self._running)]
        told = [f"new source of {block.path}:{block.description.work[work].name}" for block, work in sources]
        told += [f"{option.path} = {option.value!r}" for option in options]
        blocks = [*(block for block, _ in sources), *(option.block for option in options)]
        with HeldInterrupts() as interrupts:
            try:
                running, outcome = self._builder.swap_code(self.context, self._running, blocks, interrupts.hold)
            except CudaGraphError as error:
                _restore(sources)
                explanation.add(Tier.FAILED, f"{', '.join(told)} not used: {error}. The old kernel keeps running")
                return
            self._install(running)
        explanation.add(Tier.CODE, f"{', '.join(told)}: {outcome}")

    def _install(self, running: Running) -> None:
        """A new plan runs from now on."""
        self._running = running
        self._launch = running.executable.launch
        self._hot.attach(running.plan, running.executable, running.parameter_address())
        self._bindings.free_retired()
        self._profile.reset(self.frame + 1)
        if self._watch is not None:
            self._watch.follow(self.context)
        for port in self._bindings.ports():
            self._bindings.upload(port)
        self._update_each_frame()
        if self.environment.dot is not None:
            self.environment.dot.write_text(render(self.context, "dot"))

    def _apply_hot(self, running: Running, changes: DirtyTracker, explanation: Explanation) -> None:
        """Everything that needs no new plan."""
        for option in changes.options:
            self._builder.set_option(running, option, explanation)
        for tensor in changes.contents:
            running.upload_contents(tensor, explanation)
        for port in changes.bindings:
            if port in self._bindings:  # it may have been unbound again, or its block removed
                self._bindings.upload(port)
                running.rebind(port, self._bindings.address(port), explanation)
        if changes.bindings and not self._failed:  # else the last good graph may still read what was unbound
            self._bindings.free_retired()
        for port in self._bindings.streams:
            self._bindings.upload(port)
        if changes.parameters:
            self._hot.apply(changes.parameters)
            explanation.merge(self._hot.explain(explanation.frame, changes.parameters))
        if self.environment.poison:
            running.storage.poison_arena()

    def _launch_nothing(self, frame: int) -> None:
        self._check_open()
        raise DescriptionError(f"frame {frame} has nothing to run: the first build failed")

    def _update_each_frame(self) -> None:
        always = self._watch is not None or self.environment.poison
        self._each_frame = always or bool(self._bindings.streams)
        self._delayed = self._running is not None and bool(self._running.plan.delays)

    def _inspect(self) -> None:
        """What is done after a frame when somebody looks closely."""
        running = self._require_running()
        if self._profile.level is ProfileLevel.DEEP:
            running.executable.wait()
        self._collect()
        if self.environment.validate:
            check_references(running)
        if self.environment.check == "nan":
            check_nan(running)

    def _collect(self) -> None:
        """Hand the results of finished frames to the blocks."""
        running = self._running
        if running is not None and not self._closed:
            self._profile.publish(running)

    def _keep_states(self, block: Block) -> None:
        """Copy a block's states from the device, so that they are not lost with its memory."""
        running = self._running
        if running is None:
            return
        for state in block.states.values():
            if state in running.plan.ports:
                state.init = self.read(state)

    def _require_running(self) -> Running:
        self._check_open()
        if self._running is None:
            raise DescriptionError("nothing has run yet: call engine.update() first")
        return self._running

    def _check_open(self) -> None:
        if self._closed:
            raise DescriptionError("this engine is closed; make a new one")
        if self._torn:
            raise DescriptionError(
                "another thread was using this engine when the process forked, so it is not whole in the child; "
                "make a new one here, or fork while no other thread is in update()"
            )

    def _check_bindable(self, port: Port) -> None:
        self._check_open()
        if not isinstance(port, Port):
            inputs = port.inputs if isinstance(port, Block) else ()
            example = f": bind({inputs[0].path}, array)" if inputs else ""
            raise DescriptionError(f"an array is bound to a port, not to {port!r}{example}")
        self.context.check_mine(port.block.root)
        if port.direction is not Direction.INPUT:
            raise DescriptionError(
                f"{port.path} is an output; arrays are bound to inputs. Read it with engine.read({port.path})"
            )
        fed = self.context.wires.get(port)
        if fed is not None:
            raise DescriptionError(
                f"{port.path} is fed by {fed.path}; engine.disconnect({fed.path}, {port.path}) first"
            )


def _restore(sources: dict[tuple[Block, int], KernelSource]) -> None:
    """Go back to the kernels that run: their new sources did not compile."""
    for (block, work), before in sources.items():
        block.restore_source(work, before)
