"""Elementwise arithmetic and matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import Add, Scale, Sgemm, VectorAdd


def numbers(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> np.ndarray:
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return random.integers(info.min, info.max, size, dtype, endpoint=True)
    return random.standard_normal(size).astype(dtype)


def one(name: str) -> Any:
    return lambda random, size, dtype: {name: numbers(random, size, dtype)}


def two(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"a": numbers(random, size, dtype), "b": numbers(random, size, dtype)}


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
            Misuse(lambda engine: VectorAdd("loud"), cg.DescriptionError, "gain is a float32"),  # type: ignore[arg-type]
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
        lambda dtype: Add(),
        two,
        (*FLOATS, "int8", "uint8", "int16", "int32", "uint32", "int64"),
        misuses=(Misuse(bind(Add(), a=SHORT, b=LONG), cg.ShapeError, r"add\.b"),),
    ),
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
