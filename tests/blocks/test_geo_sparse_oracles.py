"""Geo-sparse layers and blocks against the package they come from, dense products, and themselves after a change."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import GeoConnectivity, GeoSparseLinear, GeoSparseResidualBlock, GeoSparseStack
from cudagraph.blocks.sparse import geo_sparse_block

torch = pytest.importorskip("torch")
layers = pytest.importorskip("psann.layers.geo_sparse")
nets = pytest.importorskip("psann.nn_geo_sparse")

GOLDEN = {  # of a 3 x 3 net of two blocks, by activation: norm none, layer, rms
    "relu": (3.695650, 4.341320, 5.360332),
    "tanh": (0.192873, 0.191206, 0.172370),
    "psann": (0.192179, 0.191322, 0.172465),
    "phase_psann": (0.192179, 0.191322, 0.172465),
    "relu_sigmoid_psann": (2.507477, 3.386055, 4.096317),
}
ACTIVATIONS = ("relu", "tanh", "gelu", *("psann", "phase_psann", "relu_sigmoid_psann"))


@pytest.fixture
def host():
    with cg.CudaEngine("host") as engine:
        yield engine


def computed(engine: cg.CudaEngine, block: Any, x: np.ndarray) -> np.ndarray:
    if block.owner is None:
        engine.add(block)
        engine.bind(block.x, x)
    engine.update(sync=True)
    return engine.read(block.y)


def arrays(module: Any) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def shaken(module: Any, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return module.eval()


def assert_close(given: np.ndarray, wanted: np.ndarray, tolerance: float = 1e-5) -> None:
    assert given.shape == wanted.shape
    assert float(np.abs(given - wanted).max()) <= tolerance * max(1.0, float(np.abs(wanted).max()))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", ["gather", "scatter"])
def test_a_linear_layer_is_psanns(mode, seed, host):
    random = np.random.default_rng(seed)
    inputs, outputs, k = (int(n) for n in random.integers(1, [200, 300, 40]))
    table = random.integers(0, inputs, (outputs, k))
    theirs = layers.GeoSparseLinear(inputs, outputs, torch.from_numpy(table), bias=seed % 2 == 0, compute_mode=mode)
    ours = GeoSparseLinear(table, inputs, seed % 2 == 0, compute_mode=mode, index=("int32", "int16")[seed % 2])
    assert ours.load_state_dict(arrays(theirs)).complete
    x = random.standard_normal((3, 1 + 4 * seed, inputs)).astype(np.float32)
    with torch.no_grad():
        assert_close(computed(host, ours, x), theirs(torch.from_numpy(x)).numpy())
    back = layers.GeoSparseLinear(inputs, outputs, torch.from_numpy(table), bias=seed % 2 == 0)
    back.load_state_dict({name: torch.from_numpy(array) for name, array in ours.state_dict().items()}, strict=True)


@pytest.mark.parametrize("seed", range(9))
def test_a_residual_block_is_psanns(seed, host, monkeypatch):
    random = np.random.default_rng(seed)
    norm, activation = ("rms", "layer", "none")[seed % 3], ACTIVATIONS[seed % 6]
    rule = GeoConnectivity((int(random.integers(2, 9)), 7), k=6, pattern="random", radius=2, seed=seed)
    mode = ("abs", "relu", "none")[seed // 3]
    bounds = {"amplitude": (None, 1.1), "frequency": (0.9, 1.3)} if seed % 2 else None
    options: dict[str, Any] = {"decay_mode": mode, "bounds": bounds, "amplitude_init": 1.2, "clip_max": 0.7}
    theirs = nets.GeoSparseResidualBlock(
        rule.outputs, torch.from_numpy(rule.table.astype(np.int64)), activation_type=activation, norm=norm,
        activation_config=options, bias=seed != 4,
    )  # fmt: skip
    shaken(theirs, seed)
    x = random.standard_normal((9, rule.inputs)).astype(np.float32)
    same: dict[str, Any] = {
        "activation": activation, "norm": norm, "bias": seed != 4, "activation_options": options
    }  # fmt: skip
    for large in ({}, {"tile": True}, {"tile": False, "layout": "rows"}, {"tile": False, "layout": "packed"}):
        if "layout" in large:
            monkeypatch.setattr(geo_sparse_block, "SHARED", 0)  # a grid is large
        ours = GeoSparseResidualBlock(rule, **same, **large)
        assert ours.load_state_dict(arrays(theirs)).complete
        with torch.no_grad():
            assert_close(computed(host, ours, x), theirs(torch.from_numpy(x)).numpy())
        host.remove(ours)


def test_a_whole_net_goes_there_and_back(host):
    rule = GeoConnectivity((6, 7), k=8)
    theirs = shaken(nets.GeoSparseNet(42, 5, shape=(6, 7), depth=4, k=8, activation_type="phase_psann"), 1)
    ours = GeoSparseStack([rule] * 4, activation="phase_psann", head=5)
    assert ours.load_state_dict(arrays(theirs)).complete
    x = np.random.default_rng(0).standard_normal((33, 42)).astype(np.float32)
    with torch.no_grad():
        assert_close(computed(host, ours, x), theirs(torch.from_numpy(x)).numpy())
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in ours.state_dict().items()}, strict=True)


@pytest.mark.parametrize("norm", ["none", "layer", "rms"])
@pytest.mark.parametrize("activation", GOLDEN)
def test_the_golden_numbers_of_a_net(activation, norm, host):
    net = GeoSparseStack([GeoConnectivity((3, 3), k=9)] * 2, activation=activation, norm=norm, head=1)
    for name, value in (("fc1_weight", 0.1), ("fc1_bias", 0.01), ("fc2_weight", 0.2), ("fc2_bias", -0.02),
                        ("alpha", 0.5), ("head_weight", 1.0), ("head_bias", 0.25)):  # fmt: skip
        net.weights[name].value = np.full(net.weights[name].value.shape, value)
    given = computed(host, net, np.linspace(-1, 1, 9, dtype=np.float32)[None])
    assert given.item() == pytest.approx(GOLDEN[activation][("none", "layer", "rms").index(norm)], abs=2e-6)


def test_mixed_activations_are_psanns(host):
    types = ["psann", "relu", "tanh", "phase_psann", "relu_sigmoid_psann", "gelu"]
    rule = GeoConnectivity((5, 5), k=8)
    options = {"activation_types": types, "mix_seed": 3}
    table = torch.from_numpy(rule.table.astype(np.int64))
    theirs = shaken(nets.GeoSparseResidualBlock(25, table, activation_type="mixed", activation_config=options), 2)
    mix = [{kind: getattr(theirs.act, f"_idx_{kind}").numpy() for kind in types}]
    ours = GeoSparseResidualBlock(rule, activation="mixed", mix=mix)
    assert ours.load_state_dict(arrays(theirs)).complete
    x = np.random.default_rng(0).standard_normal((4, 25)).astype(np.float32)
    with torch.no_grad():
        assert_close(computed(host, ours, x), theirs(torch.from_numpy(x)).numpy())
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in ours.state_dict().items()}, strict=True)


def test_all_inputs_for_every_output_is_a_dense_layer(host):
    x = np.random.default_rng(0).standard_normal((9, 30)).astype(np.float32)
    layer = GeoSparseLinear(np.tile(np.arange(30), (20, 1)), 30, seed=1)
    weights = layer.state_dict()
    assert_close(computed(host, layer, x), x @ weights["weight"].T + weights["bias"])


def test_gather_equals_scatter_with_repeated_inputs(host):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rule = GeoConnectivity((4, 4), k=20)
    x = np.random.default_rng(0).standard_normal((9, 16)).astype(np.float32)
    gather, scatter = (GeoSparseLinear(rule, compute_mode=mode, seed=1) for mode in ("gather", "scatter"))
    assert_close(computed(host, gather, x), computed(host, scatter, x), 1e-6)


def test_a_new_rule_is_a_copy_and_equals_a_fresh_layer(host):
    rule = GeoConnectivity((8, 9), k=8)
    other = replace(rule, radius=3, pattern="random", wrap_mode="wrap", seed=5)
    x = np.random.default_rng(0).standard_normal((40, 72)).astype(np.float32)
    layer, fresh = GeoSparseLinear(rule, seed=1), GeoSparseLinear(other, seed=1)
    before = computed(host, layer, x)
    built = host.rebuilds
    layer.connectivity = other
    after = computed(host, layer, x)
    assert host.rebuilds == built and layer.connectivity == other and not np.allclose(before, after)
    np.testing.assert_array_equal(after, computed(host, fresh, x))


def test_a_wrong_table_changes_nothing(host):
    layer = GeoSparseLinear(GeoConnectivity((3, 3), k=8), index="int16", seed=1)
    x = np.random.default_rng(0).standard_normal((2, 9)).astype(np.float32)
    before = computed(host, layer, x)
    for table in (np.full((9, 8), 9), np.full((9, 8), -1)):
        with pytest.raises(cg.DescriptionError):
            layer.table.value = table
        with pytest.raises(cg.DescriptionError):
            layer.load_state_dict(layer.state_dict() | {"in_index_per_out": table})
    np.testing.assert_array_equal(computed(host, layer, x), before)


def test_a_running_stack_takes_rules_weights_and_limits(host):
    rule, other = GeoConnectivity((5, 5), k=8), GeoConnectivity((5, 5), k=8, wrap_mode="wrap")
    x = np.random.default_rng(0).standard_normal((7, 25)).astype(np.float32)
    stack = GeoSparseStack([rule] * 3, residual_alpha_init=0.5, seed=1)
    before = computed(host, stack, x)
    built = host.rebuilds
    stack.connectivity = [rule, other, other]
    stack.alpha.value = [0.1, 0.2, 0.3]
    stack.parameters["amplitude_high"].value = 0.4
    after = computed(host, stack, x)
    assert host.rebuilds == built and not np.allclose(before, after)
    fresh = GeoSparseStack([rule, other, other], seed=1, activation_options={"bounds": {"amplitude": (None, 0.4)}})
    fresh.load_state_dict(stack.state_dict())
    np.testing.assert_array_equal(after, computed(host, fresh, x))
    stack.connectivity = rule
    assert stack.connectivity == (rule,) * 3
    with pytest.raises(cg.DescriptionError, match="3 blocks"):
        stack.connectivity = [rule]


def test_the_layers_of_a_block_share_one_table():
    block = GeoSparseResidualBlock(GeoConnectivity((3, 3), k=8))
    arrays = block.state_dict()
    arrays["fc2.in_index_per_out"] = arrays["fc1.in_index_per_out"][::-1]
    with pytest.raises(cg.DescriptionError, match="share one table and differ"):
        block.load_state_dict(arrays)
