"""Tokens, patches and positions as vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from block_case import FLOATS, TOLERANCES, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import (
    ALiBi,
    ConditionalPositionEncoding,
    DiffusionTimestepEmbed,
    Embedding,
    LearnedPositionalEmbedding,
    PatchEmbedding,
    PositionalEncoding,
    RelativePositionBias,
    RotaryEmbedding,
    TimestepSinusoid,
    TokenPositionEmbedding,
    TokensToEmbedding,
    WindowPositionBias,
    rotary_table,
    sinusoidal_table,
)

SCALED = {"float64": 1e-7, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
POSITIONS = (1, 3, 63, 190)


def ids(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    """int64 for even sizes, int32 for odd ones; here and there outside of 0..36."""
    shape = (size // 3, 3) if size % 3 == 0 else (size,)
    kind = np.int32 if size % 2 else np.int64
    indices = random.integers(0, 37, shape).astype(kind)
    if size > 100:
        indices.reshape(-1)[[5, 77]] = [-1, 2**31 - 1]
    return {"ids": indices}


def tokens(width: int) -> Any:
    """Two texts of `size` tokens of `width` features."""
    return lambda random, size, dtype: {"x": random.standard_normal((2, size, width)).astype(dtype)}


def grid(shape: tuple[int, ...]) -> Any:
    return lambda random, size, dtype: {"x": random.standard_normal((size % 4, *shape)).astype(dtype)}


def scores(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"x": random.standard_normal((2, 6, 1 + size // 2, size)).astype(dtype)}


def text(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"ids": random.integers(-2, 39, (2, size)) if size == 190 else random.integers(0, 37, (2, size))}


def typed_text(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return text(random, size, dtype) | {"type_ids": random.integers(0, 3 if size == 190 else 2, (2, size))}


def queries_and_keys(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"q": np.zeros((2, 3, size, 4), dtype), "k": np.zeros((2, 1, 2 * size, 4), dtype)}


def times(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {"t": random.uniform(0, 1000, size).astype(np.float32)}


def heads(*, layout: str, width: int) -> Any:
    """`size` tokens of three heads, twice."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        shape = (2, 3, size, width) if layout == "bhtd" else (2, size, 3, width)
        return {"x": random.standard_normal(shape).astype(dtype)}

    return make


def rotary(width: int, dim: int, **options: Any) -> Case:
    layout = options.get("layout", "bhtd")
    return Case(
        lambda dtype: RotaryEmbedding(dim, 200, **options),
        heads(layout=layout, width=width),
        FLOATS,
        sizes=(1, 3, 63, 190),
        hot={"position": 9},
        name=f"RotaryEmbedding {width} {dim} {' '.join(map(str, options.values()))}",
    )


def bind(block: cg.Block, **arrays: np.ndarray) -> Any:
    def attempt(engine: cg.CudaEngine) -> None:
        engine.add(block)
        for name, array in arrays.items():
            engine.bind(block.ports[name], array)
        engine.update()

    return attempt


CASES = [
    Case(
        lambda dtype: Embedding(37, 45, padding_idx=-1, dtype=dtype, seed=1),
        ids,
        FLOATS,
        misuses=(
            Misuse(bind(Embedding(3, 4), ids=np.zeros(3, np.float32)), cg.CompileError, "int32 or int64"),
            Misuse(lambda engine: Embedding(0, 4), cg.DescriptionError, "at least one row"),
            Misuse(lambda engine: Embedding(3, 4, 3), cg.DescriptionError, "not one of 3 rows"),
            Misuse(lambda engine: Embedding(3, 4, dtype="int8"), cg.DescriptionError, "not 'int8'"),
        ),
    ),
    Case(lambda dtype: Embedding(37, 256, dtype=dtype, seed=1), ids, FLOATS, name="Embedding of aligned rows"),
    rotary(16, 16),
    replace(
        rotary(26, 18, layout="bthd", position=5),
        misuses=(
            Misuse(lambda engine: RotaryEmbedding(3), cg.DescriptionError, "even"),
            Misuse(lambda engine: RotaryEmbedding(4, 0), cg.DescriptionError, "at least 1"),
            Misuse(lambda engine: RotaryEmbedding(4, layout="tbhd"), cg.DescriptionError, "one of bhtd, bthd"),
            Misuse(lambda engine: rotary_table(4, 4, scaling={"type": "su"}), cg.DescriptionError, "not 'su'"),
            Misuse(lambda engine: rotary_table(4, 4, scaling={"type": "linear"}), cg.DescriptionError, "'factor'"),
        ),
    ),
    rotary(24, 16, interleaved=True, position=3),
    rotary(6, 6, interleaved=True, layout="bthd", base=500.0),
    Case(
        lambda dtype: LearnedPositionalEmbedding(200, 45, dtype=dtype, seed=1),
        tokens(45),
        FLOATS,
        sizes=POSITIONS,
        hot={"offset": 2},
        misuses=(
            Misuse(bind(LearnedPositionalEmbedding(3, 4), x=np.zeros((4, 4), "f4")), cg.ShapeError, "at most 3"),
            Misuse(lambda engine: LearnedPositionalEmbedding(0, 4), cg.DescriptionError, "at least one row"),
        ),
    ),
    Case(
        lambda dtype: LearnedPositionalEmbedding(200, 64, offset=11, dtype=dtype, seed=1),
        tokens(64),
        FLOATS,
        sizes=POSITIONS,
        name="LearnedPositionalEmbedding aligned, beyond the table",
    ),
    Case(
        lambda dtype: PositionalEncoding(45, 200),
        tokens(45),
        FLOATS,
        sizes=POSITIONS,
        hot={"offset": 2},
        misuses=(
            Misuse(bind(PositionalEncoding(4, 3), x=np.zeros((4, 4), "f4")), cg.ShapeError, "at most 3"),
            Misuse(lambda engine: sinusoidal_table(3, 0), cg.DescriptionError, "at least one row"),
        ),
    ),
    Case(
        lambda dtype: PositionalEncoding(32, 200, base=100.0, halves=True, offset=5),
        tokens(32),
        FLOATS,
        sizes=POSITIONS,
        name="PositionalEncoding in halves",
    ),
    Case(
        lambda dtype: TokenPositionEmbedding(37, 200, 45, dtype=dtype, seed=1),
        text,
        FLOATS,
        sizes=POSITIONS,
        hot={"offset": 3},
        misuses=(
            Misuse(bind(TokenPositionEmbedding(3, 3, 4), ids=np.zeros(4, np.int32)), cg.ShapeError, "at most 3"),
            Misuse(lambda engine: TokenPositionEmbedding(3, 0, 4), cg.DescriptionError, "at least one row"),
        ),
    ),
    Case(
        lambda dtype: TokenPositionEmbedding(37, 200, 64, types=2, offset=12, dtype=dtype, seed=1),
        typed_text,
        FLOATS,
        sizes=(190, 1),
        name="TokenPositionEmbedding with types",
    ),
    Case(
        lambda dtype: ALiBi(6, position=3),
        scores,
        FLOATS,
        sizes=(1, 3, 63, 130),
        hot={"position": 0},
        misuses=(
            Misuse(lambda engine: ALiBi(0), cg.DescriptionError, "at least one head"),
            Misuse(lambda engine: ALiBi(2, form="both"), cg.DescriptionError, "not 'both'"),
        ),
    ),
    *(
        Case(
            lambda dtype, form=form: ALiBi(6, form=form, position=2),
            scores,
            sizes=(3, 63),
            name=f"ALiBi {form}",
        )
        for form in ("causal", "keys")
    ),
    Case(
        lambda dtype: RelativePositionBias(3, dtype=dtype, seed=1),
        queries_and_keys,
        FLOATS,
        sizes=(1, 3, 63, 140),
        hot={"position": 5},
        misuses=(
            Misuse(lambda engine: RelativePositionBias(2, 2), cg.DescriptionError, "at least 4 buckets"),
            Misuse(lambda engine: RelativePositionBias(0), cg.DescriptionError, "one column"),
        ),
    ),
    Case(
        lambda dtype: RelativePositionBias(3, 20, 30, bidirectional=False, seed=1),
        queries_and_keys,
        sizes=(1, 63),
        name="RelativePositionBias in one direction",
    ),
    Case(
        lambda dtype: WindowPositionBias(3, 5, 7, dtype=dtype, seed=1),
        lambda random, size, dtype: {},
        FLOATS,
        sizes=(1,),
        misuses=(Misuse(lambda engine: WindowPositionBias(1, 0, 3), cg.DescriptionError, "at least one row"),),
    ),
    Case(
        lambda dtype: ConditionalPositionEncoding(45, 5, 7, extra=1, dtype=dtype, seed=1),
        grid((36, 45)),
        FLOATS,
        sizes=(1, 3),
        misuses=(
            Misuse(lambda engine: ConditionalPositionEncoding(4, 0, 3), cg.DescriptionError, "at least one row"),
            Misuse(lambda engine: ConditionalPositionEncoding(4, 3, 3, extra=-1), cg.DescriptionError, "not -1"),
        ),
    ),
    Case(
        lambda dtype: TimestepSinusoid(45, dtype=dtype),
        times,
        FLOATS,
        sizes=(1, 3, 63),
        tolerances=TOLERANCES | {"float64": 1e-6},
        misuses=(
            Misuse(lambda engine: TimestepSinusoid(1), cg.DescriptionError, "at least 2 channels"),
            Misuse(lambda engine: TimestepSinusoid(4, shift=2.0), cg.DescriptionError, "leaves nothing"),
        ),
    ),
    Case(
        lambda dtype: TokensToEmbedding(37, 45, dtype=dtype, seed=1),
        ids,
        FLOATS,
        hot={"scale": 2.0},
        tolerances=SCALED,
    ),
    Case(
        lambda dtype: PatchEmbedding((6, 9), 3, 2, 20, class_token=True, positions=True, dtype=dtype, seed=1),
        grid((2, 6, 9)),
        FLOATS,
        sizes=(1, 3),
        tolerances=SCALED,
        misuses=(
            Misuse(lambda engine: PatchEmbedding(16, 5), cg.DescriptionError, "do not fill 16 x 16"),
            Misuse(lambda engine: PatchEmbedding(16, 4, dtype="int8"), cg.DescriptionError, "not 'int8'"),
        ),
    ),
    *(
        Case(
            lambda dtype, options=options: PatchEmbedding(8, 4, 3, 16, seed=1, **dict[str, Any](options)),
            grid((3, 8, 8)),
            sizes=(1, 3),
            tolerances=SCALED,
            name=f"PatchEmbedding {options}",
        )
        for options in ({"bias": False}, {"class_token": True}, {"positions": True, "bias": False})
    ),
    Case(
        lambda dtype: DiffusionTimestepEmbed(20, 24, dtype=dtype, seed=1),
        times,
        FLOATS,
        sizes=(1, 3, 63),
        tolerances=SCALED | {"float64": 1e-6},
        misuses=(Misuse(lambda engine: DiffusionTimestepEmbed(1), cg.DescriptionError, "at least 2 channels"),),
    ),
]
