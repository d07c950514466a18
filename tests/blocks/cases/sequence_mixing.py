"""Attention. Sizes are numbers of tokens; heads are few and narrow."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import (
    CausalAttention,
    CrossAttention,
    FlashAttention,
    GroupedQueryAttention,
    LinearAttention,
    MultiHeadAttention,
    MultiQueryAttention,
    ScaledDotProductAttention,
    SelfAttention,
    SlidingWindowAttention,
)
from cudagraph.blocks.embedding.rotary import rotary_table

SUMS = {"float64": 1e-13, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
HALVES = ("float16", "bfloat16")
SIZES = (1, 3, 63, 130)
FEW = (1, 5, 70)


def heads(queries: int = 2, keys: int = 2, length: int = 16, width: int = 16, before: int = 0, **extra: Any) -> Any:
    """q, k, v of `size` queries and `before` more keys, and what else is named, made from random, T, S and dtype."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        total = size + before
        shapes = {"q": (2, queries, size, length), "k": (2, keys, total, length), "v": (2, keys, total, width)}
        arrays = {name: random.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
        return arrays | {name: value(random, size, total, dtype) for name, value in extra.items()}

    return make


def seen(random: np.random.Generator, size: int, total: int, dtype: np.dtype[Any]) -> np.ndarray:
    return random.random((2, 1, size, total)) < 0.6  # now and then no key at all


def added(random: np.random.Generator, size: int, total: int, dtype: np.dtype[Any]) -> np.ndarray:
    mask = random.standard_normal((1, 2, size, total))
    mask[..., ::5] = -np.inf
    return mask.astype(dtype)


def raised(random: np.random.Generator, size: int, total: int, dtype: np.dtype[Any]) -> np.ndarray:
    return random.standard_normal((1, 4, size, total)).astype(dtype)


def slopes(random: np.random.Generator, size: int, total: int, dtype: np.dtype[Any]) -> np.ndarray:
    return np.array([0.5, 0.25], np.float32)


def tokens(features: int = 24, **extra: Any) -> Any:
    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        arrays = {"x": random.standard_normal((2, size, features)).astype(dtype)}
        return arrays | {name: value(random, size, dtype) for name, value in extra.items()}

    return make


def more(features: int, add: int = 0) -> Any:
    return lambda random, size, dtype: random.standard_normal((2, size + add, features)).astype(dtype)


def real_keys(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> np.ndarray:
    return np.arange(size) < np.array([[size], [(size + 1) // 2]])


def three(kdim: int = 24, vdim: int = 24, **extra: Any) -> Any:
    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        shapes = {"query": (2, size, 24), "key": (2, size + 3, kdim), "value": (2, size + 3, vdim)}
        arrays = {name: random.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
        return arrays | {name: value(random, size, dtype) for name, value in extra.items()}

    return make


def hidden(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> np.ndarray:
    return random.random((1, 3, size, size + 3)) < 0.3


def padding(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> np.ndarray:
    return np.arange(size + 3) >= np.array([[size + 3], [size + 1]])


def of_type(kind: Any, *arguments: Any, **options: Any) -> Any:
    return lambda dtype: kind(*arguments, dtype=dtype, seed=5, **options)


def bind(block: cg.Block, **arrays: np.ndarray) -> Any:
    def attempt(engine: cg.CudaEngine) -> None:
        engine.add(block)
        for name, array in arrays.items():
            engine.bind(block.ports[name], array)
        engine.update()

    return attempt


def wrong(make: Any, message: str) -> Misuse:
    return Misuse(lambda engine: make(), cg.DescriptionError, message)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


TABLE = rotary_table(200, 8)
MASKED = bind(
    ScaledDotProductAttention(mask="additive"),
    q=zeros(3, 2, 4, 8),
    k=zeros(3, 2, 5, 8),
    v=zeros(3, 2, 5, 8),
    mask=zeros(2, 1, 4, 5),
)

CASES = [
    Case(
        lambda dtype: ScaledDotProductAttention(),
        heads(length=20, width=12, before=3),
        FLOATS,
        sizes=SIZES,
        hot={"scale": 0.5},
        tolerances=SUMS,
        misuses=(
            Misuse(lambda engine: ScaledDotProductAttention(mask="yes"), cg.DescriptionError, "'bool' or 'additive'"),
            Misuse(lambda engine: ScaledDotProductAttention(group=0), cg.DescriptionError, "at least 1, not 0"),
            Misuse(lambda engine: ScaledDotProductAttention(window=0), cg.DescriptionError, "number of keys"),
            Misuse(lambda engine: ScaledDotProductAttention(softcap=-1.0), cg.DescriptionError, "above 0"),
            Misuse(lambda engine: ScaledDotProductAttention(aligned="left"), cg.DescriptionError, "'first' or 'last'"),
            Misuse(
                bind(ScaledDotProductAttention(group=2), q=zeros(1, 3, 4, 8), k=zeros(1, 2, 4, 8), v=zeros(1, 2, 4, 8)),
                cg.ShapeError,
                r"\.q",
            ),
            Misuse(MASKED, cg.ShapeError, "y"),
        ),
    ),
    Case(
        lambda dtype: ScaledDotProductAttention(True, scale=0.3, group=2, aligned="last"),
        heads(queries=4, before=70),
        FLOATS,
        sizes=SIZES,
        tolerances=SUMS,
        name="ScaledDotProductAttention, causal at the end",
    ),
    Case(
        lambda dtype: ScaledDotProductAttention(
            True, mask="additive", group=2, aligned="last", window=40, library="cudnn"
        ),
        heads(queries=4, before=70, width=24, mask=raised),
        HALVES,
        sizes=SIZES,
        hot={"scale": 0.5},
        tolerances=SUMS,
        misuses=(
            wrong(lambda: ScaledDotProductAttention(library="cublas"), "library is None, 'cudnn', not 'cublas'"),
            wrong(lambda: ScaledDotProductAttention(mask="bool", library="cudnn"), "has not a mask of booleans"),
            wrong(lambda: ScaledDotProductAttention(alibi=True, softcap=1.0, library="cudnn"), "ALiBi, a softcap"),
            wrong(lambda: SelfAttention(24, 3, library="cudnn"), "works on float16 and bfloat16, not on float32"),
            wrong(
                lambda: SelfAttention(24, 2, library="cudnn", dtype="float16"), "a multiple of 8 elements, not of 12"
            ),
            wrong(lambda: SelfAttention(24, 3, cache=9, causal=True, library="cudnn", dtype="float16"), "a cache"),
        ),
        name="ScaledDotProductAttention by cuDNN",
    ),
    Case(
        of_type(SelfAttention, 24, 3, window=9, library="cudnn"),
        tokens(),
        HALVES,
        sizes=FEW,
        hot={"scale": 0.5},
        tolerances=SUMS,
        name="SelfAttention by cuDNN",
    ),
    Case(
        of_type(CrossAttention, 24, 3, context_dim=10, kv_heads=1, library="cudnn"),
        tokens(context=more(10, 4)),
        HALVES,
        sizes=FEW,
        tolerances=SUMS,
        name="CrossAttention by cuDNN",
    ),
    Case(
        of_type(MultiHeadAttention, 24, 3, library="cudnn"),
        three(),
        HALVES,
        sizes=FEW,
        tolerances=SUMS,
        name="MultiHeadAttention by cuDNN",
    ),
    Case(
        lambda dtype: ScaledDotProductAttention(mask="bool", softcap=2.0),
        heads(mask=seen),
        FLOATS,
        sizes=FEW,
        tolerances=SUMS,
        name="ScaledDotProductAttention, boolean mask and softcap",
    ),
    Case(
        lambda dtype: ScaledDotProductAttention(True, mask="additive", alibi=True, window=40, prefix=3),
        heads(mask=added, slopes=slopes),
        FLOATS,
        sizes=SIZES,
        hot={"prefix": 0, "scale": 1.0},
        tolerances=SUMS,
        name="ScaledDotProductAttention, everything else",
    ),
    Case(
        lambda dtype: FlashAttention(window=9),
        heads(length=136, width=136),
        ("float32", "float64"),
        sizes=FEW,
        tolerances=SUMS,
    ),
    Case(
        of_type(SelfAttention, 24, 3, mask="keys", residual=True),
        tokens(residual=more(24), mask=real_keys),
        FLOATS,
        sizes=FEW,
        hot={"scale": 0.5},
        tolerances=SUMS | {"float16": 8e-3},
        misuses=(
            Misuse(lambda engine: SelfAttention(24, 5), cg.DescriptionError, "do not divide into 5 heads"),
            Misuse(lambda engine: SelfAttention(24, 4, kv_heads=3), cg.DescriptionError, "multiple of the key heads"),
            Misuse(lambda engine: SelfAttention(24, 3, mask="no"), cg.DescriptionError, "'keys', not 'no'"),
            Misuse(lambda engine: SelfAttention(24, 3, cache=0), cg.DescriptionError, "at least 1, not 0"),
            Misuse(lambda engine: SelfAttention(24, 3, rope=zeros(4, 8)), cg.DescriptionError, "rotary_table"),
            Misuse(lambda engine: SelfAttention(24, 3, rope=TABLE[:, :3], head_dim=4), cg.DescriptionError, "up to 4"),
            Misuse(
                lambda engine: SelfAttention(24, 3, residual=True, projection=False), cg.DescriptionError, "leaves out"
            ),
        ),
    ),
    Case(
        of_type(SelfAttention, 24, 4, kv_heads=2, head_dim=9, rope=TABLE, cache=140, causal=True, qk_norm="rms"),
        tokens(),
        FLOATS,
        sizes=SIZES,
        hot={"scale": 0.1},
        tolerances=SUMS | {"float16": 8e-3},
        name="SelfAttention with a cache",
    ),
    Case(
        of_type(SelfAttention, 24, 3, rope="port", rotary_dim=6, interleaved=True, mask="additive", projection=False),
        tokens(
            mask=lambda random, size, dtype: random.standard_normal((2, 3, size, size)).astype(dtype),
            rope=lambda random, size, dtype: rotary_table(150, 6),
        ),
        sizes=FEW,
        hot={"position": 4},
        tolerances=SUMS,
        name="SelfAttention with positions from a port",
    ),
    Case(of_type(CausalAttention, 24, 3), tokens(), sizes=FEW, tolerances=SUMS),
    Case(of_type(GroupedQueryAttention, 24, 4, 2), tokens(), sizes=FEW, tolerances=SUMS),
    Case(of_type(MultiQueryAttention, 24, 4), tokens(), sizes=FEW, tolerances=SUMS),
    Case(of_type(SlidingWindowAttention, 24, 3, 8), tokens(), sizes=FEW, tolerances=SUMS),
    Case(
        of_type(CrossAttention, 24, 3, context_dim=10, kv_heads=1, residual=True),
        tokens(context=more(10, 4), residual=more(24)),
        FLOATS,
        sizes=FEW,
        hot={"scale": 0.5},
        tolerances=SUMS | {"float16": 8e-3},
    ),
    Case(
        of_type(MultiHeadAttention, 24, 3, attn_mask="bool", key_padding_mask=True),
        three(attn_mask=hidden, key_padding_mask=padding),
        FLOATS,
        sizes=FEW,
        hot={"scale": 0.5},
        tolerances=SUMS | {"float16": 8e-3},
    ),
    Case(
        of_type(MultiHeadAttention, 24, 3, kdim=7, vdim=9, bias=False),
        three(7, 9),
        sizes=FEW,
        tolerances=SUMS,
        name="MultiHeadAttention of other widths",
    ),
    Case(
        lambda dtype: LinearAttention(True),
        heads(),
        FLOATS,
        sizes=SIZES,
        hot={"eps": 0.5},
        tolerances=SUMS,
    ),
    Case(
        lambda dtype: LinearAttention(),
        heads(before=5, width=70),
        sizes=FEW,
        tolerances=SUMS,
        name="LinearAttention of all",
    ),
]
