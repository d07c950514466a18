"""Elementwise arithmetic, reductions and matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, TOLERANCES, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import (
    Abs,
    Add,
    ArgMax,
    ArgMin,
    Bias,
    Clamp,
    Cos,
    CumSum,
    Div,
    Equal,
    Exp,
    Greater,
    Less,
    Log,
    Max,
    Maximum,
    Mean,
    Min,
    Minimum,
    Mul,
    Neg,
    Normalizer,
    Pow,
    Prod,
    Reciprocal,
    Rsqrt,
    Scale,
    Sgemm,
    Sin,
    Sqrt,
    Square,
    Std,
    Sub,
    Sum,
    TemperatureScaling,
    Var,
    VectorAdd,
    Where,
)


def numbers(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> np.ndarray:
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return random.integers(info.min, info.max, size, dtype, endpoint=True)
    return random.standard_normal(size).astype(dtype)


def one(name: str) -> Any:
    return lambda random, size, dtype: {name: numbers(random, size, dtype)}


def two(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"a": numbers(random, size, dtype), "b": numbers(random, size, dtype)}


def table(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    """A column and a row, which broadcast to a table; NaN and infinity stay out."""
    return {"a": numbers(random, size, dtype)[:, None], "b": numbers(random, 5, dtype)}


def positive(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"x": (0.5 + random.random(size)).astype(dtype)}


def powers(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"a": (0.5 + random.random((size, 1))).astype(dtype), "b": (0.5 + random.random(3)).astype(dtype)}


def digits(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    """Numbers that are often equal."""
    return {"a": random.integers(0, 3, (size, 1)).astype(dtype), "b": random.integers(0, 3, 4).astype(dtype)}


def chosen(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {
        "condition": random.random((size, 1)) < 0.5,
        "a": numbers(random, 7, dtype),
        "b": numbers(random, 7 * size, dtype).reshape(size, 7),
    }


def images(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    """Two images of `size` pixels and five channels."""
    return {"x": random.standard_normal((2, 5, size, 1)).astype(dtype)}


def blocks_of(columns: int) -> Any:
    """[size, 3, columns], none of them near 0."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        if dtype.kind in "iu":
            return {"x": numbers(random, size * 3 * columns, dtype).reshape(size, 3, columns)}
        return {"x": (1 + 0.25 * random.standard_normal((size, 3, columns))).astype(dtype)}

    return make


def whole_numbers(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"x": numbers(random, size * 21, dtype).reshape(size, 21)}


def few_numbers(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"x": random.integers(1, 4, (size, 3)).astype(dtype)}


def counted(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"x": random.integers(0, 2, size).astype(dtype)}


def per_channel(random: np.random.Generator) -> np.ndarray:
    return (0.5 + random.random(5)).astype(np.float32)


def matrices(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    rows, inner, columns = size, 1 + size % 70, 1 + size % 33
    shapes = {"a": (rows, inner), "b": (inner, columns), "c_in": (rows, columns)}
    return {name: random.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def bind(block: cg.Block, **arrays: np.ndarray) -> Any:
    def attempt(engine: cg.CudaEngine) -> None:
        engine.add(block)
        for name, array in arrays.items():
            engine.bind(block.ports[name], array)
        engine.update()

    return attempt


SHORT, LONG = np.zeros(3, np.float32), np.zeros(4, np.float32)

CASES = [
    Case(
        lambda dtype: VectorAdd(0.5),
        two,
        FLOATS,
        hot={"gain": -2.0},
        misuses=(
            Misuse(bind(VectorAdd(), a=SHORT, b=LONG), cg.ShapeError, r"vector_add\.b"),
            Misuse(bind(VectorAdd(), a=SHORT, b=SHORT.astype(np.float64)), cg.ShapeError, "float64 is not float32"),
            Misuse(bind(VectorAdd(), a=SHORT), cg.ShapeError, r"vector_add\.b is fed by nothing"),
            Misuse(bind(VectorAdd(), a=SHORT.astype(int), b=SHORT.astype(int)), cg.CompileError, "vector_add takes"),
            Misuse(lambda engine: VectorAdd("loud"), cg.DescriptionError, "gain is float32"),  # type: ignore[arg-type]
        ),
    ),
    Case(
        lambda dtype: Scale(1.5),
        one("x"),
        FLOATS,
        hot={"factor": 3.0},
        misuses=(Misuse(bind(Scale(), x=SHORT.astype(np.int32)), cg.CompileError, "scale takes"),),
    ),
    Case(
        lambda dtype: Scale(per_channel(np.random.default_rng(1)), axis=1, dtype=dtype),
        images,
        FLOATS,
        name="Scale of channels",
        misuses=(
            Misuse(bind(Scale(features=4), x=SHORT), cg.ShapeError, "3 is not 4"),
            Misuse(lambda engine: Scale(features=0), cg.DescriptionError, "at least one feature, not 0"),
            Misuse(lambda engine: Scale(features=3, dtype="int8"), cg.DescriptionError, "computes in float16"),
        ),
    ),
    Case(
        lambda dtype: Add(),
        two,
        (*FLOATS, "int8", "uint8", "int16", "int32", "uint32", "int64"),
        misuses=(
            Misuse(bind(Add(), a=SHORT, b=LONG), cg.ShapeError, r"add\.a \[3\] and add\.b \[4\] do not broadcast"),
            Misuse(bind(Add(), a=SHORT, b=SHORT.astype(np.float64)), cg.ShapeError, "float64 is not float32"),
        ),
    ),
    Case(lambda dtype: Add(), table, (*FLOATS, "int8", "int64"), name="Add of a column and a row"),
    Case(lambda dtype: Sub(), table, (*FLOATS, "uint8")),
    Case(lambda dtype: Mul(), table, (*FLOATS, "int32")),
    Case(lambda dtype: Maximum(), table, (*FLOATS, "int16")),
    Case(lambda dtype: Minimum(), table, (*FLOATS, "uint16")),
    Case(
        lambda dtype: Div(),
        powers,
        FLOATS,
        misuses=(Misuse(bind(Div(), a=SHORT.astype(int), b=SHORT.astype(int)), cg.CompileError, "a division takes"),),
    ),
    Case(lambda dtype: Pow(), powers, FLOATS),
    Case(lambda dtype: Equal(), digits, (*FLOATS, "int32")),
    Case(lambda dtype: Less(), digits, (*FLOATS, "int32")),
    Case(lambda dtype: Greater(), digits, (*FLOATS, "int32")),
    Case(lambda dtype: Where(), chosen, (*FLOATS, "int64")),
    *(
        Case(lambda dtype, kind=kind: kind(), positive, FLOATS)
        for kind in (Neg, Abs, Exp, Log, Sqrt, Rsqrt, Reciprocal, Sin, Cos, Square)
    ),
    Case(
        lambda dtype: Clamp(-0.5, 0.75),
        one("x"),
        FLOATS,
        hot={"low": 0.0, "high": 0.5},
        misuses=(Misuse(bind(Clamp(), x=SHORT.astype(int)), cg.CompileError, "clamp takes"),),
    ),
    Case(
        lambda dtype: TemperatureScaling(0.7),
        one("x"),
        FLOATS,
        hot={"temperature": 2.0},
        misuses=(Misuse(lambda engine: TemperatureScaling(-1.0), cg.DescriptionError, "out of range"),),
    ),
    Case(lambda dtype: Bias(5, axis=1, dtype=dtype), images, FLOATS),
    Case(
        lambda dtype: Normalizer(5, 0.5, per_channel(np.random.default_rng(2)), axis=-3, dtype=dtype),
        images,
        FLOATS,
        misuses=(Misuse(lambda engine: Normalizer(0), cg.DescriptionError, "a Normalizer has at least one feature"),),
    ),
    Case(
        lambda dtype: Sum(-1),
        blocks_of(70),
        FLOATS,
        tolerances=TOLERANCES | {"float32": 2e-6},
        misuses=(
            Misuse(bind(Mean(), x=SHORT.astype(int)), cg.CompileError, "this reduction takes float16"),
            Misuse(lambda engine: Sum((0, 0)), cg.DescriptionError, "each axis once"),
            Misuse(lambda engine: Sum((0, 2, 4)), cg.DescriptionError, "at most two runs"),
            Misuse(lambda engine: Sum("x"), cg.DescriptionError, "as integers"),  # type: ignore[arg-type]
            Misuse(bind(Sum(-2), x=SHORT), cg.ShapeError, "at least 2 dimensions"),
        ),
    ),
    Case(lambda dtype: Sum(-1), whole_numbers, ("int8", "uint8", "int64"), name="Sum of integers"),
    Case(lambda dtype: Sum(0, dtype="int64"), whole_numbers, ("int16", "uint32"), name="Sum of integers, wide"),
    Case(
        lambda dtype: Prod(None, keepdim=True),
        few_numbers,
        ("int32", "int64"),
        sizes=(1, 3, 63),
        name="Prod of integers",
    ),
    Case(
        lambda dtype: CumSum(-1),
        blocks_of(70),
        FLOATS,
        sizes=(1, 3, 63),
        tolerances=TOLERANCES | {"float32": 2e-6},
        misuses=(
            Misuse(lambda engine: CumSum(None), cg.DescriptionError, "takes one axis"),  # type: ignore[arg-type]
            Misuse(bind(CumSum(1), x=SHORT), cg.ShapeError, "at least 2 dimensions"),
        ),
    ),
    Case(lambda dtype: CumSum(0), blocks_of(7), (*FLOATS, "int8"), name="CumSum of columns"),
    Case(
        lambda dtype: CumSum(0, dtype="int64"),
        counted,
        ("int32", "bool"),
        sizes=(1, 63, 40_000),
        name="CumSum of a row",
    ),
    Case(lambda dtype: Mean((0, -1), keepdim=True), blocks_of(21), FLOATS, sizes=(1, 3, 63), name="Mean of two runs"),
    Case(lambda dtype: Mean(0), blocks_of(5), sizes=(1, 63, 1000), name="Mean of columns"),
    Case(
        lambda dtype: Prod(1),
        blocks_of(9),
        FLOATS,
        tolerances=TOLERANCES | {"float32": 2e-6},
    ),
    Case(
        lambda dtype: Max(-2),
        blocks_of(7),
        (*FLOATS, "int8"),
        misuses=(
            Misuse(
                bind(Max(), x=SHORT[:0]), cg.ShapeError, r"the Max of no elements is not defined, and max\.x is \[0\]"
            ),
        ),
    ),
    Case(lambda dtype: Min(None), blocks_of(7), (*FLOATS, "int32")),
    Case(
        lambda dtype: Var(-1),
        blocks_of(70),
        FLOATS,
        sizes=(1, 3, 63),
        hot={"correction": 0.0},
        misuses=(Misuse(lambda engine: Var(correction=-1.0), cg.DescriptionError, "out of range"),),
    ),
    Case(lambda dtype: Std((1, 2), correction=0.0), blocks_of(9), FLOATS, sizes=(1, 3, 63), hot={"correction": 1.0}),
    Case(
        lambda dtype: ArgMax(-1),
        blocks_of(70),
        (*FLOATS, "int16"),
        misuses=(Misuse(lambda engine: ArgMax((0, 1)), cg.DescriptionError, "takes one axis"),),  # type: ignore[arg-type]
    ),
    Case(lambda dtype: ArgMin(0, keepdim=True), blocks_of(7), FLOATS),
    Case(
        lambda dtype: Sgemm(2.0, 0.5),
        matrices,
        hot={"alpha": -1.0, "beta": 0.0},
        tolerances={"float32": 1e-5},
        misuses=(
            Misuse(
                bind(Sgemm(), a=np.zeros((2, 3), np.float32), b=np.zeros((4, 5), np.float32)),
                cg.ShapeError,
                "K is already 3",
            ),
        ),
    ),
]
