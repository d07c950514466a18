"""Ctrl-C at any line of `update()`: the next frame is right, whatever was pending, and the engine goes on."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg
from cudagraph.engine.build import Builder
from cudagraph.engine.interrupts import HeldInterrupts

X = np.arange(12, dtype=np.float32)
ONES = np.ones(5, np.float32)
PACKAGE = cg.__file__.rpartition("cudagraph")[0]
MakeEngine = Callable[..., cg.CudaEngine]


class CtrlC:
    """Raises the signal before the n-th line that this package runs."""

    def __init__(self, line: int) -> None:
        self._left = line
        self.where = ""

    def __enter__(self) -> CtrlC:
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        return self._line if file.startswith(PACKAGE) and "/tests/" not in file else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line" and not self.where:
            self._left -= 1
            if self._left < 0:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                signal.raise_signal(signal.SIGINT)
        return self._line


class Pipeline:
    """What is changed live, and what has to come out of it."""

    def __init__(self, engine: cg.CudaEngine) -> None:
        self.engine = engine
        self.scale, self.offset, self.delay, self.add, self.total, self.chain = engine.add(
            toy.Scale(2.0), toy.Offset([1] * 12), toy.Delay(), toy.Add(), toy.Accumulate(), toy.Chain(1.0, 1.0)
        )
        engine.connect(self.scale.y, self.offset.x)
        engine.connect(self.offset.y, self.delay.x)
        engine.connect(self.offset.y, self.add.a)
        engine.connect(self.delay.y, self.add.b)
        engine.bind(self.scale.x, X)
        engine.bind(self.total.x, ONES)
        engine.bind(self.chain.x, X)
        self.x, self.factor, self.weight, self.start, self.plus = X, 2.0, 1.0, 0.0, 1.0
        self.more: toy.Shift | None = None
        self.previous = self.expected
        engine.update()
        engine.update()

    @property
    def expected(self) -> np.ndarray:
        return np.float32(self.factor) * self.x + np.float32(self.weight)

    def change(self, kind: str) -> None:
        self.previous = self.expected
        self.factor = self.scale.factor.value = self.factor + 1.0
        self.plus = self.chain.offset.value = self.plus + 3.0
        if kind == "hot":
            return
        self.weight += 4.0
        self.offset.weight.value = np.full(12, self.weight, np.float32)
        self.x = self.x + 1
        self.engine.bind(self.scale.x, self.x)
        self.start = 100.0
        self.total.total.value = np.full(5, self.start, np.float32)
        if kind == "structure":
            self.more = self.engine.add(toy.Shift(1.0))
            self.engine.connect(self.offset.y, self.more.x)

    def check(self, totals: tuple[float, ...]) -> None:
        read, y = self.engine.read, self.expected
        np.testing.assert_array_equal(read(self.offset.y), y)
        np.testing.assert_array_equal(read(self.chain.y), X + np.float32(self.plus))
        if not np.array_equal(read(self.add.c), y + self.previous):  # the interrupted frame had come to its end
            np.testing.assert_array_equal(read(self.add.c), y + y)
        assert read(self.total.y)[0] in totals
        if self.more is not None:
            np.testing.assert_array_equal(read(self.more.y), y + 1)
        assert self.engine.errors == ()


@pytest.mark.parametrize(("kind", "step"), [("hot", 1), ("cold", 3), ("structure", 97)])
def test_an_interrupt_at_any_line(make_engine: MakeEngine, kind: str, step: int) -> None:
    line, where = 0, "the start"
    while where:
        engine = make_engine()
        pipeline = Pipeline(engine)
        pipeline.change(kind)
        with CtrlC(line) as interrupt:
            try:
                engine.update()
            except KeyboardInterrupt:
                pass
            else:
                assert not interrupt.where, f"{interrupt.where}: swallowed"
        where = interrupt.where
        if not where:
            break
        try:
            start = pipeline.start if kind != "hot" else 2.0
            engine.update()
            pipeline.check((start + 1, start + 2))
            pipeline.change("hot")
            engine.update()
            pipeline.check((start + 2, start + 3))
            pipeline.change("structure")
            engine.update()
            pipeline.check((101.0,))
        except Exception as error:
            raise AssertionError(f"after an interrupt before {where}") from error
        engine.close()
        line += step
    assert line > 3 * step


@pytest.mark.parametrize("edit", ["structure", "source", "first build"])
def test_a_new_graph_is_brought_in_whole(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, edit: str) -> None:
    """Between the executable's new plan and the engine's, Ctrl-C waits; a second one does not."""
    engine = make_engine()
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    if edit != "first build":
        engine.update()
    shift = None
    if edit == "structure":
        shift = engine.add(toy.Shift(1.0))
        engine.connect(scale.y, shift.x)
    elif edit == "source":
        scale.replace_source(toy.SCALE.replace("factor * x[i]", "factor * x[i] * x[i]"))
    recover = Builder._recover

    def interrupted(builder: Builder, context: Any) -> None:
        monkeypatch.undo()
        signal.raise_signal(signal.SIGINT)
        recover(builder, context)

    monkeypatch.setattr(Builder, "_recover", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.update()
    assert engine.plan is not None  # the new one
    assert shift is None or "shift" in str(engine.plan)
    engine.update()
    result = engine.read(scale.y if shift is None else shift.y)
    np.testing.assert_array_equal(result, {"structure": 2 * X + 1, "source": 2 * X * X}.get(edit, 2 * X))


def test_a_second_interrupt_does_not_wait() -> None:
    with HeldInterrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_in_the_users_own_code(engine: cg.CudaEngine, device: str) -> None:
    def interrupted(*arrays: Any) -> None:
        if angry:
            raise KeyboardInterrupt
        function(*arrays)

    class Copy(cg.Block):
        def __init__(self) -> None:
            super().__init__()
            with cg.BlockBuilder(self) as b:
                self.x, self.y = b.input("x", (12,)), b.output("y", (12,))
                b.capture(interrupted, inputs=[self.x], outputs=[self.y], host=interrupted)

    function = _copy_on_host if device == "host" else _copy_on_stream
    angry = True
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    engine.keep(scale.y)
    engine.update()
    copy = engine.add(Copy())
    engine.connect(scale.y, copy.x)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            engine.update()
        np.testing.assert_array_equal(engine.read(scale.y), 2 * X)
    angry = False
    engine.update()
    np.testing.assert_array_equal(engine.read(copy.y), 2 * X)


def _copy_on_host(source: np.ndarray, target: np.ndarray) -> None:
    target[:] = source


def _copy_on_stream(stream: Any, source: Any, target: Any) -> None:
    from cuda.bindings import driver

    addresses = [array.__cuda_array_interface__["data"][0] for array in (target, source)]
    (status,) = driver.cuMemcpyDtoDAsync(*addresses, X.nbytes, int(stream))
    assert int(status) == 0


def test_updates_of_other_threads_hold_no_signals(engine: cg.CudaEngine) -> None:
    handler = signal.getsignal(signal.SIGINT)
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    thread = threading.Thread(target=engine.update)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is handler
    np.testing.assert_array_equal(engine.read(scale.y), 2 * X)
