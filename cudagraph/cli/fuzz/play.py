"""Plays steps on an engine, and after each frame compares it with a build from scratch and with NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph.engine.engine import CudaEngine
from cudagraph.errors import CudaGraphError, DescriptionError
from cudagraph.port import AppendPort, DelayPort, Port

from .model import NAMES, Invalid, Model, Node, Values, Wire, widened
from .steps import Frame, Mistake, Step, added_lines, contents, feed_line, setting_lines

# Relative to the largest value in sight: what a wrong wire or a stale value makes is far above.
TOLERANCES = {"float64": 1e-10, "float32": 2e-4, "float16": 2e-2}


@dataclass(frozen=True)
class Setup:
    """How the engine under test is opened."""

    device: str = "host"
    dtype: str = "float32"
    poison: bool = False
    memory_planner: bool = True

    def open(self) -> CudaEngine:
        """The engine under test."""
        return self._open(poison=self.poison, memory_planner=self.memory_planner)

    def open_fresh(self) -> CudaEngine:
        """An engine to compare with: everything stays readable, unless that is what is tested."""
        return self._open(poison=False, memory_planner=False)

    def _open(self, **settings: bool) -> CudaEngine:
        return CudaEngine(self.device, environment=replace(cg.Environment.from_environ(), **settings))


class Refused(Exception):
    """Both engines say that the pipeline cannot run: nothing to compare any more."""


class Found(Exception):
    """Something is wrong. `what` says which sort of thing, so that a smaller case is known to be the same."""

    wanted = np.zeros(0)  # what a reference says
    tolerance = 0.0

    def __init__(self, what: str, message: str, name: str = "", port: str = "") -> None:
        super().__init__(message)
        self.what = what
        self.name = name
        self.port = port


class World:
    """An engine under test, with the model of what it should be and all lines of Python that led here."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.model = Model(setup.dtype)
        self.transcript: list[str] = []
        self.frames = 0
        self.compared = 0
        self._expected: Values = {}
        self.fresh: list[str] = []  # how the pipeline of the last frame is built at once
        self._names = {**NAMES, "cg": cg, "open_engine": setup.open, "switch_source": _switch_source(), "engine": None}
        self._do("engine = open_engine()")

    @property
    def engine(self) -> CudaEngine:
        """The engine under test."""
        return self._names["engine"]

    def close(self) -> None:
        """Close the engine. Memory that it leaves behind is a failure."""
        self.engine.close()
        self._check_memory(self.engine)

    def play(self, step: Step) -> bool:
        """Do one step, if it makes sense now. `Found` when something is wrong, `Refused` when both engines say no."""
        if not step.fits(self.model):
            return False
        if isinstance(step, Mistake):
            self.play(Frame())  # what was edited before is not lost with the mistake
        before = self.engine
        frames, mistake = self.model.frames, isinstance(step, Mistake)
        lines, known = step.lines(self.model), self.engine.errors
        error = self._try(lines)
        raised = error is not None
        ending = step.ending(self.model) if isinstance(step, Mistake) else []
        step.change(self.model)
        if before is not self.engine:
            self._check_memory(before)
        if self.model.frames <= frames and not raised:
            return True
        if mistake:
            error = self._mistaken(error, known)
        elif not raised and self.engine.errors is not known:
            error = next(iter(self.engine.errors), None)
        self._check(error)
        if mistake:
            self._do(*ending)
        return True

    def _mistaken(self, error: CudaGraphError | None, known: object) -> CudaGraphError | None:
        """Run the frame of a mistake, which has to be noticed at once or by the frame."""
        noticed = error is not None
        error = self._try(["engine.update(sync=True)"])
        if not noticed and error is None and self.engine.errors in ((), known):
            raise Found("unnoticed", "a mistake was not noticed")
        return error

    def _do(self, *lines: str) -> None:
        for line in lines:
            self.transcript.append(line)
            exec(line, self._names)

    def _try(self, lines: Sequence[str]) -> CudaGraphError | None:
        try:
            self._do(*lines)
        except CudaGraphError as error:
            return error
        except Exception as error:
            raise Found(type(error).__name__, f"{type(error).__name__}: {error}") from error
        return None

    def _check_memory(self, engine: CudaEngine) -> None:
        left = getattr(engine.device, "allocations", 0)
        if left:
            raise Found("leak", f"{left} allocations are left after close()")

    # One frame

    def _check(self, error: CudaGraphError | None) -> None:
        """Compare the engine, or its error, with a build from scratch."""
        self.frames += 1
        self._forget_lost_memory()
        self.fresh = fresh_lines(self.model)
        names = dict(self._names)
        names["engine"] = fresh = self.setup.open_fresh()
        with fresh:
            other = None
            try:
                for line in (*self.fresh, "engine.update(sync=True)"):
                    exec(line, names)
            except CudaGraphError as refusal:
                other = refusal
            if error is not None and other is not None:
                raise Refused(str(other))
            if error is not None:
                raise Found("refused", f"the engine refuses what a fresh one takes: {error}") from error
            if other is not None:
                raise Found("accepted", f"the engine runs what a fresh one refuses: {other}") from other
            if self.setup.device != "recording":
                self._compare(fresh, names)
                self._compare_with_references(fresh, names)
                self._remember(fresh, names)

    def _forget_lost_memory(self) -> None:
        """What survives a frame is made anew where its shape is another one."""
        try:
            values = self._expected = self.model.evaluate()
        except Invalid:
            return
        for node in self.model.nodes.values():
            if node.memory is not None:
                x = self.model.input(node.feeds["x"], values)
                dtype = self.model.dtype_of(node.name, "x")
                if x.shape != node.memory.shape or node.memory.dtype != np.dtype(dtype):
                    node.memory = None

    def _compare(self, fresh: CudaEngine, names: dict[str, Any]) -> None:
        for node in self.model.nodes.values():
            for port in node.block.outputs:
                try:
                    given = read(self.engine, self._names[node.name], port)
                except DescriptionError:
                    continue  # memory that was used again
                wanted = read(fresh, names[node.name], port)
                if not _same(given, wanted):
                    raise Found(
                        "differs", f"{node.name}.{port.name} is\n{given}\na fresh engine has\n{wanted}",
                        node.name, port.name,
                    )  # fmt: skip
                self.compared += 1
            if node.kind.state:
                mine, other = (one[node.name].states[node.kind.state].value for one in (self._names, names))
                if not _same(mine, other):
                    raise Found("state", f"the state of {node.name} is\n{mine}\na fresh engine has\n{other}", node.name)

    def _compare_with_references(self, fresh: CudaEngine, names: dict[str, Any]) -> None:
        for node in self.model.nodes.values():
            if node.kind.delays:
                continue
            inputs = [widened(self._input(node, port.name, fresh, names)) for port in node.block.inputs]
            with np.errstate(all="ignore"):
                wanted = node.reference(inputs, node.memory)
            scale = max([1.0, *(_largest(array) for array in (*inputs, *wanted.values()))])
            for port in node.block.outputs:
                try:
                    given = read(fresh, names[node.name], port)
                except DescriptionError:
                    continue  # a view of a delay
                expected = wanted[port.name]
                if isinstance(port, AppendPort):
                    expected = np.sort(expected)[: port.capacity]
                    if len(expected) == port.capacity:
                        continue  # which ones were lost is not defined
                tolerance = TOLERANCES[self.setup.dtype] * scale
                if not _close(given, expected, tolerance):
                    text = f"{node.name}.{port.name} is\n{given}\nits reference says\n{expected}"
                    found = Found("reference", text, node.name, port.name)
                    found.wanted, found.tolerance = expected, tolerance
                    raise found
                self.compared += 1

    def _input(self, node: Node, port: str, fresh: CudaEngine, names: dict[str, Any]) -> np.ndarray:
        """What an input had in this frame."""
        feed = node.feeds[port]
        if not isinstance(feed, Wire):
            return feed.make()
        source = self.model.nodes[feed.source]
        if not source.kind.delays:
            try:
                return fresh.read(names[feed.source].ports[feed.port])
            except DescriptionError:  # a view of a delay
                inputs = [widened(self._input(source, each.name, fresh, names)) for each in source.block.inputs]
                values = source.reference(inputs, source.memory)[feed.port]
                return values.astype(self.model.dtype_of(feed.source, feed.port))
        if source.memory is not None:
            return source.memory
        return np.zeros(self._expected[feed.source, feed.port].shape, self.model.dtype_of(source.name, "x"))

    def _remember(self, fresh: CudaEngine, names: dict[str, Any]) -> None:
        """Take what the next frame starts from."""
        after: dict[str, np.ndarray] = {}
        for node in self.model.nodes.values():
            if node.kind.delays:
                after[node.name] = np.array(self._input(node, "x", fresh, names))
            elif node.kind.state:
                after[node.name] = fresh.read(names[node.name].states[node.kind.state])
        for name, memory in after.items():
            self.model.nodes[name].memory = memory


def _switch_source() -> Any:
    from .custom import switch_source

    return switch_source


def fresh_lines(model: Model) -> list[str]:
    """The pipeline as it is now, built at once."""
    lines = []
    for node in model.nodes.values():
        init = 0 if node.memory is None else contents(node.memory)
        lines += added_lines(node.name, node.text, init)
        lines += setting_lines(node)
    for node in model.nodes.values():
        lines += [feed_line(node.name, port, feed) for port, feed in node.feeds.items()]
    return lines


def read(engine: CudaEngine, block: Any, port: Port) -> np.ndarray:
    """An output; of an appended one what was appended, in order of size."""
    mine = block.ports[port.name]
    if isinstance(mine, DelayPort):
        raise DescriptionError("a delay changes hands")
    values = engine.read(mine)
    if isinstance(mine, AppendPort):
        values = np.sort(values[: int(engine.read(mine.count))])
        # Which ones were lost is not defined.
        return values if len(values) < mine.capacity else np.full(mine.capacity, 0, values.dtype)
    return values


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and first.dtype == second.dtype and first.tobytes() == second.tobytes()


def _numbers(array: np.ndarray) -> np.ndarray:
    if array.dtype.names is None:
        return np.asarray(array, np.float64)
    return np.concatenate([np.asarray(array[name], np.float64).reshape(-1) for name in array.dtype.names])


def _largest(array: np.ndarray) -> float:
    numbers = np.abs(_numbers(array))
    return float(numbers.max(initial=0, where=np.isfinite(numbers)))


def _close(given: np.ndarray, wanted: np.ndarray, tolerance: float) -> bool:
    """Within the tolerance, where the result is finite and well inside of the type's range."""
    if given.shape != wanted.shape:
        return False
    first, second = _numbers(given), _numbers(wanted)
    limit = 1e4 if given.dtype == np.float16 else 1e30
    counted = np.isfinite(second) & (np.abs(second) < limit)
    with np.errstate(invalid="ignore"):
        return bool(np.all(np.abs(first - second)[counted] <= tolerance))
