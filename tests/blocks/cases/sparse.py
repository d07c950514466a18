"""Geo-sparse layers. Sizes are batches; grids are small, and neighbourhoods odd."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import GeoConnectivity, GeoSparseLinear, GeoSparseResidualBlock, GeoSparseStack

SUMS = {"float64": 1e-13, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
BATCHES = (1, 3, 70)
LOCAL = GeoConnectivity((5, 9), k=8)
NARROWER = GeoConnectivity((5, 9), k=5, pattern="random", radius=2, out_shape=(3, 4), seed=2)
WRAPPED = GeoConnectivity((6, 7), k=9, wrap_mode="wrap")
KINDS = ("relu", "tanh", "gelu", "psann", "phase_psann", "relu_sigmoid_psann")
MIX = [{kind: np.arange(i, 45, 6) for i, kind in enumerate(KINDS)}] * 2
LARGE = GeoConnectivity((91, 91), k=9)
DRAWN = np.random.default_rng(3).integers(0, 20, (300, 130))


def rows(*features: int) -> Any:
    return lambda random, size, dtype: {"x": random.standard_normal((size, *features)).astype(dtype)}


def linear(*arguments: Any, **options: Any) -> Any:
    return lambda dtype: GeoSparseLinear(*arguments, dtype=dtype, seed=1, **options)


def stack(*connectivity: Any, **options: Any) -> Any:
    return lambda dtype: GeoSparseStack(connectivity, dtype=dtype, seed=1, residual_alpha_init=0.7, **options)


def refused(make: Any, message: str) -> Misuse:
    return Misuse(lambda engine: make("float32"), cg.DescriptionError, message)


def wrong_index(engine: cg.CudaEngine) -> None:
    GeoSparseLinear(LOCAL).table.value = np.full((45, 8), 45)


def wrong_rule(engine: cg.CudaEngine) -> None:
    GeoSparseLinear(LOCAL).connectivity = GeoConnectivity((5, 9), k=9)


CASES = [
    Case(
        linear(LOCAL),
        rows(45),
        FLOATS,
        sizes=(*BATCHES, 130),
        tolerances=SUMS,
        misuses=(
            refused(linear(LOCAL, compute_mode="dense"), "gather or scatter"),
            refused(linear(np.zeros((3, 2), int)), "needs in_features"),
            refused(linear(np.zeros((3, 2)), 4), "holds integers"),
            refused(linear(np.full((3, 2), 4), 4), "4 is outside"),
            refused(linear(np.full((3, 2), -1), 4), "-1 is outside"),
            refused(linear(LOCAL, 44), "has 45 inputs"),
            refused(linear(LOCAL, index="int8"), "int32 or int16"),
            refused(linear(np.zeros((3, 2), int), 70000, index="int16"), "65536 inputs"),
            refused(linear(LOCAL, grid=(9, 9)), "45 inputs"),
            Misuse(wrong_index, cg.DescriptionError, "45 is outside"),
            Misuse(wrong_rule, cg.DescriptionError, "keeps these sizes"),
        ),
    ),
    Case(
        linear(NARROWER, bias=False, index="int16", grid=(5, 9)),
        rows(5, 9),
        ("float32", "float64"),
        sizes=BATCHES,
        tolerances=SUMS,
        name="GeoSparseLinear between grids",
    ),
    Case(
        linear(DRAWN, 20, compute_mode="scatter"),
        rows(20),
        ("float32", "float64", "bfloat16"),
        sizes=(1, 9),
        tolerances=SUMS,
        any_order=True,
        name="GeoSparseLinear, scattered",
    ),
    Case(
        linear(DRAWN[:, :9], 20, layout="packed", index="int16"),
        rows(20),
        FLOATS,
        sizes=(1, 9, 33),
        tolerances=SUMS,
        misuses=(
            refused(linear(LOCAL, layout="columns"), "layout is one of auto, rows, packed"),
            refused(linear(LOCAL, layout="packed", compute_mode="scatter"), "packed rows are gathered"),
        ),
        name="GeoSparseLinear of packed rows",
    ),
    Case(linear(DRAWN, 20), rows(20), sizes=(1, 9), tolerances=SUMS, name="GeoSparseLinear with a large fan-in"),
    Case(
        linear(DRAWN[:, :17], 20), rows(20), ("float32", "float16"), sizes=(1, 9), tolerances=SUMS,
        name="GeoSparseLinear with an odd fan-in",
    ),
    Case(
        stack(LOCAL, LOCAL, activation="mixed", mix=MIX, head=3, norm="layer"),
        rows(45),
        FLOATS,
        sizes=BATCHES,
        tolerances=SUMS | {"float16": 1e-2},
        hot={"amplitude_low": 1.5, "decay_high": 0.05, "clip_max": 0.3},
        misuses=(
            refused(stack(), "at least one"),
            refused(stack(LOCAL, WRAPPED), "all the same k"),
            refused(stack(NARROWER), "as many outputs as inputs"),
            refused(stack(LOCAL, norm="batch"), "norm of none, rms, layer"),
            refused(stack(LOCAL, activation="swish"), "a geo-sparse activation is"),
            refused(stack(LOCAL, activation="mixed"), "mix="),
            refused(stack(LOCAL, activation_options={"amplitude_init": np.ones(3)}), "amplitude_init is a number"),
            refused(stack(LOCAL, activation_options={"decay_mode": "x"}), "decay mode"),
        ),
    ),
    Case(
        stack(WRAPPED, WRAPPED, WRAPPED, activation="phase_psann", grid=(6, 7), bias=False, index="int16"),
        rows(6, 7),
        sizes=BATCHES,
        tolerances=SUMS | {"float16": 1e-2},
        name="GeoSparseStack on a grid",
    ),
    Case(
        lambda dtype: GeoSparseResidualBlock(LOCAL, dtype=dtype, drop_path=0.4, seed=1, residual_alpha_init=0.7),
        rows(45),
        ("float32", "bfloat16"),
        sizes=BATCHES,
        tolerances=SUMS | {"float16": 1e-2},
        hot={"p": 0.6, "seed": 9, "training": True},
        name="GeoSparseResidualBlock",
    ),
    Case(
        stack(LOCAL, LOCAL, activation="mixed", mix=MIX, head=3, norm="layer", tile=True),
        rows(45),
        FLOATS,
        sizes=(1, 9, 17),
        tolerances=SUMS | {"float16": 1e-2},
        hot={"amplitude_low": 1.5, "decay_high": 0.05, "clip_max": 0.3},
        misuses=(
            refused(stack(LOCAL, tile="all"), "tile is True, False, or None"),
            refused(stack(np.zeros((4, 3), int), in_features=4, tile=True), "tile=True needs a GeoConnectivity"),
        ),
        name="GeoSparseStack by tiles",
    ),
    Case(
        stack(LARGE, LARGE, activation="relu_sigmoid_psann", head=2, norm="layer"),
        rows(91 * 91),
        sizes=(1, 9),
        tolerances=SUMS | {"float32": 1e-4},
        name="GeoSparseStack of a large grid",
    ),
    Case(
        stack(LARGE, LARGE, tile=False, drop_path=0.5, training=True),
        rows(91 * 91),
        ("float32", "bfloat16"),
        sizes=(1, 9),
        tolerances=SUMS | {"float32": 1e-4},
        hot={"p": 0.9, "seed": 4},
        name="GeoSparseStack, hop by hop",
    ),
    Case(
        stack(LARGE, LARGE, tile=False, layout="packed", norm="layer", activation="phase_psann"),
        rows(91 * 91),
        ("float32", "float64", "float16"),
        sizes=(1, 9),
        tolerances=SUMS | {"float32": 1e-4, "float16": 1e-2},
        name="GeoSparseStack of packed rows",
    ),
    Case(
        stack(WRAPPED, WRAPPED, activation="tanh", drop_path=0.5, training=True),
        rows(42),
        sizes=BATCHES,
        tolerances=SUMS,
        hot={"p": 0.9, "seed": 4},
        name="GeoSparseStack, dropping",
    ),
]  # fmt: skip
