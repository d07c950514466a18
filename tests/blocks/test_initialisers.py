"""Initialisers against torch.nn.init, and against the laws that they state."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import KaimingNormal, NormalInit, XavierUniform, initialisers

torch: Any = pytest.importorskip("torch")
stats: Any = pytest.importorskip("scipy.stats")

FLOAT = np.dtype(np.float32)
SHAPES = [(300, 200), (64, 32, 3, 3), (20, 700)]
# Name, arguments, and the law as scipy has it, from a deviation; torch's function takes the same arguments.
SCALED = {
    "xavier_uniform": [{}, {"gain": 2.0}],
    "xavier_normal": [{}, {"gain": 0.5}],
    "kaiming_uniform": [{}, {"a": 0.3}, {"mode": "fan_out", "nonlinearity": "relu"}, {"nonlinearity": "tanh"}],
    "kaiming_normal": [{}, {"a": 2.0}, {"mode": "fan_out", "nonlinearity": "selu"}, {"nonlinearity": "linear"}],
}
EACH = [(name, arguments) for name, choices in SCALED.items() for arguments in choices]


def theirs(name: str, shape: tuple[int, ...], **arguments: Any) -> np.ndarray:
    generator = torch.Generator().manual_seed(1)
    return getattr(torch.nn.init, f"{name}_")(torch.empty(shape), generator=generator, **arguments).numpy()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "arguments"), EACH)
def test_the_law_is_that_of_torch(name, arguments, shape):
    ours = getattr(initialisers, name)(**arguments, seed=3)(shape, FLOAT)
    expected = theirs(name, shape, **arguments)
    assert ours.dtype == FLOAT and ours.shape == shape
    assert stats.ks_2samp(ours.ravel(), expected.ravel()).pvalue > 1e-3
    assert ours.std() == pytest.approx(expected.std(), rel=0.03)
    if name.endswith("uniform"):
        assert np.abs(ours).max() == pytest.approx(np.abs(expected).max(), rel=1e-3)


@pytest.mark.parametrize(
    ("make", "law"),
    [
        (initialisers.normal(1.0, 0.25, seed=1), stats.norm(1.0, 0.25)),
        (initialisers.uniform(-1.0, 3.0, seed=1), stats.uniform(-1.0, 4.0)),
        (initialisers.trunc_normal(seed=1), stats.truncnorm(-2, 2)),
        (initialisers.trunc_normal(0.5, 0.1, 0.6, 1.0, seed=1), stats.truncnorm(1, 5, 0.5, 0.1)),
    ],
    ids=["normal", "uniform", "trunc_normal", "trunc_normal in the tail"],
)
def test_the_law_is_that_of_scipy(make, law):
    values = make((200, 150), np.dtype(np.float64))
    assert stats.kstest(values.ravel(), law.cdf).pvalue > 1e-3
    low, high = law.support()
    assert values.min() >= low - 1e-12 and values.max() <= high + 1e-12


@pytest.mark.parametrize("shape", [(7, 7), (5, 40), (40, 5), (6, 2, 2, 2)], ids=str)
def test_orthogonal_is_orthogonal(shape):
    matrix = initialisers.orthogonal(2.0, seed=5)(shape, np.dtype(np.float64)).reshape(shape[0], -1)
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), rtol=0, atol=1e-12)
    reflections = [np.linalg.det(initialisers.orthogonal(seed=s)((3, 3), np.dtype("f8"))) > 0 for s in range(64)]
    assert 10 < sum(reflections) < 54


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_gains_are_those_of_torch(name):
    wanted = torch.nn.init.calculate_gain(name, 0.2) if name == "leaky_relu" else torch.nn.init.calculate_gain(name)
    assert initialisers.gain_of(name, 0.2) == pytest.approx(wanted)


def test_a_seed_repeats_and_weights_differ():
    first, again = initialisers.normal(seed=1), initialisers.normal(seed=1)
    one, other = first((4, 4), FLOAT), first((4, 4), FLOAT)
    np.testing.assert_array_equal(one, again((4, 4), FLOAT))
    np.testing.assert_array_equal(other, again((4, 4), FLOAT))
    assert not np.array_equal(one, other)


def test_a_weight_takes_them():
    class Weighted(cg.Block):
        """y = weight."""

        def __init__(self, init: initialisers.Initialiser, dtype: str) -> None:
            super().__init__()
            with cg.BlockBuilder(self) as b:
                self.weight = b.weight("weight", (3, 4), dtype, init)

    for dtype in ("float16", "bfloat16", "float32", "float64"):
        for init in (initialisers.zeros(), initialisers.ones(), initialisers.constant(0.5), initialisers.orthogonal()):
            value = Weighted(init, dtype).weight.value
            assert value.shape == (3, 4) and value.dtype.name == dtype
    assert (Weighted(initialisers.ones(), "float32").weight.value == 1).all()


def test_misuse_is_explained():
    for attempt, message in (
        (lambda: initialisers.xavier_normal()((3,), FLOAT), "at least 2 dimensions"),
        (lambda: initialisers.orthogonal()((3,), FLOAT), "at least 2 dimensions"),
        (lambda: initialisers.kaiming_normal(mode="fan"), "one of fan_in, fan_out, not 'fan'"),
        (lambda: initialisers.kaiming_uniform(nonlinearity="swish"), "no gain for the nonlinearity 'swish'"),
        (lambda: initialisers.trunc_normal(0.0, 1.0, 5.0, 6.0), "fewer than 1 in 1000"),
    ):
        with pytest.raises(cg.DescriptionError, match=message):
            attempt()


def test_blocks_draw_by_the_same_laws():
    expected = {
        NormalInit((300, 200), 0.5, 2.0, seed=1): stats.norm(0.5, 2.0),
        XavierUniform((300, 200), 3.0, seed=1): stats.uniform(-3 * math.sqrt(6 / 500), 6 * math.sqrt(6 / 500)),
        KaimingNormal((300, 200), seed=1): stats.norm(0, math.sqrt(2 / 200)),
    }
    with cg.CudaEngine("host") as engine:
        engine.add(*expected)
        engine.update()
        for block, law in expected.items():
            assert stats.kstest(engine.read(block.y).ravel(), law.cdf).pvalue > 1e-3
