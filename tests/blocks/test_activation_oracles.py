"""Activations against torch and psann's published formula: code, and numbers, that nobody here made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph import blocks
from cudagraph.blocks import ActivationAdapter, Gated, PhaseSineParam, PReLU, SineParam
from cudagraph.blocks.activation.formulas import ACTIVATIONS, activate
from cudagraph.dtypes import parse_dtype

torch: Any = pytest.importorskip("torch")
functional = torch.nn.functional

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 3e38, -3e38, 88.7, -88.7, 104.0, -104.0, 1e-30, -1e-30]
THEIRS = {
    "none": lambda x: x,
    "relu": torch.relu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": functional.silu,
    "mish": functional.mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": functional.softplus,
    "relu6": functional.relu6,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "elu": functional.elu,
    "leaky_relu": functional.leaky_relu,
}
# Name, arguments of ours, the same in torch.
LAYERS = {
    "ReLU": ({}, torch.nn.ReLU()),
    "ReLU6": ({}, torch.nn.ReLU6()),
    "LeakyReLU": ({"negative_slope": 0.3}, torch.nn.LeakyReLU(0.3)),
    "ELU": ({"alpha": 1.7}, torch.nn.ELU(1.7)),
    "Hardswish": ({}, torch.nn.Hardswish()),
    "Hardsigmoid": ({}, torch.nn.Hardsigmoid()),
    "GELU": ({}, torch.nn.GELU()),
    "QuickGELU": ({}, lambda x: x * torch.sigmoid(1.702 * x)),
    "SiLU": ({}, torch.nn.SiLU()),
    "Mish": ({}, torch.nn.Mish()),
    "Tanh": ({}, torch.nn.Tanh()),
    "Sigmoid": ({}, torch.nn.Sigmoid()),
    "Softplus": ({"beta": 2.5, "threshold": 5.0}, torch.nn.Softplus(2.5, 5.0)),
}
# The largest error relative to the larger of the result and 1e-3: a few units in the last place, two for half
# precisions; where an exponent is large, its rounding grows with it.
BOUNDS = {"float64": 1e-12, "float32": 2e-6, "float16": 2e-3, "bfloat16": 1.6e-2}


class Named(cg.Block):
    """y = activation(x), by the kernel's own name for it."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            define: Any = {"ACTIVATION": activation}
            b.kernel("activation/activation", elements=self.y.size, define=define, x=self.x, y=self.y, n=self.y.size)


def run(block: Any, x: np.ndarray) -> np.ndarray:
    with cg.CudaEngine("host") as engine:
        engine.bind(engine.add(block).x, x)
        engine.update()
        return engine.read(block.y)


def numbers(dtype: str) -> np.ndarray:
    random = np.random.default_rng(0)
    x = np.concatenate([np.linspace(-30, 30, 3001), random.standard_normal(501), 1e-3 * random.standard_normal(99)])
    return x.astype(parse_dtype(dtype))


def assert_close(given: np.ndarray, expected: Any, bound: float) -> None:
    wanted = expected.detach().double().numpy()
    assert given.shape == wanted.shape
    error = np.abs(given.astype(np.float64) - wanted) / np.maximum(np.abs(wanted), 1e-3)
    assert error.max() <= bound


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_kernel_equals_torch_in_float64(name, dtype):
    x = numbers(dtype)
    assert_close(run(Named(name), x), THEIRS[name](torch.from_numpy(x.astype(np.float64))), BOUNDS[dtype])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_formula_equals_torch(name):
    x = numbers("float64")
    assert_close(activate(x, name), THEIRS[name](torch.from_numpy(x)), 1e-12)
    assert activate(x.astype(np.float32), name).dtype == np.float32


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_not_finite_stays_as_in_torch(name):
    x = np.array(SPECIAL)
    expected = THEIRS[name](torch.from_numpy(x)).numpy()
    for given in (run(Named(name), x), run(Named(name), x.astype(np.float32)), activate(x, name)):
        np.testing.assert_allclose(given, expected, rtol=2e-6, atol=1e-36, equal_nan=True)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_equals_torch(name):
    arguments, theirs = LAYERS[name]
    x = numbers("float32").reshape(1, 1, -1)
    ours = getattr(blocks, name)(**arguments)
    assert_close(run(ours, x), theirs(torch.from_numpy(x.astype(np.float64))), BOUNDS["float32"])


def test_gelu_by_tanh_equals_torch():
    x = numbers("float32")
    theirs = torch.nn.GELU(approximate="tanh")(torch.from_numpy(x.astype(np.float64)))
    assert_close(run(blocks.GELU(approximate="tanh"), x), theirs, BOUNDS["float32"])


@pytest.mark.parametrize(
    ("shape", "count"), [((5, 7), 7), ((3, 7), 1), ((2, 7, 1), 7), ((2, 7, 3, 5), 7), ((2, 3, 300), 3)]
)
def test_prelu_loads_and_equals_torch(shape, count):
    theirs, ours = torch.nn.PReLU(count), PReLU(count)
    np.testing.assert_array_equal(ours.weight.value, theirs.weight.detach().numpy())
    with torch.no_grad():
        theirs.weight.copy_(torch.linspace(-0.5, 1.5, count))
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    np.testing.assert_array_equal(run(ours, x), theirs(torch.from_numpy(x)).detach().numpy())


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    ("shape", "dim"),
    [
        ((5,), 0),
        ((4, 33), -1),
        ((4, 33), 1),
        ((4, 33), 0),
        ((2, 17, 5), 1),
        ((2, 3, 300), -2),
        ((700, 3), 0),
        ((2, 0), 0),
    ],
)
def test_softmax_along_any_dimension(name, shape, dim):
    x = (20 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    theirs = getattr(torch.nn, name)(dim)(torch.from_numpy(x.astype(np.float64)))
    small = 1e-30 if name == "Softmax" else 1e-6
    np.testing.assert_allclose(run(getattr(blocks, name)(dim), x), theirs.numpy(), rtol=1e-5, atol=small)


def test_log_softmax_of_rows_without_numbers():
    x = np.zeros((4, 9), np.float32)
    x[0], x[1, ::2], x[2, 3] = -np.inf, -np.inf, np.nan
    for dim, given in ((-1, x), (0, np.ascontiguousarray(x.T))):
        theirs = torch.log_softmax(torch.from_numpy(given), dim).numpy()
        np.testing.assert_allclose(run(blocks.LogSoftmax(dim), given), theirs, rtol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    ("shape", "dim"), [((3, 14), -1), ((4, 6, 5), 1), ((6, 3), 0), ((2, 1024), -1), ((2, 2, 2), -3)]
)
def test_glu_equals_torch(shape, dim):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    assert_close(run(blocks.GLU(dim), x), torch.nn.GLU(dim)(torch.from_numpy(x.astype(np.float64))), 5e-7)


@pytest.mark.parametrize("name", ["relu", "gelu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("gate", ["first", "second"])
def test_gates_equal_torch(name, gate):
    x = np.random.default_rng(0).standard_normal((3, 5, 22)).astype(np.float32)
    a, b = torch.from_numpy(x.astype(np.float64)).chunk(2, -1)
    theirs = THEIRS[name](a) * b if gate == "first" else a * THEIRS[name](b)
    assert_close(run(Gated(name, gate=gate), x), theirs, 5e-7)


# psann 2.0.1's own results at z = -2, -0.5, 0, 0.5, 1, 2, 3.5
Z = np.array([-2, -0.5, 0, 0.5, 1, 2, 3.5], np.float32)
PSANN = {
    "abs": (SineParam, {}, [-0.744469, -0.456044, 0, 0.456044, 0.761395, 0.744469, -0.247195]),
    "relu": (SineParam, {"decay_mode": "relu"}, [-0.909297, -0.479426, 0, 0.456044, 0.761395, 0.744469, -0.247195]),
    "none": (SineParam, {"decay_mode": "none"}, [-0.909297, -0.479426, 0, 0.479426, 0.841471, 0.909297, -0.350786]),
    "phase": (PhaseSineParam, {"phase_init": 0.5}, [-0.816680, 0, 0.479426, 0.800432, 0.902571, 0.489986, -0.533311]),
    "bounds": (
        SineParam,
        {
            "amplitude_init": 2.0,
            "frequency_init": 3.0,
            "decay_init": 0.5,
            "bounds": {"amplitude": (None, 1.5), "frequency": (0.1, 2.5)},
        },
        [0.529153, -1.108605, 0, 1.108605, 0.544488, -0.529153, 0.162841],
    ),
}


@pytest.mark.parametrize("name", PSANN)
def test_sines_equal_what_psann_computes(name):
    kind, arguments, expected = PSANN[name]
    np.testing.assert_allclose(run(kind(1, **arguments), Z[:, None])[:, 0], expected, rtol=0, atol=2e-6)


def test_sines_begin_with_the_raw_values_of_psann():
    block = SineParam(1, amplitude_init=2.0, frequency_init=3.0, decay_init=0.5)
    raw = [block.weights[name].value.item() for name in ("_A", "_f", "_d")]
    np.testing.assert_allclose(raw, [1.8545866, 2.9489307, -0.4327521], rtol=1e-6)


def test_sines_of_large_angles_stay_accurate():
    x = np.linspace(-20000, 20000, 5001, dtype=np.float32)[:, None]
    block = SineParam(1, frequency_init=1.0, decay_mode="none")
    frequency = np.logaddexp(0.0, block.frequency.value.astype(np.float64)) + 1e-6
    expected = np.sin(frequency.astype(np.float32) * x, dtype=np.float64)
    np.testing.assert_allclose(run(block, x), expected, rtol=0, atol=4e-3)  # the product's own rounding
    exact = np.linspace(-500, 500, 5001, dtype=np.float32)[:, None]
    given = run(SineParam(1, decay_mode="none", bounds={"amplitude": (1, 1), "frequency": (1, 1)}), exact)
    np.testing.assert_allclose(given, np.sin(exact.astype(np.float64)), rtol=0, atol=1.5e-7)
    doubles = exact.astype(np.float64)
    given = run(SineParam(1, decay_mode="none", bounds={"amplitude": (1, 1), "frequency": (1, 1)}), doubles)
    np.testing.assert_allclose(given, np.sin(doubles), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("shape", "axis"), [((4, 3), -1), ((4, 3), 1), ((2, 3, 5), 1), ((2, 4, 3), -1), ((3, 130), 0)])
def test_sines_have_their_numbers_along_any_axis(shape, axis):
    random = np.random.default_rng(0)
    x = random.standard_normal(shape)
    a, f, d, phi = random.standard_normal((4, 3)).astype(np.float32)
    block = PhaseSineParam(3, feature_dim=axis)
    block.load_state_dict({"_A": a, "_f": f, "_d": d, "_phi": phi})
    view = [1] * x.ndim
    view[axis] = 3
    amplitude, frequency, decay = (
        functional.softplus(torch.from_numpy(raw.astype(np.float64))).view(view) for raw in (a, f, d)
    )
    z = torch.from_numpy(x)
    angle = (frequency + 1e-6) * z + torch.from_numpy(phi.astype(np.float64)).view(view)
    theirs = amplitude * torch.exp(-decay * z.abs()) * torch.sin(angle)
    np.testing.assert_allclose(run(block, x.astype(np.float32)), theirs.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings", "same"),
    [
        ("relu", {"trainable": True}, lambda: blocks.ReLU()),
        ("tanh", {}, lambda: blocks.Tanh()),
        (
            "Sine",
            {"amp_init": 2.0, "damp_bounds": (0.2, None)},
            lambda: SineParam(4, amplitude_init=2.0, bounds={"decay": (0.2, None)}),
        ),
        ("phasepsann", {"phase_init": 0.5}, lambda: PhaseSineParam(4, phase_init=0.5)),
    ],
)
def test_an_activation_by_its_name(name, settings, same):
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    np.testing.assert_array_equal(run(ActivationAdapter(4, name, **settings), x), run(same(), x))


def test_an_unknown_name_or_setting_is_explained():
    with pytest.raises(cg.DescriptionError, match="not 'cosine'"):
        ActivationAdapter(3, "cosine")
    with pytest.raises(cg.DescriptionError, match="no setting amplitude"):
        ActivationAdapter(3, amplitude=2.0)
