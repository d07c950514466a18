"""Layers against torch: code that nobody here wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import Linear, ReLU, Sequential, Softmax

torch: Any = pytest.importorskip("torch")


def run(block: Any, x: np.ndarray) -> np.ndarray:
    with cg.CudaEngine("host") as engine:
        engine.bind(engine.add(block).x, x)
        engine.update()
        return engine.read(block.y)


@pytest.mark.parametrize("library", [True, False], ids=["library", "kernels"])
@pytest.mark.parametrize("activation", ["none", "relu", "gelu_tanh", "gelu"])
def test_linear(activation, library):
    theirs = torch.nn.Linear(31, 17)
    ours = Linear(31, 17, activation=activation, library=library)
    ours.load_state_dict({name: value.detach().numpy() for name, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 5, 31)).astype(np.float32)
    gelu = torch.nn.functional.gelu
    after = {"none": lambda y: y, "relu": torch.relu, "gelu": gelu, "gelu_tanh": lambda y: gelu(y, approximate="tanh")}
    expected = after[activation](theirs(torch.from_numpy(x))).detach().numpy()
    np.testing.assert_allclose(run(ours, x), expected, rtol=0, atol=2e-6)


def test_linear_begins_in_the_range_that_torch_uses():
    ours = Linear(400, 300, seed=0)
    for name, theirs in torch.nn.Linear(400, 300).state_dict().items():
        value = ours.weights[name].value
        assert value.shape == tuple(theirs.shape)
        assert np.abs(value).max() <= 0.05
        assert value.std() == pytest.approx(float(theirs.std()), rel=0.15)


@pytest.mark.parametrize("columns", [1, 10, 1000, 5000])
def test_softmax(columns):
    x = 20 * np.random.default_rng(0).standard_normal((7, columns)).astype(np.float32)
    x[1] = -np.inf
    x[2, ::2] = -np.inf
    x[3, 0] = np.nan
    expected = torch.softmax(torch.from_numpy(x), dim=-1).numpy()
    np.testing.assert_allclose(run(Softmax(), x), expected, rtol=0, atol=1e-6, equal_nan=True)


def test_relu_keeps_nan_and_infinities():
    x = np.array([np.nan, -np.inf, np.inf, -0.0, 0.0, -1.0, 2.0], np.float32)
    np.testing.assert_array_equal(run(ReLU(), x), torch.relu(torch.from_numpy(x)).numpy())


def test_a_network_takes_the_state_dict_of_torch():
    theirs = torch.nn.Sequential(
        torch.nn.Linear(6, 9), torch.nn.ReLU(), torch.nn.Linear(9, 4), torch.nn.Softmax(dim=-1)
    )
    ours = Sequential(Linear(6, 9), ReLU(), Linear(9, 4), Softmax())
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((8, 6)).astype(np.float32)
    np.testing.assert_allclose(run(ours, x), theirs(torch.from_numpy(x)).detach().numpy(), rtol=0, atol=1e-6)
