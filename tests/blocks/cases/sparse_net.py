"""Geo-sparse networks, the dense ones beside them, and activations of several parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, TOLERANCES, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import GeoSparseNet, MixedActivation, ReLUSigmoidPSANN

SINES = TOLERANCES | {"float64": 1e-6, "float32": 2e-6}  # whose parameters are float32
NETS = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-2, "bfloat16": 8e-2}
INDEX = {"relu": [5, 0], "psann": [3], "gelu": [1], "phase_psann": [6, 2], "relu_sigmoid_psann": [4, 7], "tanh": [8]}


def shaped(*shape: int, grow: int = 0) -> Any:
    """Arrays of one shape, whose dimension number `grow` is the size."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        lengths = list(shape)
        lengths[grow] *= size
        return {"x": (2 * random.standard_normal(lengths)).astype(dtype)}

    return make


def fails(make: Any, message: str) -> Misuse:
    return Misuse(lambda engine: make(), cg.DescriptionError, message)


def net(dtype: str, **settings: Any) -> GeoSparseNet:
    return GeoSparseNet(12, 3, shape=(3, 4), depth=2, k=5, dtype=dtype, residual_alpha_init=0.5, seed=1, **settings)


CASES = [
    Case(
        lambda dtype: ReLUSigmoidPSANN(3, slope_init=(0.5, 1.0, 2.0), decay_mode="relu", feature_dim=1),
        shaped(2, 3, 5),
        FLOATS,
        hot={"amplitude_bounds": (0.1, 0.7), "frequency_bounds": (0.5, 0.9), "decay_bounds": (0.3, 2), "clip_max": 0.5},
        tolerances=SINES,
        misuses=(
            fails(lambda: ReLUSigmoidPSANN(3, decay_mode="square"), "one of none, abs, relu"),
            fails(lambda: ReLUSigmoidPSANN(3, clip_max=0), "clip_max is above 0"),
            fails(lambda: ReLUSigmoidPSANN(3, slope_init=(1.0, 2.0)), "slope_init is a number or 3 of them, not 2"),
            fails(lambda: ReLUSigmoidPSANN(3, bounds={"phase": (0, 1)}), "bounds are for amplitude"),
        ),
    ),
    Case(
        lambda dtype: MixedActivation(9, index=INDEX, settings={"phase_init": 0.4, "slope_init": 2.0, "clip_at": 0.9}),
        shaped(1, 9),
        FLOATS,
        hot={"amplitude_bounds": (0.1, 0.7), "clip_max": 0.4},
        tolerances=SINES,
        misuses=(
            fails(lambda: MixedActivation(9, ["relu", "cosine"]), "different ones of"),
            fails(lambda: MixedActivation(9, index={"relu": [0, 1]}), "each of the features 0..8"),
            fails(lambda: MixedActivation(3, ["relu"], settings={"amplitude": 1}), "no setting amplitude"),
        ),
    ),
    Case(
        lambda dtype: MixedActivation(130, ["relu", "tanh"], [0.3, 0.7], seed=1),
        shaped(1, 130),
        sizes=(1, 3, 63),
        name="MixedActivation without sines",
    ),
    Case(net, shaped(1, 12), FLOATS, sizes=(1, 3, 63), tolerances=NETS, hot={"frequency_high": 0.7},
         misuses=(fails(lambda: GeoSparseNet(9, shape=(2, 2)), "4 features, and input_dim is 9"),
                  Misuse(lambda engine: engine.add(net("float32")).rewire(k=3), cg.DescriptionError, "wiring is"))),
    Case(lambda dtype: net(dtype, grid=True, norm="layer", activation_type="mixed",
                           activation_config={"types": ["psann", "rsp", "relu"]}),
         shaped(1, 3, 4), sizes=(1, 3, 63), tolerances=NETS, hot={"clip_max": 0.3}, name="GeoSparseNet of a mix"),
]  # fmt: skip
