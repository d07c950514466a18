"""Activation functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, TOLERANCES, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import (
    ELU,
    GELU,
    GLU,
    Gated,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    LogSoftmax,
    Mish,
    PhaseSineParam,
    PReLU,
    QuickGELU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    SineParam,
    Softmax,
    Softplus,
    Tanh,
)

SUMS = {"float64": 1e-13, "float32": 2e-6, "float16": 4e-3, "bfloat16": 3e-2}
PARAMETERS = TOLERANCES | {"float64": 1e-6}  # which are float32


def elements(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"x": (4 * random.standard_normal(size)).astype(dtype)}


def logits(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    """Five rows of `size` columns with large values, and -inf here and there."""
    x = 30 * random.standard_normal((5, size))
    x[:, 1::7] = -np.inf
    return {"x": x.astype(dtype)}


def shaped(*shape: int, grow: int = 0) -> Any:
    """Arrays of one shape, whose dimension number `grow` is the size."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        lengths = list(shape)
        lengths[grow] = lengths[grow] * size
        return {"x": (2 * random.standard_normal(lengths)).astype(dtype)}

    return make


def bind(block: cg.Block, x: np.ndarray) -> Any:
    def attempt(engine: cg.CudaEngine) -> None:
        engine.bind(engine.add(block).x, x)
        engine.update()

    return attempt


def fails(make: Any, message: str) -> Misuse:
    return Misuse(lambda engine: make(), cg.DescriptionError, message)


INTEGERS, FIVE = np.zeros(3, np.int32), np.zeros((3, 5), np.float32)
SINE = {"amplitude_init": (0.5, 1.5, 2.5), "frequency_init": 2.0, "bounds": {"amplitude": (None, 2.0)}}

CASES = [
    Case(
        lambda dtype: ReLU(),
        elements,
        FLOATS,
        misuses=(Misuse(bind(ReLU(), INTEGERS), cg.CompileError, "activation takes"),),
    ),
    Case(lambda dtype: ReLU6(), elements, FLOATS),
    Case(
        lambda dtype: LeakyReLU(0.2),
        elements,
        FLOATS,
        hot={"negative_slope": -0.5},
        misuses=(Misuse(bind(LeakyReLU(), INTEGERS), cg.CompileError, "tuned takes"),),
    ),
    Case(
        lambda dtype: PReLU(6, 0.125, dtype=dtype),
        shaped(1, 6, 5),
        FLOATS,
        misuses=(
            fails(lambda: PReLU(0), "at least 1 parameter"),
            fails(lambda: PReLU(dtype="int8"), "'int8'"),
            fails(lambda: PReLU(3, axis="C"), "axis is the number"),  # type: ignore[arg-type]
            Misuse(bind(PReLU(3), FIVE), cg.ShapeError, "5 is not 3"),
        ),
    ),
    Case(lambda dtype: PReLU(3), shaped(1, 3), name="PReLU of columns"),
    Case(lambda dtype: PReLU(3, axis=-1), shaped(2, 1, 3, grow=1), name="PReLU of the last axis"),
    Case(lambda dtype: PReLU(), elements, name="PReLU with one weight"),
    Case(lambda dtype: ELU(1.5), elements, FLOATS, hot={"alpha": 0.5}),
    Case(lambda dtype: Hardsigmoid(), elements, FLOATS),
    Case(lambda dtype: Hardswish(), elements, FLOATS),
    Case(
        lambda dtype: GELU(),
        elements,
        FLOATS,
        misuses=(fails(lambda: GELU("erf"), "approximate is 'none' or 'tanh', not 'erf'"),),
    ),
    Case(lambda dtype: GELU("tanh"), elements, FLOATS, name="GELU by tanh"),
    Case(lambda dtype: QuickGELU(), elements, FLOATS),
    Case(lambda dtype: SiLU(), elements, FLOATS, hot={"beta": 2.0}),
    Case(lambda dtype: Mish(), elements, FLOATS),
    Case(lambda dtype: Tanh(), elements, FLOATS),
    Case(lambda dtype: Sigmoid(), elements, FLOATS),
    Case(lambda dtype: Softplus(1.25, 7.5), elements, FLOATS, hot={"beta": 2.0, "threshold": 1.0}),
    Case(
        lambda dtype: Softmax(),
        logits,
        FLOATS,
        sizes=(1, 3, 63, 1000, 1025, 2500),
        hot={"temperature": 3.0},
        tolerances=SUMS,
        misuses=(
            Misuse(bind(Softmax(), np.zeros((), np.float32)), cg.ShapeError, "at least 1 dimension"),
            fails(lambda: Softmax(1.5), "dim is the number"),  # type: ignore[arg-type]
            fails(lambda: Softmax(temperature=0.0), "out of range"),
        ),
    ),
    Case(
        lambda dtype: Softmax(1, temperature=2.0),
        shaped(3, 5, 7, grow=2),
        FLOATS,
        sizes=(1, 3, 63),
        hot={"temperature": 0.5},
        tolerances=SUMS,
        name="Softmax of the middle",
    ),
    Case(lambda dtype: LogSoftmax(), shaped(4, 1, grow=1), FLOATS, hot={"temperature": 3.0}, tolerances=SUMS),
    Case(lambda dtype: LogSoftmax(0), shaped(1, 9), sizes=(1, 3, 63), tolerances=SUMS, name="LogSoftmax of columns"),
    Case(
        lambda dtype: Gated("silu"),
        shaped(3, 2, grow=1),
        FLOATS,
        misuses=(
            fails(lambda: Gated("swish"), "activation is one of none, relu"),
            fails(lambda: Gated(gate="third"), "of the 'third'"),
            Misuse(bind(Gated(), FIVE), cg.ShapeError, "5 must be even"),
        ),
    ),
    Case(lambda dtype: GLU(1), shaped(2, 4, 3, grow=0), FLOATS),
    Case(
        lambda dtype: SineParam(3, **SINE),
        shaped(1, 3),
        FLOATS,
        hot={"amplitude_bounds": (0.1, 0.7), "frequency_bounds": (0.5, 1.0), "decay_bounds": (0.0, 0.05)},
        tolerances=PARAMETERS | {"float32": 2e-6},
        misuses=(
            fails(lambda: SineParam(3, decay_mode="square"), "one of none, abs, relu"),
            fails(lambda: SineParam(3, decay_init=(1.0, 2.0)), "a number or 3 of them, not 2"),
            fails(lambda: SineParam(3, bounds={"phase": (0, 1)}), "bounds are for amplitude"),
        ),
    ),
    Case(
        lambda dtype: PhaseSineParam(3, phase_init=0.5, decay_mode="relu", feature_dim=1),
        shaped(2, 3, 5, grow=0),
        FLOATS,
        hot={"decay_bounds": (1.0, 2.0)},
        tolerances=PARAMETERS | {"float32": 2e-6},
    ),
]
