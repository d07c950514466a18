"""What language models have besides their layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import Case, Misuse

import cudagraph as cg
from cudagraph.blocks.models import PatchTokens, TokenLoop

DTYPES = ("float32", "float16", "bfloat16")


def text(vocabulary: int, ids: str = "int32") -> Any:
    """Tokens, and well separated logits, so that every precision chooses the same one."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        logits = np.stack([random.permutation(vocabulary) for _ in range(6)]).reshape(2, 3, vocabulary)
        tokens = random.integers(0, vocabulary, (2, size)).astype(ids)
        return {"ids": tokens, "logits": (logits / 8).astype(dtype)}

    return make


def loop(columns: int, **options: Any) -> Any:
    return lambda dtype: TokenLoop(70, columns, max_length=1100, max_batch=2, dtype=dtype, seed=1, **options)


def images(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"x": random.standard_normal((size, 3, 13, 8)).astype(dtype)}


CASES = [
    Case(
        loop(45, positions=1100),
        text(70),
        DTYPES,
        hot={"position": 3},
        misuses=(
            Misuse(lambda engine: TokenLoop(0, 4, max_length=3), cg.DescriptionError, "at least one token"),
            Misuse(lambda engine: setattr(loop(8)("float32").top_p, "value", 2.0), cg.DescriptionError, "out of range"),
        ),
        name="TokenLoop-positions",
    ),
    Case(loop(64), text(70, "int64"), DTYPES, hot={"temperature": 1.5, "seed": 9, "top_k": 60}, sizes=(1, 3, 63)),
    Case(
        lambda dtype: PatchTokens((13, 8), (4, 2), 3, 46, dtype=dtype, seed=1),
        images,
        DTYPES,
        sizes=(1, 3, 63),
        misuses=(
            Misuse(lambda engine: PatchTokens((8, 8), (9, 4), 3, 16), cg.DescriptionError, "no patches of 9 x 4"),
        ),
    ),
]
