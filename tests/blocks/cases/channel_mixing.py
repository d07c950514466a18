"""Layers of neural networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import (
    FFN,
    DenseMLP,
    EmbeddingToLogits,
    Expert,
    GatedFFN,
    GatedLinear,
    GeGLU,
    Linear,
    MLPBlock,
    Projection,
    SwiGLU,
)

SUMS = {"float64": 1e-13, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}


def rows(columns: int) -> Any:
    """`size` rows, in two leading dimensions where that divides."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        shape = (size // 3, 3, columns) if size % 3 == 0 else (size, columns)
        return {"x": random.standard_normal(shape).astype(dtype)}

    return make


def rows_and(columns: int, **others: int) -> Any:
    """`rows`, and as many rows of other lengths for other inputs."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        x = rows(columns)(random, size, dtype)
        lead = x["x"].shape[:-1]
        return x | {name: random.standard_normal((*lead, n)).astype(dtype) for name, n in others.items()}

    return make


def batches(*shape: int) -> Any:
    return lambda random, size, dtype: {"x": random.standard_normal((size, *shape)).astype(dtype)}


def linear(**options: Any) -> Any:
    return lambda dtype: Linear(45, 70, dtype=dtype, seed=3, **options)


def bind(block: cg.Block, x: np.ndarray) -> Any:
    def attempt(engine: cg.CudaEngine) -> None:
        engine.bind(engine.add(block).x, x)
        engine.update()

    return attempt


CASES = [
    Case(
        linear(activation="gelu_tanh"),
        rows(45),
        FLOATS,
        hot={"activation": "relu"},
        tolerances=SUMS,
        misuses=(
            Misuse(bind(Linear(4, 2), np.zeros((3, 5), np.float32)), cg.ShapeError, "5 is not 4"),
            Misuse(lambda engine: Linear(0, 2), cg.DescriptionError, "at least one feature"),
            Misuse(lambda engine: Linear(2, 2, dtype="int8"), cg.DescriptionError, "computes in float16"),
            Misuse(lambda engine: Linear(2, 2, activation="swish"), cg.DescriptionError, "'none', 'relu', 'gelu'"),
        ),
    ),
    Case(linear(bias=False), rows(45), tolerances=SUMS, name="Linear without bias"),
    Case(
        linear(activation="gelu", library=False),
        rows(45),
        FLOATS,
        sizes=(1, 3, 63, 130),
        hot={"activation": "none"},
        tolerances=SUMS,
        name="Linear without library",
    ),
    Case(
        linear(activation="relu", library=False, bias=False),
        rows(45),
        sizes=(1, 63),
        hot={"activation": "gelu"},
        tolerances=SUMS,
        name="Linear without library and bias",
    ),
    Case(
        linear(activation="silu", residual=True, alpha=0.5),
        rows_and(45, residual=70),
        FLOATS,
        sizes=(1, 3, 8, 9, 63),
        hot={"activation": "gelu", "alpha": -1.5},
        tolerances=SUMS,
        name="Linear with residual",
    ),
    Case(
        linear(residual=True, bias=False, alpha=2.0),
        rows_and(45, residual=70),
        sizes=(1, 8, 9),
        hot={"activation": "gelu_tanh", "alpha": -1.5},
        tolerances=SUMS,
        name="Linear with residual in cuBLAS",
    ),
    Case(
        linear(activation="mish", residual=True, alpha=2.0, library=False),
        rows_and(45, residual=70),
        FLOATS,
        sizes=(1, 63),
        hot={"alpha": -1.5},
        tolerances=SUMS,
        name="Linear with residual without library",
    ),
    Case(
        linear(norm="layer", activation="gelu"),
        rows(45),
        FLOATS,
        sizes=(1, 8, 9),
        hot={"norm_eps": 0.5},
        tolerances=SUMS,
        misuses=(Misuse(lambda engine: Linear(2, 2, norm="batch"), cg.DescriptionError, "is one of layer, rms"),),
        name="Linear behind a norm",
    ),
    Case(
        lambda dtype: Linear(1030, 34, dtype=dtype, seed=1),
        rows(1030),
        FLOATS,
        sizes=(1, 2, 5, 8),
        tolerances=SUMS,
        name="Linear of many features",
    ),
    Case(
        lambda dtype: GatedLinear(45, 33, activation="silu", dtype=dtype, seed=3),
        rows(45),
        FLOATS,
        sizes=(1, 3, 8, 9, 63),
        hot={"activation": "gelu"},
        tolerances=SUMS,
        misuses=(Misuse(lambda engine: GatedLinear(4, 0), cg.DescriptionError, "a GatedLinear has at least one"),),
    ),
    Case(
        lambda dtype: GatedLinear(45, 33, bias=False, value_first=True, dtype=dtype, seed=3),
        rows(45),
        sizes=(1, 9),
        tolerances=SUMS,
        name="GatedLinear with values first",
    ),
    Case(
        lambda dtype: GatedLinear(45, 33, value_first=True, library=False, seed=3),
        rows(45),
        sizes=(1, 9),
        tolerances=SUMS,
        name="GatedLinear without library",
    ),
    Case(
        lambda dtype: FFN(24, dtype=dtype, residual=True, seed=3),
        rows_and(24, residual=24),
        FLOATS,
        sizes=(1, 3, 63, 130),
        hot={"fc1/activation": "silu", "fc2/activation": "relu"},
        tolerances=SUMS,
        misuses=(Misuse(lambda engine: FFN(4, activation="loud"), cg.DescriptionError, "cannot be 'loud'"),),
    ),
    Case(
        lambda dtype: GatedFFN(24, 40, bias=True, residual=True, dtype=dtype, seed=3),
        rows_and(24, residual=24),
        FLOATS,
        sizes=(1, 3, 63, 130),
        hot={"gate_up_proj/activation": "relu"},
        tolerances=SUMS,
    ),
    Case(
        lambda dtype: SwiGLU(24, multiple_of=16, seed=3),
        rows(24),
        sizes=(1, 63),
        tolerances=SUMS,
        misuses=(Misuse(lambda engine: SwiGLU(4, multiple_of=0), cg.DescriptionError, "multiple of at least 1"),),
    ),
    Case(lambda dtype: GeGLU(24, seed=3), rows(24), sizes=(1, 63), tolerances=SUMS),
    Case(lambda dtype: Expert(24, 40, seed=3), rows(24), sizes=(1, 63), tolerances=SUMS),
    Case(
        lambda dtype: MLPBlock(24, dtype=dtype, seed=3),
        rows(24),
        ("float32", "float16", "bfloat16"),
        sizes=(1, 63),
        hot={"mlp/fc1/activation": "silu"},
        tolerances=SUMS,
        misuses=(Misuse(lambda engine: MLPBlock(4, norm="batch"), cg.DescriptionError, "norm is one of layer, rms"),),
    ),
    Case(
        lambda dtype: MLPBlock(24, 40, norm="rms", gated=True, seed=3),
        rows(24),
        sizes=(1, 63),
        tolerances=SUMS,
        name="MLPBlock with a gate",
    ),
    Case(
        lambda dtype: DenseMLP(20, 7, 30, depth=3, dtype=dtype, seed=3),
        rows(20),
        FLOATS,
        sizes=(1, 3, 63, 130),
        hot={"0/activation": "none"},
        tolerances=SUMS,
        misuses=(
            Misuse(lambda engine: DenseMLP(3, 2), cg.DescriptionError, "either hidden= features or a number"),
            Misuse(lambda engine: DenseMLP(3, 2, 4, depth=0), cg.DescriptionError, "at least one hidden layer"),
        ),
    ),
    Case(
        lambda dtype: Projection((3, 4), (5, 2), rank=3, activation="relu", dtype=dtype, seed=3),
        batches(3, 4),
        FLOATS,
        sizes=(1, 3, 63, 130),
        hot={"up/activation": "none"},
        tolerances=SUMS,
        misuses=(Misuse(lambda engine: Projection((), 3), cg.DescriptionError, "dimensions of at least 1"),),
    ),
    Case(lambda dtype: Projection(6, (2, 3), seed=3), batches(6), sizes=(1, 9), tolerances=SUMS, name="Projection 1-D"),
    Case(
        lambda dtype: EmbeddingToLogits(24, 50, True, scale=0.5, cap=3.0, dtype=dtype, seed=3),
        rows(24),
        FLOATS,
        sizes=(1, 3, 63, 130),
        hot={"scale": 2.0, "cap": 1.0},
        tolerances=SUMS,
        misuses=(Misuse(lambda engine: EmbeddingToLogits(0, 5), cg.DescriptionError, "has at least one feature"),),
    ),
    Case(
        lambda dtype: EmbeddingToLogits(24, 50, last=True, dtype=dtype, seed=3),
        batches(5, 24),
        FLOATS,
        sizes=(1, 9),
        tolerances=SUMS,
        name="EmbeddingToLogits of the last position",
    ),
]
