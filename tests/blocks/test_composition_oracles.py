"""Composition against torch, psann, and the wiring written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import (
    Adapter,
    Conv2d,
    Delay,
    DenseConnection,
    DropPath,
    HiddenBlock,
    HighwayConnection,
    InputBlock,
    LayerNorm,
    Linear,
    LoRA,
    OutputBlock,
    Parallel,
    PostNormResidual,
    PreNormResidual,
    ReLU,
    Residual,
    ResidualPSANNBlock,
    ResidualWiring,
    SequentialWiring,
    Tanh,
    Wiring,
)

torch: Any = pytest.importorskip("torch")
nn: Any = torch.nn


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run(block: Any, **arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    with cg.CudaEngine("host") as engine:
        engine.add(block)
        for name, array in arrays.items():
            engine.bind(block.ports[name], array)
        engine.update(sync=True)
        return tuple(engine.read(port) for port in block.outputs)


def close(given: np.ndarray, wanted: Any, tolerance: float = 1e-5) -> None:
    wanted = wanted.detach().numpy() if isinstance(wanted, torch.Tensor) else wanted
    assert given.shape == wanted.shape
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(given, wanted, rtol=0, atol=tolerance * scale)


def twin(linear: Linear) -> Any:
    """torch's layer with the same weights."""
    outputs, inputs = linear.weight.value.shape
    layer = nn.Linear(inputs, outputs, bias=linear.bias is not None)
    layer.load_state_dict({name: torch.from_numpy(weight.value.copy()) for name, weight in linear.weights.items()})
    return layer


@pytest.mark.parametrize("rides", [False, True], ids=["kernel", "epilogue"])
def test_residual(rides):
    x = numbers(20, 6)
    inner, shortcut = Linear(6, 6, residual=rides, seed=0), Linear(6, 4, bias=False, seed=1)
    block = Residual(inner)
    close(run(block, x=x)[0], torch.from_numpy(x) + twin(inner)(torch.from_numpy(x)))
    assert len(block.description.work) == (0 if rides else 2)  # one of the two, by shape
    inner = Linear(6, 4, residual=rides, seed=2)
    wanted = twin(shortcut)(torch.from_numpy(x)) + twin(inner)(torch.from_numpy(x))
    close(run(Residual(inner, shortcut=shortcut), x=x)[0], wanted)


def test_residual_has_a_live_factor():
    inner, x = Linear(6, 6, seed=0), numbers(5, 6)
    block = Residual(inner, 0.5)
    with cg.CudaEngine("host") as engine:
        engine.bind(engine.add(block).x, x)
        for alpha in (0.5, -2.0):
            assert block.alpha is not None
            block.alpha.value = alpha
            engine.update()
            close(engine.read(block.y), torch.from_numpy(x) + alpha * twin(inner)(torch.from_numpy(x)))
        assert engine.rebuilds == 1


@pytest.mark.parametrize("rides", [False, True], ids=["kernel", "epilogue"])
def test_pre_norm_residual(rides):
    inner, x = Linear(6, 6, residual=rides, seed=0), numbers(3, 5, 6)
    given = torch.from_numpy(x)
    close(run(PreNormResidual(inner, LayerNorm(6)), x=x)[0], given + twin(inner)(nn.functional.layer_norm(given, (6,))))


@pytest.mark.parametrize(("inner", "norm"), [(False, False), (True, False), (False, True)])
def test_post_norm_residual(inner, norm):
    inner, x = Linear(6, 6, residual=inner, seed=0), numbers(3, 5, 6)
    given = torch.from_numpy(x)
    block = PostNormResidual(inner, LayerNorm(6, residual=norm))
    assert [port.name for port in block.outputs] == ["y"]
    close(run(block, x=x)[0], nn.functional.layer_norm(given + twin(inner)(given), (6,)))


def test_post_norm_residual_in_the_other_order():
    inner, x = Linear(6, 6, seed=0), numbers(3, 5, 6)
    given = torch.from_numpy(x)
    block = PostNormResidual(inner, LayerNorm(6), order="res-post-norm")
    close(run(block, x=x)[0], given + nn.functional.layer_norm(twin(inner)(given), (6,)))


def test_a_drop_stands_before_the_addition():
    inner, x = Linear(6, 6, seed=0), numbers(64, 6)
    block = PreNormResidual(inner, LayerNorm(6), drop=DropPath(0.5, training=True))
    (y,) = run(block, x=x)
    given = torch.from_numpy(x)
    f = 2 * twin(inner)(nn.functional.layer_norm(given, (6,))).detach().numpy()
    kept = np.abs(y - x).max(axis=1) > 0
    assert 10 < kept.sum() < 54
    close(y, x + kept[:, None] * f)
    (y,) = run(PostNormResidual(Linear(6, 6, seed=0), LayerNorm(6), drop=DropPath(0.5, training=True)), x=x)
    close(y.mean(axis=1), np.zeros(64))


@pytest.mark.parametrize("how", ["add", "mean", "concat", "stack"])
def test_parallel(how):
    layers, x = [Linear(5, 4, seed=seed) for seed in range(3)], numbers(2, 3, 5)
    outputs = [twin(layer)(torch.from_numpy(x)) for layer in layers]
    wanted = {
        "add": lambda: sum(outputs),
        "mean": lambda: sum(outputs) / 3,
        "concat": lambda: torch.cat(outputs, dim=-1),
        "stack": lambda: torch.stack(outputs, dim=-1),
    }[how]()
    close(run(Parallel(*layers, merge=how), x=x)[0], wanted)


def test_parallel_gives_its_outputs_one_by_one():
    x, other = numbers(3, 5), numbers(3, 5, seed=1)
    first, second = run(Parallel(ReLU(), Tanh()), x=x)
    close(first, np.maximum(x, 0))
    close(second, np.tanh(x))
    first, second = run(Parallel(ReLU(), Tanh(), mapped=True), x0=x, x1=other)
    close(second, np.tanh(other))
    (both,) = run(Parallel(ReLU(), Tanh(), merge="concat", dim=0), x=x)
    close(both, np.concatenate([np.maximum(x, 0), np.tanh(x)]))


def test_dense_connection():
    inner, x = Conv2d(3, 5, 3, padding=1, seed=0), numbers(2, 3, 6, 7)
    layer = nn.Conv2d(3, 5, 3, padding=1)
    layer.load_state_dict({name: torch.from_numpy(weight.value.copy()) for name, weight in inner.weights.items()})
    given = torch.from_numpy(x)
    close(run(DenseConnection(inner, dim=-3), x=x)[0], torch.cat([given, layer(given)], dim=1))


def test_highway_around_a_block():
    inner, x = Linear(6, 6, activation="relu", seed=0), numbers(5, 6)
    block = HighwayConnection(6, inner, gate_bias=-2.0, seed=1)
    given = torch.from_numpy(x)
    gate = torch.sigmoid(twin(block.gate)(given))
    close(run(block, x=x)[0], gate * torch.relu(twin(inner)(given)) + (1 - gate) * given)
    assert (block.weights["gate/bias"].value == -2).all()


def test_highway_is_stored_as_two_layers():
    state = HighwayConnection(6).state_dict()
    assert {name: array.shape for name, array in state.items()} == {
        "linear.weight": (6, 6),
        "gate.weight": (6, 6),
        "linear.bias": (6,),
        "gate.bias": (6,),
    }
    assert (state["gate.bias"] == -1).all()


def test_lora_scales_merges_and_comes_back():
    base, x = Linear(6, 4, seed=0), numbers(7, 6)
    lora = LoRA(base, 2, scale=0.5, seed=1)
    given, plain = torch.from_numpy(x), twin(base)
    original = base.weight.value
    with cg.CudaEngine("host") as engine:
        engine.bind(engine.add(lora).x, x)
        engine.update()
        close(engine.read(lora.y), plain(given))  # B starts with zeros
        lora.lora_b.weight.value = numbers(4, 2)
        a, b = (torch.from_numpy(linear.weight.value.copy()) for linear in (lora.lora_a, lora.lora_b))
        for scale in (0.5, -3.0):
            lora.scale.value = scale
            engine.update()
            close(engine.read(lora.y), plain(given) + scale * given @ a.T @ b.T)
        lora.merge()
        lora.merge()
        assert (lora.merged, lora.scale.value) == (True, 0.0)
        engine.update()
        close(engine.read(lora.y), plain(given) - 3 * given @ a.T @ b.T)
        lora.unmerge()
        lora.unmerge()
        assert (lora.merged, lora.scale.value) == (False, -3.0)
        assert base.weight.value.tobytes() == original.tobytes()
        engine.update()
        close(engine.read(lora.y), plain(given) - 3 * given @ a.T @ b.T)
        assert engine.rebuilds == 1


def test_lora_loads_the_names_of_peft():
    lora = LoRA(Linear(6, 4), 2)
    names = {"base_layer.weight": (4, 6), "base_layer.bias": (4,)}
    names |= {"lora_A.default.weight": (2, 6), "lora_B.default.weight": (4, 2)}
    assert lora.load_state_dict({name: numbers(*shape) for name, shape in names.items()}).complete
    assert set(lora.state_dict()) == {"base.weight", "base.bias", "lora_a.weight", "lora_b.weight"}


def test_adapter():
    adapter, x = Adapter(6, 3, seed=0), numbers(2, 5, 6)
    (y,) = run(adapter, x=x)
    assert y.tobytes() == x.tobytes()  # a new one changes nothing
    adapter = Adapter(6, 3, seed=0)
    adapter.up.weight.value = numbers(6, 3)
    given = torch.from_numpy(x)
    close(run(adapter, x=x)[0], given + twin(adapter.up)(nn.functional.gelu(twin(adapter.down)(given))))


@pytest.mark.parametrize("norm", ["rms", "layer", "none"])
@pytest.mark.parametrize("activation", ["psann", "relu", "tanh"])
def test_residual_psann_block(activation, norm):
    theirs_of = pytest.importorskip("psann.nn").ResidualPSANNBlock
    theirs = theirs_of(6, activation_type=activation, norm=norm, residual_alpha_init=0.7).eval()
    ours = ResidualPSANNBlock(6, activation=activation, norm=norm)
    ours.load_state_dict({name: tensor.detach().numpy() for name, tensor in theirs.state_dict().items()})
    x = numbers(9, 6)
    close(run(ours, x=x)[0], theirs(torch.from_numpy(x)))
    assert run(ResidualPSANNBlock(6, drop_path=0.5), x=x)[0].tobytes() == x.tobytes()


def test_wiring_adds_what_leads_to_a_block():
    a, b, c, x = Linear(5, 4, seed=0), Linear(5, 4, seed=1), Linear(4, 4, seed=2), numbers(3, 5)
    blocks = {"in": InputBlock(), "a": a, "b": b, "c": c, "out": Tanh()}
    wires = [("in", "a"), ("in", "b"), ("a", "c"), ("b", "c"), ("c", "out"), ("a", "out")]
    block = Wiring(blocks, wires)
    assert [port.name for port in (*block.inputs, *block.outputs)] == ["x", "y"]
    given = torch.from_numpy(x)
    first, second = twin(a)(given), twin(b)(given)
    close(run(block, x=x)[0], torch.tanh(twin(c)(first + second) + first))


def test_wiring_may_have_several_ends_and_circles_through_a_delay():
    block = Wiring({"a": ReLU(), "b": Tanh(), "c": ReLU()}, [("a", "c")])
    assert {name for name in block.ports if "/" not in name} == {"x_a", "x_b", "y_b", "y_c"}
    blocks = {"in": InputBlock(), "sum": InputBlock(2), "before": Delay(shape=(2,))}
    circle = Wiring(blocks, [("in", "sum"), ("before", "sum"), ("sum", "before")])
    with cg.CudaEngine("host") as engine:
        engine.add(circle)
        engine.keep(blocks["sum"].ports["y"])
        engine.bind(circle.ports["x"], np.array([1, 2], np.float32))
        for frame in range(3):
            engine.update()
            assert engine.read(blocks["sum"].ports["y"]).tolist() == [frame + 1, 2 * frame + 2]


def test_wirings_in_a_row():
    layers, x = [Linear(5, 5, seed=0), Linear(5, 5, residual=True, seed=1), Linear(5, 5, seed=2)], numbers(3, 5)
    z = torch.from_numpy(x)
    for layer in layers:
        z = z + twin(layer)(z)
    block = ResidualWiring(layers)
    assert [port.name for port in block.outputs] == ["y"]
    close(run(block, x=x)[0], z)
    parts = [InputBlock(), HiddenBlock(5, 6, seed=0), OutputBlock(6, 2, seed=1), OutputBlock()]
    wanted = twin(parts[2].linear)(torch.tanh(twin(parts[1].linear)(torch.from_numpy(x))))
    close(run(SequentialWiring(parts), x=x)[0], wanted)


def two_inputs() -> Any:
    return Parallel(ReLU(), ReLU(), mapped=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Residual(two_inputs()), "passes one tensor through .*, which has 2 inputs"),
        (lambda: Residual(Linear(3, 3, residual=True), 0.5), "adds a residual itself"),
        (lambda: PostNormResidual(ReLU(), LayerNorm(3), order="pre"), "order is 'post' or 'res-post-norm'"),
        (lambda: PostNormResidual(Linear(3, 3, residual=True), LayerNorm(3, residual=True)), "adds a residual itself"),
        (lambda: Parallel(), "not 0 blocks"),
        (lambda: Parallel(ReLU(), merge="max"), "by one of none, add, mean, concat, stack"),
        (lambda: Parallel(Linear(3, 3, residual=True)), "which Parallel has none of"),
        (lambda: LoRA(Linear(3, 3), 0), "rank is at least 1"),
        (lambda: LoRA(Linear(3, 3, activation="relu"), 1), "plain Linear"),
        (lambda: ResidualPSANNBlock(3, norm="batch"), "one of rms, layer, none"),
        (lambda: Wiring([]), "at least one block"),
        (lambda: Wiring([ReLU()], [(0, 1)]), "no block '1' in the wiring"),
        (lambda: Wiring([ReLU(), ReLU()], [(0, 1), (1, 0)]), "runs in a circle: .*; put a Delay into it"),
        (lambda: OutputBlock(3), "both in_features and units"),
    ],
)
def test_misuse_is_explained(make, message):
    with pytest.raises(cg.DescriptionError, match=message):
        make()
