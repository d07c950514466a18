"""Norms against torch: options, odd shapes, types, and what is kept from frame to frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.blocks import (
    AdaptiveLayerNorm,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    ConditionalLayerNorm,
    Conv2d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    Linear,
    RMSNorm,
    SpectralNorm,
    WeightNorm,
)
from cudagraph.dtypes import parse_dtype

torch: Any = pytest.importorskip("torch")
nn: Any = torch.nn
HALVES = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def run(block: Any, **arrays: np.ndarray) -> np.ndarray:
    with cg.CudaEngine("host") as engine:
        engine.add(block)
        for name, array in arrays.items():
            engine.bind(block.ports[name], array)
        engine.update(sync=True)
        assert block.debug.state in ("ok", "warning"), block.debug.message
        return engine.read(block.y)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return (3 * np.random.default_rng(seed).standard_normal(shape) + 5).astype(np.float32)


def shuffled(module: Any) -> Any:
    """The module with random weights and statistics, in evaluation."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor))
    return module.eval()


def load(block: Any, module: Any) -> Any:
    block.load_state_dict({name: tensor.detach().numpy() for name, tensor in module.state_dict().items()})
    return block


def close(given: np.ndarray, wanted: Any, tolerance: float = 1e-5) -> None:
    wanted = wanted.detach().to(torch.float64).numpy()
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(given.astype(np.float64), wanted, rtol=0, atol=tolerance * scale)


SHAPES = [
    ((1, 1), 1),
    ((3, 5, 7), 1),
    ((2, 3, 11, 13), 2),
    ((4, 33), 1),
    ((5, 768), 1),
    ((2, 2049), 1),
    ((1, 70000), 1),
]


@pytest.mark.parametrize(("shape", "last"), SHAPES, ids=str)
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
def test_layer_norm(shape, last, affine):
    theirs = shuffled(nn.LayerNorm(shape[-last:], eps=1e-3, elementwise_affine=affine))
    x = numbers(*shape)
    ours = load(LayerNorm(shape[-last:], 1e-3, affine), theirs)
    close(run(ours, x=x), theirs(torch.from_numpy(x)))


@pytest.mark.parametrize(("shape", "last"), SHAPES, ids=str)
def test_rms_norm(shape, last):
    theirs = shuffled(nn.RMSNorm(shape[-last:]))
    x = numbers(*shape)
    close(run(load(RMSNorm(shape[-last:]), theirs), x=x), theirs(torch.from_numpy(x)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["LayerNorm", "RMSNorm"])
def test_half_precision_is_off_by_two_units_in_the_last_place(kind, dtype):
    """Of the largest element: torch's result is rounded to the type too, so each may be one unit off."""
    theirs = shuffled(getattr(nn, kind)(257)).to(getattr(torch, dtype))
    ours = {"LayerNorm": LayerNorm, "RMSNorm": RMSNorm}[kind](257, dtype=dtype)
    weights = {name: tensor.float().numpy().astype(parse_dtype(dtype)) for name, tensor in theirs.state_dict().items()}
    ours.load_state_dict(weights)
    x = torch.randn(9, 257, generator=torch.Generator().manual_seed(0)).to(getattr(torch, dtype))
    close(run(ours, x=x.float().numpy().astype(parse_dtype(dtype))), theirs(x), 2 * HALVES[dtype])


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_a_large_mean_costs_no_precision(scale):
    x = (scale * (numbers(3, 500) / 3 + 100)).astype(np.float32)
    wanted = nn.functional.layer_norm(torch.from_numpy(x).double(), (500,), eps=0.0)
    close(run(LayerNorm(500, 0.0), x=x), wanted, 2e-5)


def test_the_norm_of_a_sum_is_one_kernel_with_two_results():
    x, residual = numbers(4, 9), numbers(4, 9, seed=1)
    norm = LayerNorm(9, residual=True)
    with cg.CudaEngine("host") as engine:
        engine.add(norm)
        engine.bind(norm.ports["x"], x)
        engine.bind(norm.ports["residual"], residual)
        engine.update()
        assert len(norm.description.work) == 1
        np.testing.assert_array_equal(engine.read(norm.ports["sum"]), x + residual)
        close(engine.read(norm.y), nn.functional.layer_norm(torch.from_numpy(x + residual), (9,)))


def test_rms_norm_is_that_of_llama_and_of_gemma():
    from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    x = numbers(2, 3, 20)
    for theirs, ours in (
        (LlamaRMSNorm(20), RMSNorm(20, 1e-6)),
        (GemmaRMSNorm(20), RMSNorm(20, 1e-6, unit_offset=True)),
    ):
        shuffled(theirs)
        close(run(load(ours, theirs), x=x), theirs(torch.from_numpy(x)))


BATCHES = [
    (BatchNorm1d, nn.BatchNorm1d, (37, 45)),
    (BatchNorm1d, nn.BatchNorm1d, (5, 7, 13)),
    (BatchNorm1d, nn.BatchNorm1d, (300, 33)),
    (BatchNorm2d, nn.BatchNorm2d, (3, 5, 64, 64)),
    (BatchNorm2d, nn.BatchNorm2d, (4, 5, 7, 9)),
    (BatchNorm3d, nn.BatchNorm3d, (3, 5, 3, 4, 5)),
]


@pytest.mark.parametrize(("ours", "theirs", "shape"), BATCHES, ids=lambda value: str(getattr(value, "__name__", value)))
@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_learns_its_statistics(ours, theirs, shape, momentum):
    theirs = shuffled(theirs(shape[1], momentum=momentum))
    ours = load(ours(shape[1], momentum=momentum), theirs)
    with cg.CudaEngine("host") as engine:
        engine.add(ours)
        for frame, training in enumerate((0, 1, 1, 0, 1)):
            x = numbers(*shape, seed=frame)
            engine.bind(ours.x, x)
            ours.training.value = training
            engine.update(sync=True)
            close(engine.read(ours.y), theirs.train(bool(training))(torch.from_numpy(x)))
        assert engine.rebuilds == 1
        state = ours.state_dict()
        assert set(state) == set(theirs.state_dict())
        for name, wanted in theirs.state_dict().items():
            close(np.asarray(state[name]), wanted)
        assert int(state["num_batches_tracked"]) == 3


def test_batch_norm_without_statistics_always_uses_the_batch():
    theirs = nn.BatchNorm2d(3, affine=False, track_running_stats=False).eval()
    x = numbers(2, 3, 4, 5)
    ours = BatchNorm2d(3, affine=False, track_running_stats=False)
    assert not ours.state_dict()
    close(run(ours, x=x), theirs(torch.from_numpy(x)))


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((2, 6, 5, 7), 3), ((3, 8, 4), 2), ((2, 6), 3), ((2, 4, 100, 83), 2), ((1, 2, 129, 131), 2), ((1, 4, 90, 200), 1)],
    ids=str,
)
def test_group_norm(shape, groups):
    theirs = shuffled(nn.GroupNorm(groups, shape[1], eps=1e-3))
    x = numbers(*shape)
    close(run(load(GroupNorm(groups, shape[1], 1e-3), theirs), x=x), theirs(torch.from_numpy(x)))
    with_silu = load(GroupNorm(groups, shape[1], 1e-3, activation="silu"), theirs)
    close(run(with_silu, x=x), nn.functional.silu(theirs(torch.from_numpy(x))))


@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm(affine):
    for ours, theirs, shape in (
        (InstanceNorm1d, nn.InstanceNorm1d, (2, 5, 13)),
        (InstanceNorm2d, nn.InstanceNorm2d, (3, 4, 7, 9)),
        (InstanceNorm2d, nn.InstanceNorm2d, (1, 2, 130, 131)),
    ):
        module, x = shuffled(theirs(shape[1], affine=affine)), numbers(*shape)
        close(run(load(ours(shape[1], affine=affine), module), x=x), module(torch.from_numpy(x)))


@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_weight_norm(dim):
    theirs = shuffled(nn.utils.parametrizations.weight_norm(nn.Linear(7, 4), dim=dim))
    ours = load(WeightNorm(Linear(7, 4), dim=dim), theirs)
    x = numbers(5, 7)
    close(run(ours, x=x), theirs(torch.from_numpy(x)))
    assert set(ours.state_dict()) == set(theirs.state_dict())
    again = WeightNorm(Linear(7, 4), dim=dim)
    again.load_state_dict(ours.state_dict())
    first, second = (block.weights["block/weight"].value for block in (ours, again))
    np.testing.assert_allclose(second, first, rtol=3e-7)


def test_weight_norm_of_a_convolution_changes_live():
    theirs = shuffled(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)))
    theirs.parametrizations.weight.original0.data.abs_()
    ours = load(WeightNorm(Conv2d(3, 4, 3)), theirs)
    x, g = numbers(2, 3, 6, 5), np.linspace(1, 2, 4, dtype=np.float32).reshape(4, 1, 1, 1)
    with cg.CudaEngine("host") as engine:
        engine.add(ours)
        engine.bind(ours.x, x)
        engine.update()
        close(engine.read(ours.y), theirs(torch.from_numpy(x)))
        ours.g = g
        ours.v = -3 * ours.v
        theirs.parametrizations.weight.original0.data = torch.from_numpy(g)
        theirs.parametrizations.weight.original1.data *= -1
        engine.update()
        close(engine.read(ours.y), theirs(torch.from_numpy(x)))
        assert engine.rebuilds == 1


def test_weight_norm_refuses_parts_that_do_not_fit():
    state = WeightNorm(Linear(7, 4)).state_dict()
    state["parametrizations.weight.original0"] = np.ones(4, np.float32)
    with pytest.raises(cg.DescriptionError, match=r"original0 of .* has the shape \[4, 1\]; the array is \[4\]"):
        WeightNorm(Linear(7, 4)).load_state_dict(state)


def test_spectral_norm():
    for layer, block, x in (
        (nn.Linear(7, 4), Linear(7, 4), numbers(5, 7)),
        (nn.Conv2d(3, 4, 3), Conv2d(3, 4, 3), numbers(2, 3, 6, 5)),
    ):
        theirs = nn.utils.parametrizations.spectral_norm(layer).eval()
        ours = load(SpectralNorm(block), theirs)
        close(run(ours, x=x), theirs(torch.from_numpy(x)))
        assert set(ours.state_dict()) == set(theirs.state_dict())
    begun = SpectralNorm(Linear(30, 20, seed=0)).weights["block/weight"].value
    assert np.linalg.norm(begun, 2) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("zero", [False, True])
def test_adaptive_layer_norm(zero):
    """The formula of diffusers' AdaLayerNormContinuous, and of DiT with the order turned."""
    ours = AdaptiveLayerNorm(6, 9, zero=zero, order="shift_scale" if zero else "scale_shift", seed=1)
    x, condition = numbers(3, 4, 6), numbers(3, 9, seed=1) - 5
    if zero:
        assert not any(weight.value.any() for weight in ours.linear.weights.values())
        ours.linear.weight.value = numbers(18, 9, seed=2) / 10
    linear = nn.Linear(9, 18 if zero else 12)
    linear.load_state_dict({name: torch.from_numpy(w.value.copy()) for name, w in ours.linear.weights.items()})
    parts = linear(nn.functional.silu(torch.from_numpy(condition))).chunk(3 if zero else 2, dim=1)
    scale, shift = (parts[1], parts[0]) if zero else parts
    wanted = nn.functional.layer_norm(torch.from_numpy(x), (6,)) * (1 + scale[:, None]) + shift[:, None]
    with cg.CudaEngine("host") as engine:
        engine.add(ours)
        engine.bind(ours.x, x)
        engine.bind(ours.condition, condition)
        engine.update()
        close(engine.read(ours.y), wanted)
        if zero:
            close(engine.read(ours.ports["gate"]), parts[2])


def test_conditional_layer_norm_reports_a_class_that_there_is_not():
    ours, x = ConditionalLayerNorm(5, 6), numbers(3, 4, 6)
    ours.weight.value, ours.bias.value = numbers(5, 6, seed=1), numbers(5, 6, seed=2)
    gain, shift = (torch.from_numpy(weight.value.copy()) for weight in (ours.weight, ours.bias))
    with cg.CudaEngine("host") as engine:
        engine.add(ours)
        engine.bind(ours.x, x)
        for ids in (np.array([4, 0, 2]), np.array([4, 0, 2], np.int32)):
            engine.bind(ours.ids, ids)
            engine.update(sync=True)
            chosen = torch.from_numpy(ids.astype(np.int64))
            wanted = (
                nn.functional.layer_norm(torch.from_numpy(x), (6,)) * gain[chosen][:, None] + shift[chosen][:, None]
            )
            close(engine.read(ours.y), wanted)
        engine.bind(ours.ids, np.array([4, -1, 5], np.int32))
        engine.update(sync=True)
        assert "a class is outside of 0..4" in ours.debug.message
        assert "2" in ours.debug.message
