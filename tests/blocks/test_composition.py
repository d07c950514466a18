"""Delay and Sequential."""

from __future__ import annotations

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import Delay, Linear, ReLU, Scale, Sequential, VectorAdd


def values(engine: cg.CudaEngine, port: cg.Port, frames: int) -> list[list[float]]:
    seen = []
    for _ in range(frames):
        engine.update()
        seen.append(engine.read(port).tolist())
    return seen


def test_delay_is_one_frame_late(engine):
    delay, scale = engine.add(Delay(7.0), Scale())
    engine.connect(delay.y, scale.x)
    x = np.array([1, 2], np.float32)
    engine.bind(delay.x, x, stream=True)
    engine.update()
    assert engine.read(scale.y).tolist() == [7, 7]
    x += 10
    engine.update()
    assert engine.read(scale.y).tolist() == [1, 2]
    engine.update()
    assert engine.read(scale.y).tolist() == [11, 12]


@pytest.mark.parametrize(
    ("settings", "first"), [({"init": [1.0, 2.0]}, [1.0, 2.0]), ({"shape": (2,), "dtype": "float64"}, [0.0, 0.0])]
)
def test_wires_may_run_in_a_circle_through_a_delay(settings, first, engine):
    mix, delay = engine.add(VectorAdd(0.5), Delay(**settings))
    engine.connect(mix.c, delay.x)
    engine.connect(delay.y, mix.b)
    engine.bind(mix.a, np.array([1.0, 2.0]))
    engine.keep(mix.c)
    expected, state = [], np.array(first)
    for _ in range(4):
        state = np.array([1, 2]) + 0.5 * state
        expected.append(state.tolist())
    assert values(engine, mix.c, 4) == expected


def test_sequential_feeds_each_block_into_the_next(engine):
    network = Sequential(Scale(2.0), Scale(3.0), Scale(5.0))
    assert (len(network), [type(block) for block in network], network[1].name) == (3, [Scale] * 3, "1")
    engine.bind(engine.add(network).x, np.ones(3, np.float32))
    assert values(engine, network.y, 1) == [[30, 30, 30]]
    network.parameters["1/factor"].value = 0.0
    assert values(engine, network.y, 1) == [[0, 0, 0]]


def test_sequential_names_weights_as_torch_does():
    network = Sequential(Linear(2, 3), ReLU(), Sequential(Linear(3, 1)))
    assert list(network.state_dict()) == ["0.weight", "0.bias", "2.0.weight", "2.0.bias"]


def test_sequential_of_blocks_with_several_ports():
    network = Sequential(VectorAdd())
    assert [port.name for port in network.inputs] == ["a", "b"]
    with pytest.raises(AttributeError, match="has 2 inputs: a, b"):
        _ = network.x


def test_sequential_explains_misuse():
    with pytest.raises(cg.DescriptionError, match="at least one block"):
        Sequential()
    with pytest.raises(cg.DescriptionError, match="Scale has 1 outputs and VectorAdd takes 2 inputs"):
        Sequential(Scale(), VectorAdd())
