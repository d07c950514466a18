"""Random masks. The references draw the same ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, TOLERANCES, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import (
    ConstantInit,
    DropBlock,
    DropConnect,
    Dropout,
    DropPath,
    KaimingNormal,
    NormalInit,
    SpecAugment,
    XavierUniform,
)

SCALED = TOLERANCES | {"float64": 1e-6}  # by float32 factors


def shaped(*shape: int, grow: int = 0) -> Any:
    """Arrays of one shape, whose dimension number `grow` is multiplied by the size."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        lengths = list(shape)
        lengths[grow] = lengths[grow] * size
        return {"x": (1 + random.random(lengths)).astype(dtype)}

    return make


def nothing(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {}


def fails(make: Any, message: str) -> Misuse:
    return Misuse(lambda engine: make(), cg.DescriptionError, message)


CASES = [
    Case(
        lambda dtype: Dropout(0.3, training=True, seed=5),
        shaped(1),
        FLOATS,
        hot={"p": 0.6, "seed": 6},
        tolerances=SCALED,
        misuses=(fails(lambda: Dropout(1.5), "out of range"),),
    ),
    Case(lambda dtype: Dropout(0.3), shaped(1, 5), hot={"training": True}, name="Dropout in evaluation"),
    Case(lambda dtype: Dropout(1.0, training=True), shaped(1), sizes=(63,), hot={"p": 0.0}, name="Dropout of all"),
    Case(
        lambda dtype: DropPath(0.4, training=True, seed=5),
        shaped(1, 3, 5),
        FLOATS,
        hot={"p": 0.6},
        tolerances=SCALED,
        misuses=(fails(lambda: DropPath(-0.5), "out of range"),),
    ),
    Case(
        lambda dtype: DropPath(0.4, False, training=True, seed=5),
        shaped(1, 300),
        sizes=(1, 3, 63),
        hot={"seed": 7},
        name="DropPath without scale",
    ),
    Case(
        lambda dtype: DropConnect(9, 7, p=0.4, training=True, dtype=dtype, seed=3),
        shaped(1, 9),
        FLOATS,
        hot={"p": 0.2, "seed": 4},
        tolerances=SCALED | {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2},
        misuses=(
            fails(lambda: DropConnect(0, 7), "at least one feature"),
            fails(lambda: DropConnect(9, 7, p=2.0), "out of range"),
        ),
    ),
    Case(
        lambda dtype: DropConnect(9, 7, bias=False),
        shaped(1, 9),
        tolerances={"float32": 1e-5},
        name="DropConnect, plain",
    ),
    Case(
        lambda dtype: DropBlock(0.3, 3, training=True, seed=5),
        shaped(1, 2, 9, 8),
        FLOATS,
        sizes=(1, 3, 63),
        hot={"p": 0.1, "seed": 6},
        tolerances=SCALED,
        misuses=(
            fails(lambda: DropBlock(block_size=0), "block_size is a whole number"),
            fails(lambda: DropBlock(1.5), "out of range"),
        ),
    ),
    Case(
        lambda dtype: DropBlock(0.2, 4, per_channel=False, training=True, seed=5),
        shaped(2, 3, 1, 11, grow=2),
        sizes=(1, 3, 63),
        hot={"training": False},
        name="DropBlock of whole pictures",
    ),
    Case(
        lambda dtype: SpecAugment(5, 20, training=True, seed=5),
        shaped(3, 13, 1, grow=2),
        FLOATS,
        hot={"frequency_mask": 9, "frequency_masks": 1, "time_masks": 4, "time_ratio": 0.05},
        misuses=(
            fails(lambda: SpecAugment(-1), "out of range"),
            fails(lambda: SpecAugment(frequency_masks=17), "out of range"),
        ),
    ),
    Case(lambda dtype: ConstantInit((3, 7), 1.5, dtype=dtype), nothing, FLOATS, sizes=(1,), hot={"value": 2.0}),
    Case(
        lambda dtype: NormalInit((13, 7), 1.0, 0.5, seed=3, dtype=dtype),
        nothing,
        FLOATS,
        sizes=(1,),
        hot={"mean": 0.0, "std": 1.0, "seed": 4},
        tolerances=SCALED,
    ),
    Case(
        lambda dtype: XavierUniform((13, 7), 0.5, seed=3, dtype=dtype),
        nothing,
        FLOATS,
        sizes=(1,),
        hot={"gain": 2.0, "seed": 4},
        tolerances=SCALED,
        misuses=(fails(lambda: XavierUniform((3,)), "at least 2 dimensions"),),
    ),
    Case(
        lambda dtype: KaimingNormal((5, 4, 3, 3), mode="fan_out", nonlinearity="relu", seed=3, dtype=dtype),
        nothing,
        FLOATS,
        sizes=(1,),
        hot={"gain": 2.0, "seed": 4},
        tolerances=SCALED,
        misuses=(
            fails(lambda: KaimingNormal((3, 3), mode="fan"), "one of fan_in, fan_out"),
            fails(lambda: KaimingNormal((3, 3), nonlinearity="swish"), "no gain for"),
        ),
    ),
]
