"""Matrix products and Einstein summation."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import Einsum, MatMul

SUMS = {"float64": 1e-13, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}


def shaped(**shapes: Any) -> Any:
    """Operands of these shapes, in which n is the size of the test."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        lengths = {name: [size if length == "n" else length for length in shape] for name, shape in shapes.items()}
        return {name: random.standard_normal(shape).astype(dtype) for name, shape in lengths.items()}

    return make


def bind(block: cg.Block, **arrays: np.ndarray) -> Any:
    def attempt(engine: cg.CudaEngine) -> None:
        engine.add(block)
        for name, array in arrays.items():
            engine.bind(block.ports[name], array)
        engine.update()

    return attempt


def einsum(equation: str, *, dtypes: tuple[str, ...] = ("float32",), **shapes: Any) -> Case:
    return Case(
        lambda dtype: Einsum(equation),
        shaped(**shapes),
        dtypes,
        sizes=(1, 3, 63, 130),
        tolerances=SUMS,
        name=f"Einsum {equation}",
    )


ONES = np.ones((3, 4), np.float32)

CASES = [
    Case(
        lambda dtype: MatMul(transpose_b=True, alpha=0.5, dtype=dtype),
        shaped(a=(2, 1, "n", 9), b=(3, 5, 9)),
        FLOATS,
        hot={"alpha": -2.0},
        tolerances=SUMS,
        misuses=(
            Misuse(bind(MatMul(), a=ONES, b=ONES), cg.ShapeError, "K is already 4"),
            Misuse(bind(MatMul(), a=np.ones((2, 3, 4)), b=np.ones((3, 4, 2))), cg.ShapeError, "do not broadcast"),
            Misuse(lambda engine: MatMul(True, vector_a=True), cg.DescriptionError, "cannot transpose"),
        ),
    ),
    Case(lambda dtype: MatMul(True), shaped(a=(3, 9, "n"), b=(9, 4)), tolerances=SUMS, name="MatMul transposed"),
    Case(lambda dtype: MatMul(vector_a=True), shaped(a=("n",), b=(3, "n", 4)), tolerances=SUMS, name="MatMul vector a"),
    Case(lambda dtype: MatMul(vector_b=True), shaped(a=(3, 4, "n"), b=("n",)), tolerances=SUMS, name="MatMul vector b"),
    Case(
        lambda dtype: Einsum("bij,bkj->bik"),
        shaped(a=(2, "n", 5), b=(2, 7, 5)),
        FLOATS,
        sizes=(1, 3, 63, 130),
        tolerances=SUMS,
        misuses=(
            Misuse(lambda engine: Einsum("ij,jk,kl,lm"), cg.DescriptionError, "has 4 operands"),
            Misuse(lambda engine: Einsum("ij->k"), cg.DescriptionError, "every letter of the output"),
            Misuse(lambda engine: Einsum("i1->i"), cg.DescriptionError, "is not made of letters"),
            Misuse(lambda engine: Einsum("abcdef,ghijkl"), cg.DescriptionError, "at most 10 letters"),
            Misuse(bind(Einsum("ij,jk"), a=ONES, b=ONES), cg.ShapeError, "j is already 4"),
        ),
    ),
    einsum("ii->i", a=("n", "n"), dtypes=FLOATS),
    einsum("i...j,j...k->...ik", a=("n", 2, 3, 4), b=(4, 2, 3, 5)),
    einsum("ij,jk,kl->li", a=("n", 4), b=(4, 5), c=(5, 6)),
]
