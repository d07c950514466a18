"""Norms."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    ConditionalLayerNorm,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    Linear,
    ModulatedLayerNorm,
    RMSNorm,
    SpectralNorm,
    WeightNorm,
)

# A norm magnifies what a small row rounds, by 1 / its deviation.
SUMS = {"float64": 1e-12, "float32": 5e-6, "float16": 4e-3, "bfloat16": 3e-2}
SIZES = (1, 3, 63, 130)


def shaped(*shape: int, grow: int = 0, residual: bool = False) -> Any:
    """Arrays of one shape, whose dimension number `grow` is multiplied by the size."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        lengths = list(shape)
        lengths[grow] *= size
        x = (2 * random.standard_normal(lengths) + 1).astype(dtype)
        if not residual:
            return {"x": x}
        # Halves and quarters, whose sums are exact in every type.
        return {name: np.round(2 * random.standard_normal(lengths)).astype(dtype) / 2 for name in ("x", "residual")}

    return make


def with_weights(block: cg.Block) -> Any:
    """The block with random weights."""
    random = np.random.default_rng(5)
    for weight in block.weights.values():
        weight.value = (1 + random.standard_normal(weight.value.shape) / 4).astype(weight.dtype)
    for name, state in block.states.items():
        if name != "num_batches_tracked":
            state.value = (1 + random.random(state.value.shape)).astype(state.dtype)
    return block


def modulated(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    arrays = {"x": random.standard_normal((3, size, 40)), "modulation": random.standard_normal((3, 120)) / 4}
    return {name: array.astype(dtype) for name, array in arrays.items()}


def classes(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    x = random.standard_normal((4, size, 24)).astype(dtype)
    return {"x": x, "ids": random.integers(0, 5, 4, np.int32)}


def bind(block: Any, *shape: int) -> Any:
    def attempt(engine: cg.CudaEngine) -> None:
        engine.bind(engine.add(block).x, np.zeros(shape, np.float32))
        engine.update()

    return attempt


def fails(make: Any, message: str) -> Misuse:
    return Misuse(lambda engine: make(), cg.DescriptionError, message)


def batch_norm(kind: Any, **options: Any) -> Any:
    return lambda dtype: with_weights(kind(6, dtype=dtype, **options))


# What a block of six features begins with, which the reference wants to know.
RUNNING = {name: state.value for name, state in with_weights(BatchNorm1d(6, dtype="float64")).states.items()}
RUNNING_ALONE = {name: state.value for name, state in with_weights(BatchNorm2d(6, affine=False)).states.items()}

CASES = [
    Case(
        lambda dtype: with_weights(LayerNorm(64, dtype=dtype)),
        shaped(1, 64),
        FLOATS,
        hot={"eps": 0.5},
        tolerances=SUMS,
        misuses=(
            Misuse(bind(LayerNorm(4), 3, 5), cg.ShapeError, "5 is not 4"),
            fails(lambda: LayerNorm(()), "normalized_shape is lengths of at least 1"),
            fails(lambda: LayerNorm(3, dtype="int8"), "computes in float16"),
        ),
    ),
    Case(
        lambda dtype: with_weights(LayerNorm((3, 7), bias=False, dtype=dtype)), shaped(1, 3, 7), FLOATS, tolerances=SUMS
    ),
    Case(lambda dtype: LayerNorm(1025, elementwise_affine=False), shaped(1, 1025), sizes=(1, 5), tolerances=SUMS),
    Case(
        lambda dtype: LayerNorm(768, residual=True, dtype=dtype),
        shaped(1, 768, residual=True),
        FLOATS,
        sizes=(1, 9),
        tolerances=SUMS,
        name="LayerNorm of a sum",
    ),
    Case(
        lambda dtype: LayerNorm(20000, residual=True, dtype=dtype),
        shaped(1, 20000, residual=True),
        ("float32", "bfloat16"),
        sizes=(2,),
        tolerances=SUMS,
        name="LayerNorm of long rows",
    ),
    Case(
        lambda dtype: with_weights(RMSNorm(48, 1e-6, dtype=dtype)),
        shaped(1, 48),
        FLOATS,
        hot={"eps": 0.5},
        tolerances=SUMS,
        misuses=(fails(lambda: RMSNorm(0), "an RMSNorm: normalized_shape"),),
    ),
    Case(
        lambda dtype: with_weights(RMSNorm(33, 1e-6, unit_offset=True, residual=True, dtype=dtype)),
        shaped(1, 33, residual=True),
        FLOATS,
        tolerances=SUMS,
        name="RMSNorm with an offset",
    ),
    Case(
        batch_norm(BatchNorm1d),
        shaped(1, 6),
        FLOATS,
        sizes=(2, 3, 63, 1000),
        hot={"training": 1},
        extra=RUNNING,
        tolerances=SUMS,
        misuses=(
            Misuse(bind(BatchNorm1d(4), 3, 5), cg.ShapeError, "5 is not 4"),
            fails(lambda: BatchNorm1d(0), "at least one feature"),
            fails(lambda: BatchNorm2d(3, momentum=1.5), "out of range"),
        ),
    ),
    Case(
        batch_norm(BatchNorm1d, training=True),
        shaped(1, 6),
        FLOATS,
        sizes=(3, 63, 1000),
        hot={"activation": "relu"},
        tolerances=SUMS,
        name="BatchNorm1d in training",
    ),
    Case(
        batch_norm(BatchNorm2d, training=True, activation="relu"),
        shaped(3, 6, 5, 1, grow=3),
        FLOATS,
        sizes=(3, 63, 1000),
        hot={"activation": "none"},
        tolerances=SUMS,
    ),
    Case(
        batch_norm(BatchNorm2d, affine=False),
        shaped(3, 6, 5, 1, grow=3),
        extra=RUNNING_ALONE,
        tolerances=SUMS,
        name="BatchNorm2d alone",
    ),
    Case(
        batch_norm(BatchNorm3d, track_running_stats=False),
        shaped(2, 6, 3, 5, 1, grow=4),
        sizes=(2, 63),
        tolerances=SUMS,
    ),
    Case(
        lambda dtype: with_weights(GroupNorm(3, 6, dtype=dtype)),
        shaped(2, 6, 3, 1, grow=3),
        FLOATS,
        hot={"activation": "silu", "eps": 0.5},
        tolerances=SUMS,
        misuses=(
            fails(lambda: GroupNorm(3, 7), "7 channels are not 3 of them"),
            Misuse(bind(GroupNorm(2, 4), 2, 3, 5), cg.ShapeError, "3 is not 4"),
        ),
    ),
    Case(
        lambda dtype: with_weights(GroupNorm(2, 4, dtype=dtype)),
        shaped(1, 4, 91, 100),
        FLOATS,
        sizes=(2,),
        hot={"eps": 0.5},
        tolerances=SUMS,
        name="GroupNorm of large groups",
    ),
    Case(lambda dtype: InstanceNorm1d(6, dtype=dtype), shaped(2, 6, 5, grow=2), FLOATS, tolerances=SUMS),
    Case(
        lambda dtype: with_weights(InstanceNorm2d(6, affine=True)),
        shaped(2, 6, 5, 2, grow=2),
        tolerances=SUMS,
        misuses=(fails(lambda: InstanceNorm2d(0), "an InstanceNorm2d has"),),
    ),
    Case(
        lambda dtype: ModulatedLayerNorm(40, gated=True, dtype=dtype),
        modulated,
        FLOATS,
        sizes=SIZES,
        hot={"eps": 0.5},
        tolerances=SUMS,
        misuses=(fails(lambda: ModulatedLayerNorm(4, order="both"), "in the order scale_shift or shift_scale"),),
    ),
    Case(
        lambda dtype: ModulatedLayerNorm(60, order="shift_scale"),
        lambda random, size, dtype: {
            "x": random.standard_normal((size, 2, 60)).astype(dtype),
            "modulation": random.standard_normal((size, 120)).astype(dtype),
        },
        sizes=SIZES,
        tolerances=SUMS,
        name="ModulatedLayerNorm, shifts first",
    ),
    Case(
        lambda dtype: with_weights(ConditionalLayerNorm(5, 24, dtype=dtype)),
        classes,
        FLOATS,
        sizes=SIZES,
        hot={"eps": 0.5},
        tolerances=SUMS,
        misuses=(fails(lambda: ConditionalLayerNorm(0, 3), "has classes and features, not 0 and 3"),),
    ),
    Case(
        lambda dtype: WeightNorm(Linear(5, 4, seed=0)),
        shaped(1, 5),
        sizes=(1, 63),
        tolerances=SUMS,
        misuses=(
            fails(lambda: WeightNorm(Linear(5, 4), "kernel"), "no weight 'kernel', only weight, bias"),
            fails(lambda: WeightNorm(Linear(5, 4), dim=2), "2 dimensions, so dim is not 2"),
        ),
    ),
    Case(
        lambda dtype: SpectralNorm(Linear(5, 4, seed=0)),
        shaped(1, 5),
        sizes=(1, 63),
        tolerances=SUMS,
        misuses=(fails(lambda: SpectralNorm(Linear(5, 4), "bias"), "1 dimensions, not two"),),
    ),
]
