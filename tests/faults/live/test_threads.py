"""Threads: one `update()` at a time, and no change that a thread makes meanwhile is lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg

X = np.arange(12, dtype=np.float32)


def run_together(*work: Callable[[], None]) -> None:
    """Run all in threads; the first failure is raised."""
    failures: list[BaseException] = []

    def run(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("late", ["weight", "state", "parameter", "structure", "source"])
def test_what_changes_while_a_frame_begins_is_in_the_next(
    engine: cg.CudaEngine, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    offset, total, scale = engine.add(toy.Offset([1] * 12), toy.Accumulate(), toy.Scale(2.0))
    engine.bind(offset.x, X)
    engine.bind(total.x, X)
    engine.connect(offset.y, scale.x)
    engine.keep(offset.y)
    engine.update()
    upload, square = engine.device.upload, toy.SCALE.replace("factor * x[i]", "factor * x[i] * x[i]")
    changes: dict[str, Callable[[], object]] = {
        "weight": lambda: setattr(offset.weight, "value", np.full(12, 7, np.float32)),
        "state": lambda: setattr(total.total, "value", np.full(12, 9, np.float32)),
        "parameter": lambda: setattr(scale.factor, "value", 5.0),
        "structure": lambda: engine.remove(scale),
        "source": lambda: scale.replace_source(square),
    }

    def as_if_from_another_thread(address: int, data: np.ndarray) -> None:
        monkeypatch.undo()
        changes[late]()
        upload(address, data)

    engine.bind(offset.x, X + 1)
    offset.weight.value = np.full(12, 3, np.float32)
    monkeypatch.setattr(engine.device, "upload", as_if_from_another_thread)
    engine.update()
    engine.update()
    y = X + 1 + (7 if late == "weight" else 3)
    np.testing.assert_array_equal(engine.read(offset.y), y)
    if late == "state":
        assert engine.read(total.total)[1] in (10, 11)
    if late == "structure":
        assert "scale" not in str(engine.plan)
    else:
        expected = {"parameter": 5 * y, "source": 2 * y * y}.get(late, 2 * y)
        np.testing.assert_array_equal(engine.read(scale.y), expected)


def test_threads_that_edit_everything(engine: cg.CudaEngine) -> None:
    offset, scale, total = engine.add(toy.Offset([1] * 12), toy.Scale(2.0), toy.Accumulate())
    engine.connect(offset.y, scale.x)
    engine.bind(offset.x, X)
    engine.bind(total.x, np.ones(3, np.float32))
    engine.update()

    def update() -> None:
        for _ in range(60):
            engine.update()

    def structure() -> None:
        for _ in range(12):
            shift = engine.add(toy.Shift(1.0))
            engine.connect(scale.y, shift.x)
            engine.update()
            assert engine.read(shift.y).shape == (12,)
            engine.remove(shift)

    def values() -> None:
        choose = random.Random(0)
        for number in range(150):
            offset.weight.value = np.full(12, number, np.float32)
            scale.factor.value = float(number)
            engine.bind(offset.x, X + number)
            if choose.random() < 0.1:
                engine.report(), engine.explain(), engine.graph(), total.total.value

    run_together(update, structure, values)
    engine.update()
    assert engine.errors == ()
    np.testing.assert_array_equal(engine.read(scale.y), np.float32(149) * (X + 149 + 149))
    assert engine.read(total.y)[0] == engine.frame + 1


def update_for_ever(engine: cg.CudaEngine, started: threading.Event) -> None:
    while True:
        engine.update()
        started.set()


def test_closing_while_another_thread_updates(make_engine: Callable[[], cg.CudaEngine]) -> None:
    for _ in range(5):
        engine = make_engine()
        scale = engine.add(toy.Scale(2.0))
        engine.bind(scale.x, X)
        engine.update()
        started = threading.Event()

        def update(engine: cg.CudaEngine = engine, started: threading.Event = started) -> None:
            with pytest.raises(cg.DescriptionError, match="closed"):
                update_for_ever(engine, started)

        def close(engine: cg.CudaEngine = engine, started: threading.Event = started) -> None:
            started.wait(20)
            engine.close()

        run_together(update, close)


def test_two_engines_in_two_threads_on_one_device(make_engine: Callable[[], cg.CudaEngine]) -> None:
    def work(factor: float) -> Callable[[], None]:
        engine = make_engine()

        def run() -> None:
            scale, total = engine.add(toy.Scale(factor), toy.Accumulate())
            engine.connect(scale.y, total.x)
            engine.bind(scale.x, X)
            for _ in range(30):
                engine.update()
            np.testing.assert_array_equal(engine.read(total.y), np.float32(30 * factor) * X)
            shift = engine.add(toy.Shift(factor))
            engine.connect(total.y, shift.x)
            engine.update()
            np.testing.assert_array_equal(engine.read(shift.y), np.float32(31 * factor) * X + np.float32(factor))

        return run

    run_together(work(2.0), work(3.0))


def test_two_engines_on_one_device_object(make_engine: Callable[[], cg.CudaEngine]) -> None:
    """A device belongs to the engine that closes it; the other one says so, and closes all the same."""
    first = make_engine()
    second = cg.CudaEngine(first.device)
    a, b = first.add(toy.Scale(2.0)), second.add(toy.Scale(3.0))
    for engine, block in ((first, a), (second, b)):
        engine.bind(block.x, X)
        engine.update()
    np.testing.assert_array_equal(first.read(a.y), 2 * X)
    np.testing.assert_array_equal(second.read(b.y), 3 * X)
