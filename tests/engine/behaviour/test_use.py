"""Arrays of other packages, threads, kept views, closing."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import toy_blocks as toy

import cudagraph as cg

X = np.arange(256, dtype=np.float32)


def test_a_port_is_an_array_without_a_copy(engine: cg.CudaEngine, device: str) -> None:
    scale = engine.add(toy.Scale(2.0))
    engine.bind(scale.x, X)
    engine.update(sync=True)
    array = engine.array(scale.y)
    scale.factor.value = 3.0
    engine.update(sync=True)
    if device == "host":
        np.testing.assert_array_equal(np.asarray(array), 3 * X)
        np.testing.assert_array_equal(np.from_dlpack(scale.y), 3 * X)
        assert not hasattr(scale.y, "__cuda_array_interface__")
    else:
        assert scale.y.__cuda_array_interface__["shape"] == (256,)


def test_one_engine_feeds_another_without_a_copy(make_engine, device: str) -> None:
    first, second = make_engine(), make_engine()
    a, b = first.add(toy.Scale(2.0)), second.add(toy.Scale(10.0))
    first.bind(a.x, X)
    first.update(sync=True)
    second.bind(b.x, first.array(a.y) if device != "host" else np.asarray(first.array(a.y)))
    second.update()
    np.testing.assert_array_equal(second.read(b.y), 20 * X)


def test_cpu_torch_tensors_are_used_in_place_on_the_host(engine: cg.CudaEngine, device: str) -> None:
    torch = pytest.importorskip("torch")
    scale = engine.add(toy.Scale(2.0))
    tensor = torch.arange(256, dtype=torch.float32)
    engine.bind(scale.x, tensor)
    engine.update()
    np.testing.assert_array_equal(engine.read(scale.y), 2 * X)
    if device == "host":
        tensor += 1
        engine.update()
        np.testing.assert_array_equal(engine.read(scale.y), 2 * (X + 1))


def test_two_threads_update_and_turn_knobs(engine: cg.CudaEngine) -> None:
    chain = engine.add(toy.Chain(1.0, 0.0))
    engine.bind(chain.x, X)
    engine.update()
    failures: list[BaseException] = []

    def run(knob: cg.Parameter[float]) -> None:
        try:
            for i in range(200):
                knob.value = float(i)
                engine.update()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(knob,)) for knob in (chain.factor, chain.offset)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.update()
    assert not failures
    np.testing.assert_array_equal(engine.read(chain.y), 199 * X + 199)


def test_many_frames_in_flight(engine: cg.CudaEngine) -> None:
    accumulate = engine.add(toy.Accumulate())
    engine.bind(accumulate.x, np.ones(1000, np.float32))
    for _ in range(50):
        engine.update()
    np.testing.assert_array_equal(engine.read(accumulate.y), np.full(1000, 50, np.float32))


def test_hot_changes_do_not_reach_frames_in_flight(engine: cg.CudaEngine) -> None:
    scale, accumulate = engine.add(toy.Scale(1.0), toy.Accumulate())
    shift = engine.add(toy.Shift(0.0))
    engine.connect(scale.y, shift.x)
    engine.connect(shift.y, accumulate.x)
    engine.bind(scale.x, np.ones(8, np.float32))
    for i in range(20):
        scale.factor.value = float(i)
        shift.offset.value = 100.0 * i
        engine.update()
    expected = sum(i + 100.0 * i for i in range(20))
    np.testing.assert_array_equal(engine.read(accumulate.y), np.full(8, expected, np.float32))


def test_streamed_arrays_are_read_when_update_is_called(engine: cg.CudaEngine) -> None:
    accumulate = engine.add(toy.Accumulate())
    frame = np.zeros(16, np.float32)
    engine.bind(accumulate.x, frame, stream=True)
    for i in range(10):
        frame[:] = i
        engine.update()
    np.testing.assert_array_equal(engine.read(accumulate.y), np.full(16, 45, np.float32))


def test_blocks_survive_their_engine(make_engine) -> None:
    first = make_engine()
    accumulate = first.add(toy.Accumulate())
    first.bind(accumulate.x, np.ones(4, np.float32))
    first.update()
    first.update()
    first.close()
    np.testing.assert_array_equal(accumulate.state_dict()["total"], np.full(4, 2, np.float32))
    second = make_engine()
    second.add(accumulate)
    second.bind(accumulate.x, np.ones(4, np.float32))
    second.update()
    np.testing.assert_array_equal(second.read(accumulate.y), np.full(4, 3, np.float32))
