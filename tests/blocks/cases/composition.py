"""How blocks are put together."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import HighwayConnection, InputBlock, Merge

SUMS = {"float64": 1e-13, "float32": 5e-6, "float16": 4e-3, "bfloat16": 3e-2}


def several(count: int, gates: bool = False) -> Any:
    """`count` arrays of `size` rows of five, and where wanted as many gates for each row."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        arrays = {f"x{i}": random.standard_normal((2, size, 5)).astype(dtype) for i in range(count)}
        return arrays | ({"gates": random.random((2, size, count)).astype(dtype)} if gates else {})

    return make


def different(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {f"x{i}": random.standard_normal((2, size + i, 4)).astype(dtype) for i in range(3)}


def rows(features: int) -> Any:
    return lambda random, size, dtype: {"x": random.standard_normal((size, features)).astype(dtype)}


def wrong_lengths(engine: cg.CudaEngine) -> None:
    merge = engine.add(Merge())
    engine.bind(merge.xs[0], np.zeros((2, 3), np.float32))
    engine.bind(merge.xs[1], np.zeros((2, 4), np.float32))
    engine.update()


CASES = [
    Case(
        lambda dtype: Merge(3),
        several(3),
        FLOATS,
        tolerances=SUMS,
        misuses=(
            Misuse(wrong_lengths, cg.ShapeError, "4"),
            Misuse(lambda engine: Merge(2, "max"), cg.DescriptionError, "by add, mean, concat, stack, weighted"),
            Misuse(lambda engine: Merge(0), cg.DescriptionError, "1 input or more"),
        ),
    ),
    Case(lambda dtype: Merge(2, "mean"), several(2), FLOATS, tolerances=SUMS, name="Merge by mean"),
    Case(lambda dtype: Merge(3, "concat", dim=1), different, FLOATS, name="Merge of rows"),
    Case(lambda dtype: Merge(2, "concat"), several(2), FLOATS, name="Merge of columns"),
    Case(lambda dtype: Merge(2, "stack"), several(2), name="Merge by stacking"),
    Case(lambda dtype: Merge(3, "stack", dim=0), several(3), name="Merge by stacking first"),
    Case(lambda dtype: Merge(3, "weighted"), several(3, gates=True), FLOATS, tolerances=SUMS, name="Merge by gates"),
    Case(
        lambda dtype: HighwayConnection(37, dtype=dtype, seed=2),
        rows(37),
        FLOATS,
        hot={"activation": "tanh"},
        tolerances=SUMS,
        misuses=(Misuse(lambda engine: HighwayConnection(0), cg.DescriptionError, "at least one feature"),),
    ),
    Case(lambda dtype: InputBlock(), rows(3), FLOATS),
    Case(lambda dtype: InputBlock(6), rows(6), name="InputBlock of units"),
]
