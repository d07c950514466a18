"""Forks: on the CPU the child goes on with its own copy, on CUDA it gets a clear error; the parent is not affected."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg
from cudagraph.engine import forks

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
X = np.arange(12, dtype=np.float32)


def in_child(work: Callable[[], str]) -> str:
    """What the work says in a forked child."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return said


def test_a_child_and_its_parent(engine: cg.CudaEngine, device: str) -> None:
    scale, total = engine.add(toy.Scale(2.0), toy.Accumulate())
    engine.connect(scale.y, total.x)
    engine.bind(scale.x, X)
    engine.update()

    def work() -> str:
        scale.factor.value = 10.0
        engine.update()
        shift = engine.add(toy.Shift(1.0))
        engine.connect(total.y, shift.x)
        engine.update()
        return str(engine.read(shift.y)[1])

    said = in_child(work)
    assert said == "23.0" if device == "host" else "forked from one that had started CUDA" in said
    assert in_child(lambda: str(engine.close())) == "None"
    engine.update()
    np.testing.assert_array_equal(engine.read(total.y), 4 * X)


def test_a_new_engine_in_a_child(engine: cg.CudaEngine, make_engine: Callable[[], cg.CudaEngine], device: str) -> None:
    engine.close()

    def work() -> str:
        new = make_engine()
        scale = new.add(toy.Scale(3.0))
        new.bind(scale.x, X)
        new.update()
        return str(new.read(scale.y)[1])

    said = in_child(work)
    assert said == "3.0" if device == "host" else "get_context('spawn')" in said
    assert work() == "3.0"


def test_a_fork_waits_for_the_frame_of_another_thread(engine: cg.CudaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    engine.update()
    inside, go_on = threading.Event(), threading.Event()
    upload = engine.device.upload

    def slow(address: int, data: np.ndarray) -> None:
        inside.set()
        go_on.wait(20)
        upload(address, data)

    monkeypatch.setattr(engine.device, "upload", slow)
    engine.bind(scale.x, X + 1)
    thread = threading.Thread(target=engine.update)
    thread.start()
    assert inside.wait(20)
    threading.Timer(0.2, go_on.set).start()
    assert in_child(lambda: str(engine.hold(0.0))) == "True"  # nobody in the child holds it
    thread.join()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * (X + 1))


def test_an_engine_that_another_thread_was_changing(engine: cg.CudaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_PATIENCE", 0.01)
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    engine.update()
    held, go_on = threading.Event(), threading.Event()

    def use() -> None:
        engine.hold(1.0)
        held.set()
        go_on.wait(20)
        engine.let_go()

    thread = threading.Thread(target=use)
    thread.start()
    held.wait(20)
    assert "another thread was using this engine when the process forked" in in_child(lambda: str(engine.update()))
    assert in_child(lambda: str(engine.close())) == "None"
    go_on.set()
    thread.join()
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * X)
