"""Layers of neural networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import Linear, ReLU, Softmax

SUMS = {"float64": 1e-13, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}


def elements(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"x": random.standard_normal(size).astype(dtype)}


def rows(columns: int) -> Any:
    """`size` rows, in two leading dimensions where that divides."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        shape = (size // 3, 3, columns) if size % 3 == 0 else (size, columns)
        return {"x": random.standard_normal(shape).astype(dtype)}

    return make


def logits(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    """Five rows of `size` columns with large values, and -inf here and there."""
    x = 30 * random.standard_normal((5, size))
    x[:, 1::7] = -np.inf
    return {"x": x.astype(dtype)}


def linear(**options: Any) -> Any:
    return lambda dtype: Linear(45, 70, dtype=dtype, seed=3, **options)


def bind(block: cg.Block, x: np.ndarray) -> Any:
    def attempt(engine: cg.CudaEngine) -> None:
        engine.bind(engine.add(block).x, x)
        engine.update()

    return attempt


CASES = [
    Case(
        lambda dtype: ReLU(),
        elements,
        FLOATS,
        misuses=(Misuse(bind(ReLU(), np.zeros(3, np.int32)), cg.CompileError, "activation takes"),),
    ),
    Case(
        lambda dtype: Softmax(),
        logits,
        FLOATS,
        sizes=(1, 3, 63, 1000, 1025, 2500),
        tolerances=SUMS | {"float32": 2e-6},
        misuses=(Misuse(bind(Softmax(), np.zeros((), np.float32)), cg.ShapeError, "at least 1 dimensions"),),
    ),
    Case(
        linear(activation="gelu"),
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
]
