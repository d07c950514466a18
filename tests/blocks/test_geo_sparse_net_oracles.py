"""Geo-sparse networks, their activations and parameter counts against psann and torch, and psann's own numbers."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import (
    ActivationAdapter,
    DenseMLP,
    DenseResBlock,
    DenseResNet,
    GeoSparseConfig,
    GeoSparseNet,
    GeoSparseResidualBlock,
    MixedActivation,
    ReLUSigmoidPSANN,
)
from cudagraph.blocks.activation.settings import mix_of
from cudagraph.blocks.sparse.parameters import (
    count_params,
    dense_mlp_params,
    dense_resnet_params,
    geo_sparse_net_params,
    match_dense_width,
    match_width,
)

torch: Any = pytest.importorskip("torch")
counts: Any = pytest.importorskip("psann.params")
theirs: Any = pytest.importorskip("psann.nn_geo_sparse")

Z = np.array([-2, -0.5, 0, 0.5, 1, 2, 3.5], np.float32)
# A 3 x 3 grid, 2 blocks, psann's own results: the outputs for norm none, layer and rms.
NETS = {
    "relu": (3.695650, 4.341320, 5.360332),
    "tanh": (0.192873, 0.191206, 0.172370),
    "psann": (0.192179, 0.191322, 0.172465),
    "phase_psann": (0.192179, 0.191322, 0.172465),
    "relu_sigmoid_psann": (2.507477, 3.386055, 4.096317),
}
MIXED = {"types": ["psann", "relu", "rsp", "phase_psann"], "ratios": [0.3, 0.2, 0.2, 0.3], "clip_at": 0.7}
CONFIGS: list[dict[str, Any]] = [
    {"shape": (5, 7), "depth": 3, "k": 5, "pattern": "hash", "seed": 4, "activation_type": "relu", "output_dim": 3},
    {"shape": (4, 4), "depth": 2, "k": 9, "activation_type": "sine", "norm": "layer", "bias": False},
    {"shape": (3, 11), "depth": 4, "k": 4, "pattern": "random", "seed": 1, "norm": "none", "activation_type": "tanh"},
    {"shape": (9, 2), "k": 3, "wrap_mode": "wrap", "activation_type": "rspsann", "output_dim": 5,
     "activation_config": {"relu_slope_init": 2.0, "clip_at": 0.8, "damp_bounds": (0.2, None), "decay_mode": "relu"}},
    {"shape": (6, 6), "depth": 1, "k": 7, "radius": 2, "activation_type": "phasepsann",
     "activation_config": {"phase_init": 0.4, "freq_init": 2.0, "amp_bounds": (None, 1.2), "decay_mode": "none"}},
    {"shape": (7, 5), "depth": 2, "k": 8, "activation_type": "mixed", "seed": 3, "activation_config": MIXED},
    {"shape": (2, 3), "depth": 5, "k": 5, "offsets": ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)),
     "activation_type": "gelu", "wrap_mode": "wrap"},
]  # fmt: skip


def run(block: Any, x: np.ndarray) -> np.ndarray:
    with cg.CudaEngine("host") as engine:
        engine.bind(engine.add(block).x, x)
        engine.update()
        return engine.read(block.y)


def their_net(output_dim: int = 1, **settings: Any) -> Any:
    """psann's network with random parameters, so that no block is the identity."""
    torch.manual_seed(0)
    rows, columns = settings["shape"]
    net = theirs.GeoSparseNet(rows * columns, output_dim, **settings).eval()
    for parameter in net.parameters():
        parameter.data += 0.4 * torch.randn_like(parameter)
    return net


def mix_of_theirs(net: Any) -> Any:
    """The features of each kind, which psann keeps beside its state dict."""
    if not isinstance(net.blocks[0].act, theirs.MixedActivation):
        return None
    return [index_of(block.act) for block in net.blocks]


def index_of(mixed: Any) -> dict[str, np.ndarray]:
    return {name: getattr(mixed, f"_idx_{name}").numpy() for name in mixed.acts}


@pytest.mark.parametrize("activation", NETS)
@pytest.mark.parametrize("norm", ["none", "layer", "rms"])
def test_networks_equal_the_published_numbers(activation, norm):
    net = GeoSparseNet(9, 1, shape=(3, 3), depth=2, k=9, activation_type=activation, norm=norm, residual_alpha_init=0.5)
    for weight, value in (("fc1_weight", 0.1), ("fc1_bias", 0.01), ("fc2_weight", 0.2), ("fc2_bias", -0.02)):
        net.weights[weight].value = np.full(net.weights[weight].value.shape, value, np.float32)
    net.load_state_dict({"head.weight": np.ones((1, 9)), "head.bias": np.full(1, 0.25)}, strict=False)
    y = run(net, np.linspace(-1, 1, 9, dtype=np.float32)[None])
    expected = NETS[activation][("none", "layer", "rms").index(norm)]
    np.testing.assert_allclose(y, [[expected]], rtol=0, atol=2e-6)


@pytest.mark.parametrize("settings", CONFIGS, ids=lambda settings: settings["activation_type"])
def test_a_network_of_psann_moves_over_by_its_state_dict(settings):
    net = their_net(**settings)
    ours = GeoSparseNet(settings["shape"][0] * settings["shape"][1], mix=mix_of_theirs(net), **settings)
    ours.load_state_dict(net.state_dict())
    x = torch.randn(2, 9, ours.features)
    expected = net(x).detach().numpy()
    np.testing.assert_allclose(run(ours, x.numpy()), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    net.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    exact = geo_sparse_net_params(
        **{name: settings.get(name, default) for name, default in
           {"shape": None, "depth": 4, "k": 8, "output_dim": 1, "bias": True, "norm": "rms",
            "activation_type": "psann", "activation_config": None}.items()}
    )  # fmt: skip
    assert exact == count_params(ours) == counts.count_params(net)


def test_a_grid_is_taken_as_it_is():
    settings: dict[str, Any] = {"shape": (3, 4), "depth": 2, "k": 5, "output_dim": 2}
    net = their_net(**settings)
    ours = GeoSparseNet(12, grid=True, **settings)
    ours.load_state_dict(net.state_dict())
    x = torch.randn(6, 3, 4)
    np.testing.assert_allclose(run(ours, x.numpy()), net(x).detach().numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "wiring", [{"radius": 2}, {"pattern": "hash", "seed": 7}, {"wrap_mode": "wrap"}, {"pattern": "random", "seed": 1}]
)
def test_wiring_anew_equals_a_new_network_and_rebuilds_nothing(wiring):
    config = GeoSparseConfig((6, 5), output_dim=2, depth=3, k=8, residual_alpha_init=0.7, seed=5)
    x = np.random.default_rng(0).standard_normal((4, 30)).astype(np.float32)
    with cg.CudaEngine("host") as engine:
        net = engine.add(GeoSparseNet(config))
        engine.bind(net.x, x)
        engine.update()
        before = engine.read(net.y)
        net.rewire(**wiring)
        engine.update()
        after = engine.read(net.y)
        assert engine.rebuilds == 1
        with pytest.raises(cg.DescriptionError, match="pattern cannot be"):
            net.rewire(pattern="spiral")
        with pytest.raises(cg.DescriptionError, match="wiring is"):
            net.rewire(depth=3)
        engine.update()
        np.testing.assert_array_equal(engine.read(net.y), after)
    assert net.config == replace(config, **wiring)
    assert not np.array_equal(before, after)
    fresh = GeoSparseNet(net.config)
    weights = {name: array for name, array in net.state_dict().items() if array.dtype.kind == "f"}
    assert not fresh.load_state_dict(weights, strict=False).unexpected
    np.testing.assert_array_equal(run(fresh, x), after)


def test_blocks_are_wired_with_seeds_of_their_own():
    config = GeoSparseConfig((4, 4), depth=3, pattern="hash", seed=2)
    assert [rule.seed for rule in config.connectivity()] == [2, 2 + 9973, 2 + 2 * 9973]
    unseeded = [rule.table.tolist() for rule in replace(config, seed=None).connectivity()]
    assert unseeded[0] != unseeded[1]  # psann's hash gives every block the same one
    drawn = replace(config, activation_type="mixed", activation_config=MIXED).mix()
    assert drawn is not None
    assert drawn[0]["relu"].tolist() != drawn[1]["relu"].tolist()


def test_initial_values_may_be_drawn():
    spread = {"amp_init": 2.0, "amp_init_std": 0.5, "freq_range": (3.0, 1.0), "trainable": False}
    net = GeoSparseNet(1024, shape=(32, 32), depth=2, seed=1, activation_config=spread)
    state = net.state_dict()
    amplitude, frequency = (np.logaddexp(state[f"blocks.1.act.{name}"], 0) for name in ("_A", "_f"))
    assert abs(amplitude.mean() - 2) < 0.1 and abs(amplitude.std() - 0.5) < 0.05
    assert 1 <= frequency[0] <= 3 and np.ptp(frequency) < 1e-6
    assert not np.array_equal(state["blocks.0.act._A"], state["blocks.1.act._A"])
    again = GeoSparseNet(1024, shape=(32, 32), depth=2, seed=1, activation_config=spread).state_dict()
    np.testing.assert_array_equal(again["blocks.1.act._A"], state["blocks.1.act._A"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (2, 2)}, "has 4 features, and input_dim is 9"),
        ({}, "shape="),
        ({"shape": (3, 3), "depth": 0}, "depth is an int of at least 1"),
        ({"shape": (3, 3), "activation_type": "cosine"}, "not 'cosine'"),
        ({"shape": (3, 3), "norm": "batch"}, "'batch'"),
        ({"shape": (3, 3), "width": 5}, "no argument width"),
        ({"shape": (3, 3), "activation_type": "mixed"}, "needs activation_types"),
        ({"shape": (3, 3), "activation_config": {"amplitude": 2}}, "no setting amplitude"),
        ({"shape": (3, 3), "mix": [{"relu": range(9)}]}, "mix gives a mixed activation's"),
        ({"shape": (3, 3), "activation_config": {"feature_dim": 0}}, "feature_dim is -1, not 0"),
    ],
)
def test_what_cannot_be_is_explained(settings, message):
    with pytest.raises(cg.DescriptionError, match=message):
        GeoSparseNet(9, **settings)


def test_counts_equal_those_that_were_published():
    small: dict[str, Any] = {"shape": (8, 8), "depth": 4, "k": 4, "output_dim": 1}
    assert geo_sparse_net_params(**small, exact=False) == counts.geo_sparse_net_params(**small) == 2629
    assert geo_sparse_net_params(**small, activation_type="relu") == 2885
    assert geo_sparse_net_params(**small) == 3653
    large: dict[str, Any] = {"shape": (12, 12), "depth": 6, "k": 8, "output_dim": 1}
    mixed = {"activation_types": ["psann", "relu"], "activation_ratios": [0.25, 0.75]}
    assert geo_sparse_net_params(**large, exact=False) == 15703
    assert geo_sparse_net_params(**large, activation_type="mixed", activation_config=mixed) == 17215


@pytest.mark.parametrize(("target", "expected"), [(2885, (22, 86)), (17215, (65, 54)), (1, None), (10**9, None)])
def test_matched_widths_equal_those_of_psann(target, expected):
    sizes: dict[str, Any] = {"input_dim": 64, "output_dim": 1, "depth": 4, "max_width": 200}
    found = match_dense_width(target_params=target, **sizes)
    assert found == counts.match_dense_width(target_params=target, **sizes)
    assert expected in (None, found)


def test_widths_may_be_chosen_from_a_list():
    sizes: dict[str, Any] = {"target_params": 2885, "input_dim": 64, "output_dim": 1, "depth": 4}
    candidates = [64, 16, 32]
    found = match_dense_width(**sizes, width_candidates=candidates)
    assert found == counts.match_dense_width(**sizes, width_candidates=candidates)
    with pytest.raises(cg.DescriptionError, match="width_candidates is empty"):
        match_width(lambda width: width, 5, [])
    with pytest.raises(cg.DescriptionError, match="target_params"):
        match_width(lambda width: width, 0)


def test_the_parameters_of_a_dense_network_are_counted():
    assert count_params(DenseMLP(6, 2, 5, 3)) == dense_mlp_params(input_dim=6, output_dim=2, hidden_dim=5, depth=3)


@pytest.mark.parametrize("activation", ["relu", "psann"])
@pytest.mark.parametrize("norm", ["rms", "layer", "none"])
def test_the_dense_residual_network_equals_torch(activation, norm):
    ours = DenseResNet(6, 2, 5, 3, activation_type=activation, norm=norm)
    random = np.random.default_rng(0)
    state = {name: random.standard_normal(a.shape).astype(np.float32) for name, a in ours.state_dict().items()}
    ours.load_state_dict(state)
    at = {name: torch.from_numpy(array) for name, array in state.items()}
    x = torch.randn(9, 6)
    h = x @ at["in_proj.weight"].T + at["in_proj.bias"]
    for i in range(3):
        own = {name.removeprefix(f"blocks.{i}."): value for name, value in at.items()}
        f = {
            "none": lambda h: h,
            "rms": lambda h, own=own: h * torch.rsqrt((h * h).mean(-1, keepdim=True) + 1e-6) * own["norm.weight"],
            "layer": lambda h, own=own: torch.nn.functional.layer_norm(h, (5,), own["norm.weight"], own["norm.bias"]),
        }[norm](h)
        f = f @ own["fc1.weight"].T + own["fc1.bias"]
        sine = theirs.SineParam(5)
        if activation == "psann":
            sine.load_state_dict({name: own[f"act.{name}"] for name in ("_A", "_f", "_d")})
        f = torch.relu(f) if activation == "relu" else sine(f)
        h = h + own["alpha"] * (f @ own["fc2.weight"].T + own["fc2.bias"])
    expected = (h @ at["head.weight"].T + at["head.bias"]).detach().numpy()
    np.testing.assert_allclose(run(ours, x.numpy()), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    sizes: dict[str, Any] = {"input_dim": 6, "output_dim": 2, "hidden_dim": 5, "depth": 3}
    assert count_params(ours) == dense_resnet_params(**sizes, norm=norm, activation_type=activation)


def test_a_dense_block_equals_a_sparse_one_that_reads_every_cell():
    settings: dict[str, Any] = {"residual_alpha_init": 0.5, "norm": "layer"}
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    table = np.tile(np.arange(4), (4, 1))
    sparse = GeoSparseResidualBlock(table, in_features=4, activation="tanh", seed=0, **settings)
    dense = DenseResBlock(4, activation_type="tanh", **settings)
    state = sparse.state_dict()
    dense.load_state_dict({name: array for name, array in state.items() if "index" not in name})
    np.testing.assert_allclose(run(dense, x), run(sparse, x), rtol=0, atol=1e-6)


def test_the_rectified_sigmoid_equals_the_published_numbers():
    expected = [0, 0, 0, 0.361165, 0.853385, 1, 1]
    np.testing.assert_allclose(run(ReLUSigmoidPSANN(1), Z[:, None])[:, 0], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("mode", ["abs", "relu", "none"])
@pytest.mark.parametrize("axis", [-1, 1])
def test_the_rectified_sigmoid_equals_psann(mode, axis):
    settings: dict[str, Any] = {"clip_max": 0.8, "decay_mode": mode, "bounds": {"frequency": (0.2, 1.1)}}
    net = theirs.ReLUSigmoidPSANN(6, slope_init=2.0, feature_dim=axis, **settings)
    for parameter in net.parameters():
        parameter.data += torch.randn_like(parameter)
    ours = ReLUSigmoidPSANN(6, feature_dim=axis, **settings)
    ours.load_state_dict(net.state_dict())
    x = 2 * torch.randn(4, 6) if axis == -1 else 2 * torch.randn(4, 6, 3)
    np.testing.assert_allclose(run(ours, x.numpy()), net(x).detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("layout", ["random", "contiguous"])
@pytest.mark.parametrize("axis", [-1, 1])
def test_mixes_equal_psann(layout, axis):
    config = {**MIXED, "mix_layout": layout, "seed": 3, "amp_init": 1.3, "bounds": {"decay": (0.1, 1)}}
    net = theirs._build_activation("mixed", 11, config)
    for parameter in net.parameters():
        parameter.data += torch.randn_like(parameter)
    index = None if layout == "contiguous" else index_of(net)  # a random one is not ours
    ours = MixedActivation(
        11, MIXED["types"], MIXED["ratios"], index=index, layout=layout, feature_dim=axis, settings=config
    )
    ours.load_state_dict(net.state_dict())
    x = 2 * torch.randn(5, 11, 4)  # psann's mix takes the features last only
    expected = net(x.movedim(1, -1)).movedim(-1, 1) if axis == 1 else net(x[..., 0])
    given = run(ours, x.numpy() if axis == 1 else x[..., 0].numpy().copy())
    np.testing.assert_allclose(given, expected.detach().numpy(), rtol=0, atol=1e-6)


def test_an_adapter_takes_either_style_of_configuration():
    x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    long = {"amplitude_init": 1.3, "slope_init": 2.0, "clip_max": 0.7, "bounds": {"decay": (0.2, None)}}
    short = {"amp_init": 1.3, "relu_slope_init": 2.0, "clip_at": 0.7, "damp_bounds": (0.2, None), "trainable": False}
    given = [run(ActivationAdapter(6, name, style), x) for name, style in (("rsp", long), ("clipped_psann", short))]
    np.testing.assert_array_equal(*given)
    np.testing.assert_array_equal(given[0], run(ReLUSigmoidPSANN(6, **long), x))
    mixed = run(ActivationAdapter(6, "mixed", types=["relu", "tanh"], layout="contiguous"), x)
    np.testing.assert_allclose(mixed, np.hstack([np.maximum(x[:, :3], 0), np.tanh(x[:, 3:])]), rtol=0, atol=1e-6)
    with pytest.raises(cg.DescriptionError, match="activation_types"):
        ActivationAdapter(6, "mixed")


@pytest.mark.parametrize(
    ("features", "ratios", "expected"),
    [(10, [0.25, 0.75], [3, 7]), (7, [1 / 3] * 3, [3, 2, 2]), (2, [1 / 3] * 3, [1, 1, 0]), (2, None, [1, 1, 0])],
)
def test_mixes_are_apportioned_as_published(features, ratios, expected):
    types = ("relu", "tanh", "gelu")[: len(expected)]
    mix = mix_of(features, types, ratios, seed=1)
    assert [len(mix[name]) for name in types] == expected
    np.testing.assert_array_equal(np.sort(np.concatenate(list(mix.values()))), np.arange(features))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"types": []}, "different ones"),
        ({"types": ["relu", "relu"]}, "different ones"),
        ({"types": ["relu", "silu"]}, "different ones"),
        ({"types": ["relu", "tanh"], "ratios": [0.5]}, "ratios"),
        ({"types": ["relu", "tanh"], "ratios": [0.5, 0.6]}, "sum 1"),
        ({"types": ["relu", "tanh"], "ratios": [1.5, -0.5]}, "at least 0"),
        ({"types": ["relu", "tanh"], "ratios": [np.nan, 1]}, "ratios"),
        ({"types": ["relu"], "layout": "sorted"}, "layout"),
    ],
)
def test_what_is_no_mix_is_explained(arguments, message):
    with pytest.raises(cg.DescriptionError, match=message):
        mix_of(8, **arguments)


def test_a_mix_changes_live():
    x = np.linspace(-2, 2, 12, dtype=np.float32).reshape(2, 6)
    first, second = ({"relu": [0, 1, 2], "psann": [3, 4, 5]}, {"relu": [1, 3, 5], "psann": [4, 2, 0]})
    with cg.CudaEngine("host") as engine:
        mixed = engine.add(MixedActivation(6, index=first))
        engine.bind(mixed.x, x)
        engine.update()
        mixed.index = second
        engine.update()
        np.testing.assert_array_equal(engine.read(mixed.y), run(MixedActivation(6, index=second), x))
        assert engine.rebuilds == 1
        with pytest.raises(cg.DescriptionError, match="keeps its counts"):
            mixed.index = {"relu": [0], "psann": [1, 2, 3, 4, 5]}
        with pytest.raises(cg.DescriptionError, match="each of the features"):
            mixed.index = {"relu": [0, 1, 1], "psann": [3, 4, 5]}


def test_too_many_neighbours_warn_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GeoSparseNet(16, shape=(4, 4), depth=3, k=16)
    assert [str(w.message) for w in caught if "radius=2 would serve" in str(w.message)][1:] == []
    assert caught
