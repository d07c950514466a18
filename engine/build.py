"""From a context to something that runs: plan, memory, kernels, executable. A failure leaves what runs untouched."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.context import Context
from cudagraph.debug import BlockState
from cudagraph.dtypes import show
from cudagraph.environment import Environment
from cudagraph.errors import CompileError, CudaGraphError, DescriptionError, DeviceError
from cudagraph.option import Option
from cudagraph.port import DelayPort, Port
from cudagraph.program import Program
from cudagraph.shape import show_shape
from cudagraph.tensor import State, Tensor, Weight
from cudagraph.work import Kernel, LibraryCall

from .allocate import check_sizes
from .bindings import Bindings
from .cache import BinaryCache
from .compile import compile_programs, progress_display
from .devices.base import Device, Executable, Timing
from .devices.base import Kernel as LoadedKernel
from .explain import Explanation, Tier
from .flatten import flatten
from .lower import lower
from .memory import Layout, plan_memory
from .plan import Buffer, KernelNode, LibraryNode, Place, Plan
from .storage import Sides, Storage


@dataclass
class Running:
    """A plan with its memory and executable: what frames run on."""

    plan: Plan
    layout: Layout
    storage: Storage
    executable: Executable
    device: Device
    context: Context
    swapped: list[tuple[Buffer, Buffer, Sides]] = field(default_factory=list)  # delays, for the frame that is beginning
    nan: tuple[Block, str] | None = None  # the block that is marked for NaN, and what is said there
    nan_states: frozenset[int] = frozenset()  # states that held NaN when the last frame ended

    def buffer_to_read(self, tensor: Port | Tensor) -> Buffer:
        """The buffer of a port, state or scratch; `DescriptionError` when its memory is not kept after a frame."""
        index = self.plan.ports.get(tensor)
        if index is None:
            tensor = flatten(self.context).source(tensor)
            index = self.plan.ports.get(tensor)
        if index is None:
            raise DescriptionError(f"{tensor.path} is not part of the running graph (nothing computes or reads it)")
        if tensor in self.plan.overwritten:
            raise DescriptionError(
                f"the memory of {tensor.path} is taken over by an in-place output; "
                f"engine.keep({tensor.path}) before update() leaves it readable"
            )
        buffer = self.plan.buffers[index]
        delay = buffer.owner
        if isinstance(delay, DelayPort):  # it, or a view of it
            raise DescriptionError(
                f"{tensor.path} is the value of {delay.source.path} one frame ago, and changes hands between frames; "
                f"read {delay.source.path} (engine.keep it if it is an inner port)"
            )
        if buffer.place is Place.ARENA:
            raise DescriptionError(
                f"the memory of {tensor.path} is reused within a frame; "
                f"engine.keep({tensor.path}) before update() leaves it readable"
            )
        return buffer

    def describe(self, port: Port) -> dict[str, object]:
        """Facts about a port's data as it runs, for `engine.graph()`."""
        index = self.plan.ports.get(port)
        if index is None:
            return {"label": port.name}
        buffer = self.plan.buffers[index]
        label = f"{show(buffer.dtype)}{show_shape(buffer.shape)}"
        return {"label": label, "shape": buffer.shape, "dtype": buffer.dtype, "nbytes": buffer.nbytes}

    def takes(self, port: Port, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        """Whether an array of this type can be bound without a new plan (nobody may read the port at all)."""
        index = self.plan.ports.get(port)
        return index is None or (self.plan.buffers[index].shape, self.plan.buffers[index].dtype) == (shape, dtype)

    def rebind(self, port: Port, address: int, explanation: Explanation) -> None:
        """The array behind an input moved, or has new contents."""
        index = self.plan.ports.get(port)
        if index is None:
            return
        if self.storage.addresses[index] == address:
            explanation.add(Tier.CONTENTS, f"{port.path}: {self.plan.buffers[index].nbytes:,} bytes copied")
            return
        self.executable.set_address(index, address)
        self.storage.move(index, address)
        explanation.add(Tier.REBIND, f"{port.path}: pointer moved")

    def upload_contents(self, tensor: Tensor, explanation: Explanation) -> None:
        """A weight or a state was assigned new contents."""
        index = self.plan.ports.get(tensor)
        if index is None:
            return  # not running yet: it gets them together with its memory
        contents = tensor.pending if isinstance(tensor, State) else None
        if isinstance(tensor, Weight):
            contents = tensor.value
        if contents is None:
            return
        if contents.shape != self.plan.buffers[index].shape:
            tensor.sent(contents)  # type: ignore[union-attr]  # a state, assigned before its shape changed
            return
        if contents.nbytes:
            self.device.upload(self.storage.addresses[index], contents)
        if isinstance(tensor, State):
            tensor.sent(contents)
            self.nan_states -= {index}
        explanation.add(Tier.CONTENTS, f"{tensor.path}: {contents.nbytes:,} bytes copied")

    def swap_delays(self) -> None:
        """What was written in the last frame becomes the previous value, until `swap_back`."""
        buffers = self.plan.buffers
        self.swapped = []
        for pair in self.plan.delays:
            current, previous = buffers[pair.current], buffers[pair.previous]
            self.swapped.append((current, previous, self.storage.sides(current, previous)))
            if self.storage.swap(current, previous):
                self.executable.set_address(pair.current, self.storage.addresses[pair.current])
                self.executable.set_address(pair.previous, self.storage.addresses[pair.previous])

    def swap_back(self) -> None:
        """The frame did not come to its end, so the next one has the same previous values."""
        for current, previous, sides in self.swapped:
            self.storage.restore(current, previous, sides)
            self.executable.set_address(current.index, self.storage.addresses[current.index])
            self.executable.set_address(previous.index, self.storage.addresses[previous.index])
        self.swapped = []

    def settle_delays(self) -> None:
        """Pass the last frame's values on now, not before the next frame: the next plan may keep them differently."""
        try:
            self.swap_delays()
            for pair in self.plan.delays:
                self.storage.mark_fresh(self.plan.buffers[pair.current], self.plan.buffers[pair.previous])
        except BaseException:
            self.swap_back()
            raise
        self.swapped = []

    def parameter_address(self) -> int:
        """Where the parameter block is; 0 when there is none."""
        index = self.plan.parameter_buffer
        return 0 if index is None else self.storage.addresses[index]

    def block_of(self, node: int) -> Block | None:
        """The block that asked for a node."""
        path = self.plan.nodes[node].block
        names = path.split("/")
        block = self.context.blocks.get(names[0]) if path else None
        for _, inner in block.walk() if block is not None else ():
            if inner.path == path:
                return inner
        return None

    def blame(self, error: DeviceError) -> None:
        """Mark the block whose node failed."""
        block = self.block_of(error.node) if error.node is not None else None
        if block is not None:
            error.block = block
            block.debug.set_state(BlockState.ERROR, str(error))

    def close(self) -> None:
        """Release executable and memory."""
        self.executable.close()
        self.storage.close()


class Builder:
    """Builds plans for one device, keeping compiled kernels and memory from one to the next."""

    def __init__(self, device: Device, bindings: Bindings, environment: Environment) -> None:
        self._device = device
        self._bindings = bindings
        self._environment = environment
        self._cache = BinaryCache(environment.cache)
        self._kernels: dict[Program, LoadedKernel] = {}
        self.builds = 0
        self.errors: tuple[CudaGraphError, ...] = ()

    @property
    def cache_warning(self) -> str | None:
        """Why compiled kernels cannot be kept on disk; None where they can."""
        return self._cache.warning

    def build(
        self, context: Context, running: Running | None, timing: Timing, hold: Callable[[], None]
    ) -> tuple[Running, str]:
        """What to run from now on, and what it took in words. On an error `running` is as it was.

        `hold` is called when all is ready for the new plan, which must then be brought in without an interruption.
        """
        try:
            with _collector_paused():  # a plan is no garbage, but the collector would walk it again and again
                built, outcome = self._build(context, running, timing, hold)
        except CudaGraphError as error:
            self._fail(error, running is not None)
            raise
        self.builds += 1
        self._recover(context)
        return built, outcome

    def swap_code(
        self, context: Context, running: Running, blocks: Sequence[Block], hold: Callable[[], None]
    ) -> tuple[Running, str]:
        """The same plan with other kernels in these blocks. `hold`: see `build`."""
        try:
            plan = self._lower(context)
            kernels = self._load(context, plan, True)
            hold()
            if plan.nodes != running.plan.nodes or len(plan.programs) != len(running.plan.programs):
                outcome = running.executable.replace(plan, running.storage.addresses, kernels)
            else:
                outcome = _swap_kernels(running, plan, kernels)
        except CudaGraphError as error:
            error.block = error.block or blocks[0]
            self._fail(error, True)
            raise
        self._recover(context)
        return Running(plan, running.layout, running.storage, running.executable, self._device, context), outcome

    def set_option(self, running: Running, option: Option, explanation: Explanation) -> None:
        """Capture the library calls that use an option anew."""
        for node in running.plan.nodes:
            if isinstance(node, LibraryNode) and _uses(running, node, option):
                options = _options(running, node)
                running.executable.set_options(node.index, options)
                explanation.add(Tier.RECAPTURE, f"{option.path} = {option.value!r}: {node.name} captured anew")

    def _build(
        self, context: Context, running: Running | None, timing: Timing, hold: Callable[[], None]
    ) -> tuple[Running, str]:
        plan = self._lower(context)
        check_sizes(plan)
        layout = plan_memory(plan, reuse=self._environment.memory_planner)
        kernels = self._load(context, plan, running is not None)
        storage = running.storage if running else Storage(self._device, poison=self._environment.poison)
        draft = storage.draft(plan, layout, self._bindings.address)
        try:
            hold()
            if running is None:
                executable = self._device.build(plan, draft.addresses, kernels)
                executable.timing = timing
                outcome = f"{len(plan.nodes)} nodes built"
            else:
                executable = running.executable
                outcome = executable.replace(plan, draft.addresses, kernels)
        except BaseException as error:
            storage.discard(draft)
            if isinstance(error, DeviceError) and error.node is not None:
                Running(plan, layout, storage, None, self._device, context).blame(error)  # type: ignore[arg-type]
            raise
        storage.commit(draft)
        return Running(plan, layout, storage, executable, self._device, context), outcome

    def _lower(self, context: Context) -> Plan:
        environment = self._environment
        keep_all = not environment.memory_planner or environment.validate or environment.check is not None
        return lower(context, self._bindings.types(), keep_all=keep_all)

    def _load(self, context: Context, plan: Plan, running: bool) -> list[LoadedKernel]:
        """Every kernel of the plan, compiling what is new."""
        missing = [program for program in plan.programs if program not in self._kernels]
        if missing:
            with progress_display() as progress:
                compiled = compile_programs(missing, self._device.compiler, self._cache, progress=progress)
            failed = {program: result for program, result in compiled.items() if isinstance(result, CompileError)}
            if failed:
                raise self._compile_error(context, plan, failed, running)
            for program, result in compiled.items():
                assert not isinstance(result, CompileError)
                self._kernels[program] = self._device.load(program, result.binary, result.path)
        kernels = [self._kernels[program] for program in plan.programs]
        if len(self._kernels) > 2 * len(plan.programs) + 64:  # forget what many edits left behind
            self._kernels = dict(zip(plan.programs, kernels, strict=True))
        return kernels

    def _compile_error(
        self, context: Context, plan: Plan, failed: Mapping[Program, CompileError], running: bool
    ) -> CompileError:
        """One error for all kernels that failed; each block gets the message of its own."""
        by_identity = {block.identity: block for block in context.walk()}
        first: Block | None = None
        for node in plan.nodes:
            problem = failed.get(plan.programs[node.program]) if isinstance(node, KernelNode) else None
            if problem is not None:
                block = by_identity[node.key[0]]
                first = first or block
                _mark(block, problem, running)
        assert first is not None
        problem = next(iter(failed.values()))
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        error = CompileError(f"{first.path}: {problem}{more}", origin=problem.origin)
        error.log = problem.log
        error.block = first
        return error

    def _fail(self, error: CudaGraphError, running: bool) -> None:
        self.errors = (error,)
        if isinstance(error.block, Block) and not _is_marked(error.block, error):
            _mark(error.block, error, running)

    def _recover(self, context: Context) -> None:
        self.errors = ()
        for block in context.walk():
            debug = block.debug
            if debug.state is not BlockState.OK:
                debug.set_state(BlockState.OK)


def specialises(option: Option, running: Running) -> bool:
    """Whether a kernel of the plan is compiled for the value of this option; library calls are captured with it."""
    block = option.block
    kernels = [
        position
        for position, work in enumerate(block.description.work)
        if isinstance(work, Kernel) and any(value is option for _, value in work.define)
    ]
    return bool(kernels) and any(node.key == (block.identity, at) for node in running.plan.nodes for at in kernels)


@contextmanager
def _collector_paused() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_marked(block: Block, error: CudaGraphError) -> bool:
    """Whether the block already says what is wrong: kernels that do not compile have marked theirs."""
    debug = block.debug
    return debug.state is BlockState.ERROR and (isinstance(error, CompileError) or str(error) in debug.message)


def _mark(block: Block, error: CudaGraphError, running: bool) -> None:
    block.debug.set_state(BlockState.ERROR, f"{error}. The last good graph keeps running" if running else str(error))


def _swap_kernels(running: Running, plan: Plan, kernels: list[LoadedKernel]) -> str:
    swapped = 0
    for index, (old, new) in enumerate(zip(running.plan.programs, plan.programs, strict=True)):
        if old != new:
            running.executable.set_kernel(index, kernels[index])
            swapped += 1
    return f"{swapped} kernel{'s' * (swapped != 1)} swapped in the running graph"


def _call(running: Running, node: LibraryNode) -> LibraryCall:
    block = running.block_of(node.index)
    assert block is not None
    work = block.description.work[node.key[1]]
    assert isinstance(work, LibraryCall)
    return work


def _uses(running: Running, node: LibraryNode, option: Option) -> bool:
    return node.key[0] == option.block.identity and option in _call(running, node).options.values()


def _options(running: Running, node: LibraryNode) -> dict[str, object]:
    return {name: value.value for name, value in _call(running, node).options.items() if isinstance(value, Option)}
