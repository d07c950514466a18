"""Geo-sparse stacks of large grids by tiles, hop by hop and with packed rows: each takes any table at any time."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gpu_branches import take_gpu_branches

import cudagraph as cg
from cudagraph.blocks import GeoConnectivity, GeoSparseLinear, GeoSparseNet, GeoSparseStack
from cudagraph.blocks.sparse import geo_sparse_block
from cudagraph.blocks.sparse.geo_large import Grid, grid_of
from cudagraph.blocks.sparse.packed_rows import is_packed
from cudagraph.engine.plan import KernelNode

TILES: dict[str, Any] = {"tile": True}
HOPS: dict[str, Any] = {"tile": False, "layout": "rows"}
PACKED: dict[str, Any] = {"tile": False, "layout": "packed"}
VARIANTS = [pytest.param(TILES, id="tiles"), pytest.param(HOPS, id="hops"), pytest.param(PACKED, id="packed")]
ODD = GeoConnectivity((37, 45))
SQUARE = GeoConnectivity((96, 96))
WIDE = GeoConnectivity((70, 150))  # of several tiles, also on a CPU
TABLES = [
    {"radius": 3},
    {"wrap_mode": "wrap"},
    {"pattern": "random", "radius": 2, "seed": 4},
    {"pattern": "hash", "radius": 30, "wrap_mode": "wrap", "seed": 1},
]


@pytest.fixture
def host():
    with cg.CudaEngine("host") as engine:
        yield engine


@pytest.fixture
def large(monkeypatch):
    """Any grid counts as large."""
    monkeypatch.setattr(geo_sparse_block, "SHARED", 0)


def made(rule: GeoConnectivity, depth: int = 2, **options: Any) -> GeoSparseStack:
    stack = GeoSparseStack([rule] * depth, residual_alpha_init=0.6, seed=1, **options)
    random = np.random.default_rng(5)
    for weight in (stack.scale, stack.shift):
        if weight is not None:
            weight.value = 1 + 0.3 * random.standard_normal(weight.value.shape)
    return stack


def rows(count: int, features: int) -> np.ndarray:
    """With a mean that is not 0."""
    return (np.random.default_rng(0).standard_normal((count, features)) + 1.5).astype(np.float32)


def computed(engine: cg.CudaEngine, block: Any, x: np.ndarray) -> np.ndarray:
    if block.owner is None:
        engine.add(block)
    engine.bind(block.x, x)
    engine.update(sync=True)
    return engine.read(block.y)


def expected(block: Any, x: np.ndarray, frame: int = 0) -> np.ndarray:
    values = {name: weight.value for name, weight in block.weights.items()}
    values = {name: value.astype(np.float64) if value.dtype.kind == "f" else value for name, value in values.items()}
    values |= {name: hot.value for name, hot in {**block.parameters, **block.options}.items()}
    return block.reference(x.astype(np.float64), **({"frame": frame} if "training" in values else {}), **values)


def assert_close(given: np.ndarray, wanted: np.ndarray, tolerance: float = 2e-6) -> None:
    assert given.shape == wanted.shape
    assert float(np.abs(given - wanted).max()) <= tolerance * float(np.abs(wanted).max())


@pytest.mark.parametrize("variant", VARIANTS)
def test_any_batch_is_right(variant, host, large):
    stack = made(ODD, 3, norm="layer", activation="tanh", **variant)
    for count in (1, 2, 3, 4, 5, 64, 65):
        x = rows(count, ODD.inputs)
        assert_close(computed(host, stack, x), expected(stack, x))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("count", [3, 17])
def test_a_live_table_equals_a_fresh_build(variant, count, host):
    stack, x = made(WIDE, norm="layer", **variant), rows(count, WIDE.inputs)
    before, built = computed(host, stack, x), host.rebuilds
    for change in TABLES:
        other = replace(WIDE, **change)
        stack.connectivity = other
        after = computed(host, stack, x)
        assert host.rebuilds == built and not np.allclose(before, after)
        assert_close(after, expected(stack, x))
        fresh = made(WIDE, norm="layer", **variant)
        fresh.table.value = stack.table.value
        with cg.CudaEngine("host") as engine:
            np.testing.assert_array_equal(after, computed(engine, fresh, x))


@pytest.mark.parametrize("shape", [(3, 5), (1, 300), (300, 1), (17, 33), (64, 65), (130, 70)])
@pytest.mark.parametrize("wrap_mode", ["clamp", "wrap"])
def test_tiles_of_any_grid(shape, wrap_mode, host):
    rule = GeoConnectivity(shape, 9, wrap_mode=wrap_mode)
    stack, x = made(rule, norm="layer", **TILES), rows(5, rule.inputs)
    assert_close(computed(host, stack, x), expected(stack, x))


@pytest.mark.parametrize("radius", [0, 2, 3, 6])
def test_tiles_with_a_wider_or_no_halo(radius, host):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rule = GeoConnectivity((40, 70), 12, "hash", radius)
    stack, x = made(rule, **TILES), rows(9, rule.inputs)
    assert stack.tiled == Grid(40, 70, min(radius, 4))
    assert_close(computed(host, stack, x), expected(stack, x))


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_other_types(variant, dtype, host, large):
    stack = made(ODD, norm="layer", dtype=dtype, index="int16", **variant)
    for count in (3, 19):
        x = rows(count, ODD.inputs).astype(stack.x.dtype)
        tolerance = {"float64": 1e-14, "float16": 3e-3, "bfloat16": 2e-2}[dtype]
        assert_close(computed(host, stack, x).astype(np.float64), expected(stack, x), tolerance)


@pytest.mark.parametrize("variant", VARIANTS)
def test_dropped_blocks_are_those_of_the_reference(variant, host, large):
    stack = made(ODD, 3, drop_path=0.6, training=True, **variant)
    for frame, count in enumerate((33, 33, 5)):
        x = rows(count, ODD.inputs)
        assert_close(computed(host, stack, x), expected(stack, x, frame))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_input_for_every_output_is_a_dense_block(variant, host, large):
    rule = GeoConnectivity((3, 5), 15, radius=2)
    block, x = made(rule, 1, norm="rms", activation="relu", **variant), rows(11, 15)
    block.table.value = np.tile(np.arange(15), (15, 1))
    at = {name: weight.value for name, weight in block.weights.items()}
    normed = x * at["scale"] / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
    hidden = np.maximum(normed @ at["fc1_weight"].T + at["fc1_bias"], 0)
    wanted = x + at["alpha"] * (hidden @ at["fc2_weight"].T + at["fc2_bias"])
    assert_close(computed(host, block, x), wanted)


def test_packed_rows_equal_scattered_ones(host):
    table = np.random.default_rng(2).integers(0, 500, (301, 8))
    x = rows(21, 500)
    ways: list[dict[str, Any]] = [{"layout": "packed"}, {"layout": "rows"}, {"compute_mode": "scatter"}]
    given = [computed(host, GeoSparseLinear(table, 500, seed=1, **way), x) for way in ways]
    for other in given[1:]:
        assert_close(given[0], other, 1e-6)


@pytest.mark.parametrize("k", [1, 3, 17, 130])
def test_packed_rows_of_any_fan_in(k, host):
    layer = GeoSparseLinear(np.random.default_rng(k).integers(0, 77, (59, k)), 77, layout="packed", seed=1)
    for count in (5, 20):
        x = rows(count, 77)
        assert_close(computed(host, layer, x), expected(layer, x))


def test_a_packed_layer_takes_another_table(host):
    random = np.random.default_rng(2)
    first, second = random.integers(0, 90, (2, 70, 8))
    layer, x = GeoSparseLinear(first, 90, layout="packed", seed=1), rows(40, 90)
    computed(host, layer, x)
    layer.table.value = second
    after = computed(host, layer, x)
    assert host.rebuilds == 1
    np.testing.assert_array_equal(after, computed(host, GeoSparseLinear(second, 90, layout="packed", seed=1), x))


@pytest.mark.parametrize("norm", ["none", "rms"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_other_norms(variant, norm, host, large):
    stack, x = made(ODD, 3, norm=norm, activation="relu", **variant), rows(19, ODD.inputs)
    assert_close(computed(host, stack, x), expected(stack, x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiles_fit_the_shared_memory_of_every_gpu(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rules = [GeoConnectivity((100, 100), 9, radius=radius, pattern="random") for radius in (1, 2, 4, 9)]
    with cg.CudaEngine("recording") as engine:
        for rule in rules:
            stack = engine.add(made(rule, 1, dtype=dtype, **TILES))
            engine.bind(stack.x, rows(64, rule.inputs).astype(dtype))
        engine.update()
        used = [node.shared for node in engine.plan.nodes if isinstance(node, KernelNode)]
    assert 38 << 10 <= max(used) <= 99 << 10


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("norm", ["none", "rms"])
def test_how_many_kernels_a_stack_is(depth, norm, large):
    counted = {}
    for name, variant, count in (("tiles", TILES, 33), ("hops", HOPS, 33), ("packed", PACKED, 33), ("few", PACKED, 3)):
        with cg.CudaEngine("recording") as engine:
            stack = engine.add(made(ODD, depth, norm=norm, **variant))
            engine.bind(stack.x, rows(count, ODD.inputs))
            engine.update()
            counted[name] = len(engine.plan.nodes)
    first = int(norm != "none")
    assert counted == {
        "tiles": depth + first, "hops": 2 * depth + first, "packed": 2 * depth + 1, "few": 2 * depth + first
    }  # fmt: skip


def test_what_is_chosen():
    assert grid_of([SQUARE], None) == Grid(96, 96, 1)
    assert grid_of([SQUARE, replace(SQUARE, pattern="hash", radius=2)], None) == Grid(96, 96, 2)
    assert grid_of([replace(SQUARE, radius=3, pattern="hash")], None) is None
    assert grid_of([SQUARE], False) is None
    assert grid_of([SQUARE.table], None) is None
    assert grid_of([SQUARE, ODD], None) is None
    assert made(SQUARE).tiled and made(SQUARE, layout="rows").tiled is None
    wide = GeoConnectivity((256, 256), pattern="hash", radius=100, wrap_mode="wrap")
    assert is_packed("auto", wide.table) and not is_packed("rows", wide.table)
    assert not is_packed("auto", SQUARE.table) and is_packed("packed", SQUARE.table)
    assert not is_packed("auto", replace(wide, radius=4).table)
    assert not is_packed("auto", np.arange(65536)[:, None] // 2 * np.ones((1, 8), int))
    assert not is_packed("auto", np.zeros((1, 8), int))
    far_apart = ((-100, 0), (100, 0), (0, 0))  # but neighbours look at neighbours
    assert not is_packed("auto", GeoConnectivity((256, 256), 3, offsets=far_apart).table)


@pytest.mark.parametrize(
    ("shape", "depth", "norm", "activation", "variant"),
    [
        ((96, 96), 2, "rms", "psann", {}),
        ((128, 64), 3, "layer", "phase_psann", TILES),
        ((96, 96), 3, "layer", "relu_sigmoid_psann", PACKED),
        ((128, 72), 2, "none", "tanh", {}),
        ((96, 96), 3, "rms", "relu", HOPS),
    ],
)
def test_large_nets_are_psanns(shape, depth, norm, activation, variant, host):
    torch = pytest.importorskip("torch")
    nets = pytest.importorskip("psann.nn_geo_sparse")
    features = shape[0] * shape[1]
    settings: dict[str, Any] = {"shape": shape, "depth": depth, "activation_type": activation, "norm": norm}
    theirs = nets.GeoSparseNet(features, 3, **settings).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    ours = GeoSparseNet(features, 3, **settings, **variant)
    ours.load_state_dict(theirs.state_dict())
    x = rows(9, features)
    with torch.no_grad():
        assert_close(computed(host, ours, x), theirs(torch.from_numpy(x)).numpy(), 1e-5)


@pytest.fixture(params=["reverse", "random"])
def as_on_a_gpu(request, monkeypatch):
    """An engine on the host whose blocks take their kernels' other branches, with threads in one order or another."""
    take_gpu_branches(monkeypatch)
    environment = replace(cg.Environment.from_environ(), schedule=request.param)
    with cg.CudaEngine("host", environment=environment) as engine:
        yield engine


@pytest.mark.parametrize(("norm", "count"), [("layer", 5), ("rms", 19)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_gpu_does(variant, norm, count, as_on_a_gpu, large):
    stack, x = made(ODD, norm=norm, **variant), rows(count, ODD.inputs)
    for change in ({}, TABLES[-1]):
        stack.connectivity = replace(ODD, **change)
        assert_close(computed(as_on_a_gpu, stack, x), expected(stack, x))


def test_what_a_gpu_does_with_a_packed_layer(as_on_a_gpu):
    table = np.random.default_rng(2).integers(0, 330, (290, 9))
    for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-14), ("float16", 2e-3)):
        layer = GeoSparseLinear(table, 330, layout="packed", dtype=dtype, seed=1)
        x = rows(21, 330).astype(dtype)
        assert_close(computed(as_on_a_gpu, layer, x).astype(np.float64), expected(layer, x), tolerance)
