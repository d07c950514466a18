"""Shape, order and type of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import (
    BatchAdapter,
    Cast,
    Chunk,
    Clone,
    Concatenate,
    Crop,
    DimensionAdapter,
    DTypeAdapter,
    Expand,
    Flatten,
    Flip,
    Gather,
    Identity,
    ImageToPatches,
    Pad,
    PatchesToImage,
    Permute,
    Repeat,
    Reshape,
    Roll,
    SequenceLengthAdapter,
    Slice,
    Split,
    Squeeze,
    Stack,
    Transpose,
    Unsqueeze,
)

ANY = (*FLOATS, "int8", "uint8", "int16", "int32", "int64", "bool")
EXACT = dict.fromkeys(ANY, 0.0)
SUMS = {"float64": 1e-13, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
SMALL = (1, 3, 33)


def numbers(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    return (100 * random.standard_normal(shape)).astype(dtype)


def shaped(*shape: Any, names: tuple[str, ...] = ("x",), least: int = 0) -> Any:
    """Inputs of this shape, in which None stands for the size, or `least`."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        lengths = tuple(max(size, least) if length is None else length for length in shape)
        return {name: numbers(random, lengths, dtype) for name in names}

    return make


def joined(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    return {f"x{k}": numbers(random, (2, size + k, 5), dtype) for k in range(3)}


def picked(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    index = random.integers(0, 7, size).astype(np.int32 if size % 2 else np.int64)
    if size == 34:
        index[[3, 30]] = [-1, 7]
    return {"x": numbers(random, (3, 7, 5), dtype), "index": index}


def wide(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
    highest = 4 if dtype == np.float16 else 12
    return {"x": (10.0 ** random.uniform(-3, highest, size) * random.choice([-1, 1], size)).astype(dtype)}


def bind(block: cg.Block, *shapes: tuple[int, ...], dtype: str = "float32") -> Any:
    def attempt(engine: cg.CudaEngine) -> None:
        engine.add(block)
        for port, shape in zip(block.inputs, shapes, strict=True):
            engine.bind(port, np.zeros(shape, dtype))
        engine.update()

    return attempt


def case(make: Any, inputs: Any, *misuses: Misuse, dtypes: tuple[str, ...] = ("float32",), **more: Any) -> Case:
    return Case(
        lambda dtype: make(), inputs, dtypes, **{"sizes": SMALL, "tolerances": EXACT, "misuses": misuses, **more}
    )


def refused(make: Any, message: str) -> Misuse:
    return Misuse(lambda engine: make(), cg.DescriptionError, message)


def unfit(block: cg.Block, *shapes: tuple[int, ...], message: str) -> Misuse:
    return Misuse(bind(block, *shapes), cg.ShapeError, message)


CASES = [
    case(Identity, shaped(None, 3), dtypes=ANY),
    case(
        lambda: Reshape((..., 4, -1)),
        shaped(None, 12),
        refused(lambda: Reshape((-1, -1)), "one -1"),
        refused(lambda: Reshape((2, "n")), "tuple of integers"),  # type: ignore[arg-type]
        unfit(Reshape((-1, 4)), (6,), message="does not hold 6 elements"),
        unfit(Reshape((2, 2)), (6,), message="does not hold 6 elements"),
    ),
    case(lambda: Reshape((3, 2, 2)), shaped(2, 6), name="Reshape of everything"),
    case(lambda: Flatten(1, 2), shaped(2, None, 3, 4), refused(lambda: Flatten(2, 1), "comes after")),
    case(lambda: Flatten(-2, -1), shaped(2, None, 4), name="Flatten of the last two"),
    case(lambda: Flatten(0, -2), shaped(2, None, 4), name="Flatten of all but the last"),
    case(lambda: Unsqueeze(-2), shaped(None, 3), refused(lambda: Unsqueeze(0.5), "an axis is an integer")),  # type: ignore[arg-type]
    case(lambda: Squeeze(1), shaped(None, 1, 4), unfit(Squeeze(0), (2, 3), message="2 is not 1")),
    case(
        lambda: Slice(1, -1, 2, axis=1),
        shaped(2, None, 5),
        refused(lambda: Slice(step=0), "at least 1"),
        refused(lambda: Slice(stop=3, length=3), "either stop or a length"),
        dtypes=ANY,
    ),
    case(lambda: Slice(-20, 30), shaped(2, None), name="Slice of the last dimension"),
    case(lambda: Slice(2, axis=0), shaped(None, 4), name="Slice that is a view"),
    case(
        lambda: Slice(1, step=2, axis=-2, length=2),
        shaped(2, None, 5, least=3),
        unfit(Slice(length=4), (3,), message="at least 4"),
        sizes=(3, 4, 33),
        hot={"start": 7},
        name="Slice that moves",
    ),
    case(
        lambda: Slice(5, axis=1, length=3),
        shaped(2, None, 5, least=3),
        sizes=(3, 4, 33),
        hot={"start": 0},
        name="Slice of a length",
    ),
    case(
        lambda: Split((2, 0, 3), axis=1),
        shaped(None, 5, 3),
        refused(lambda: Split(()), "one is needed"),
        unfit(Split((2, 3)), (4,), message="4 is not 5"),
        dtypes=ANY,
    ),
    case(lambda: Split((1, 2), axis=0), shaped(3, None), name="Split in views"),
    case(
        lambda: Chunk(3),
        shaped(2, None, least=3),
        refused(lambda: Chunk(0), "at least one part"),
        unfit(Chunk(4), (5,), message="last part of Chunk"),
        sizes=(3, 8, 33),
    ),
    case(lambda: Chunk(2, axis=0), shaped(None, 4, least=2), sizes=(2, 33), name="Chunk in views"),
    case(
        lambda: Transpose(1, 2),
        shaped(2, None, 7, 8),
        refused(lambda: Transpose(0, -1), "both from the front"),
        refused(lambda: Transpose(1, 1), "two dimensions"),
        dtypes=ANY,
    ),
    case(Transpose, shaped(3, None, 70), dtypes=ANY, name="Transpose of the last two"),
    case(lambda: Transpose(0, 1), shaped(None, 70), name="Transpose of two alone"),
    case(lambda: Transpose(-3, -1), shaped(2, 35, None, 5), name="Transpose around another"),
    case(
        lambda: Permute(2, 0, 3, 1),
        shaped(3, 40, None, 35),
        refused(lambda: Permute(0, 0), "each of 2 axes once"),
        refused(lambda: Permute(7, 6, 5, 4, 3, 2, 1, 0), "at most 6"),
        dtypes=ANY,
    ),
    case(lambda: Permute(2, 0, 1, 3), shaped(3, 4, None, 5), name="Permute of rows"),
    case(lambda: Permute(4, 1, 3, 0, 2), shaped(3, 4, None, 5, 6), name="Permute of five"),
    case(lambda: Permute(0, 1), shaped(3, None), name="Permute of nothing"),
    case(
        lambda: Concatenate(3, axis=1),
        joined,
        refused(lambda: Concatenate(0), "at least one"),
        unfit(Concatenate(2), (2, 3), (3, 3), message="already"),
        dtypes=ANY,
    ),
    case(lambda: Concatenate(2), shaped(2, None, names=("x0", "x1")), name="Concatenate along the last dimension"),
    case(
        lambda: Stack(3, axis=-2),
        shaped(2, None, 5, names=("x0", "x1", "x2")),
        refused(lambda: Stack(0), "at least one"),
        unfit(Stack(2), (2, 3), (3, 3), message="already"),
        dtypes=ANY,
    ),
    case(
        lambda: Pad((2, 1, -1, 3, 1, 0), value=1.5),
        shaped(2, None, 4, 5),
        refused(lambda: Pad((1,)), "not 1"),
        refused(lambda: Pad((1, 1), "mirror"), "not 'mirror'"),
        refused(lambda: Pad((-1, 1), "reflect"), "cannot be negative"),
        unfit(Pad((3, 0), "reflect"), (3,), message="at least 4"),
        unfit(Pad((4, 0), "circular"), (3,), message="at least 4"),
        unfit(Pad((-4, 0)), (3,), message="at least 4"),
        dtypes=(*FLOATS, "int32", "uint8"),
        hot={"value": -2.0},
    ),
    *(
        case(lambda mode=mode: Pad((2, 3, 1, 0), mode), shaped(3, 4, None, least=4), sizes=(4, 33), name=f"Pad {mode}")
        for mode in ("reflect", "replicate", "circular")
    ),
    case(
        lambda: Crop(4, 5),
        shaped(2, None, 8),
        refused(lambda: Crop(0, 1), "at least one row"),
        refused(lambda: Crop(1, 1, 0), "both top and left"),
        dtypes=ANY,
    ),
    case(lambda: Crop(4, 5, 1, 2), shaped(2, None, 8), hot={"top": -1, "left": 5}, name="Crop at a place"),
    *(
        Case(
            lambda dtype, target=target: Cast(target),
            wide,
            FLOATS if target in FLOATS else (*FLOATS[:2], "float16"),
            tolerances=dict.fromkeys(FLOATS, 1e-2 if target == "bfloat16" else 1e-3),
            sizes=(1, 63, 1000),
            name=f"Cast to {target}",
        )
        for target in ("float32", "bfloat16", "int32", "uint8", "bool")
    ),
    case(lambda: Cast("int16"), shaped(None), refused(lambda: Cast([("a", "f4")]), "scalar types"), dtypes=ANY),
    case(
        lambda: DTypeAdapter("float64"), shaped(None), refused(lambda: DTypeAdapter("int8"), "not int8"), dtypes=FLOATS
    ),
    case(Clone, shaped(None, 3), dtypes=ANY),
    case(lambda: Repeat(3, axis=1), shaped(2, None, 5), refused(lambda: Repeat(0), "at least one copy"), dtypes=ANY),
    case(lambda: Repeat(3, axis=1, interleaved=True), shaped(2, None, 5), name="Repeat interleaved"),
    case(lambda: Expand(4, axis=-2), shaped(2, None, 1, 5), unfit(Expand(4), (2, 3), message="2 is not 1"), dtypes=ANY),
    case(lambda: Roll(2), shaped(3, None), dtypes=ANY, hot={"shift": -40}),
    case(lambda: Roll(-1, axis=1), shaped(3, None, 5), hot={"shift": 4}, name="Roll of rows"),
    case(Flip, shaped(3, None), dtypes=ANY),
    case(lambda: Flip(0), shaped(None, 5), name="Flip of rows"),
    case(
        lambda: Gather(1),
        picked,
        Misuse(bind(Gather(), (2, 3), (2,)), cg.CompileError, "int32 or int64"),
        sizes=(1, 3, 34),
        dtypes=(*FLOATS, "int32", "uint8"),
    ),
    case(
        lambda: ImageToPatches((3, 4)),
        shaped(None, 2, 7, 8),
        refused(lambda: ImageToPatches(0), "at least 1"),
        unfit(ImageToPatches(4), (3, 2, 8), message="at least 4"),
        dtypes=ANY,
    ),
    case(lambda: ImageToPatches(3, 2), shaped(None, 2, 7, 8), name="ImageToPatches overlapping"),
    case(lambda: ImageToPatches(3, channels_last=True), shaped(None, 2, 7, 9), name="ImageToPatches channels last"),
    case(
        lambda: PatchesToImage((3, 4), 2, 6, 8),
        shaped(None, 4, 24),
        refused(lambda: PatchesToImage(3, 1, 7, 9), "do not fill"),
        dtypes=ANY,
    ),
    case(
        lambda: PatchesToImage(3, 2, 6, 9, channels_last=True), shaped(None, 6, 18), name="PatchesToImage channels last"
    ),
    Case(
        lambda dtype: DimensionAdapter(12, 20, dtype=dtype, seed=1),
        shaped(None, 12),
        FLOATS,
        sizes=SMALL,
        tolerances=SUMS,
        misuses=(
            refused(lambda: DimensionAdapter(0, 2), "at least 1"),
            refused(lambda: DimensionAdapter(3, 2, "max"), "not 'max'"),
        ),
    ),
    case(lambda: DimensionAdapter(4, 7, "fit"), shaped(None, 4), dtypes=ANY, name="DimensionAdapter with zeros"),
    case(lambda: DimensionAdapter(7, 4, "fit"), shaped(None, 7), name="DimensionAdapter cut off"),
    case(
        lambda: DimensionAdapter(7, 4, "mean"),
        shaped(None, 7),
        dtypes=FLOATS,
        tolerances=SUMS,
        name="DimensionAdapter mean",
    ),
    case(lambda: DimensionAdapter(7, 7), shaped(None, 7), name="DimensionAdapter of nothing"),
    case(
        lambda: SequenceLengthAdapter(10),
        shaped(2, None, 5),
        refused(lambda: SequenceLengthAdapter(0), "at least one token"),
        refused(lambda: SequenceLengthAdapter(3, "max"), "not 'max'"),
        dtypes=FLOATS,
        tolerances=SUMS,
    ),
    case(
        lambda: SequenceLengthAdapter(10, "mean"),
        shaped(2, None, 5),
        dtypes=FLOATS,
        tolerances=SUMS,
        name="SequenceLengthAdapter mean",
    ),
    case(
        lambda: SequenceLengthAdapter(10, "fit", offset=1),
        shaped(2, None, 5),
        dtypes=ANY,
        hot={"offset": -2},
        name="SequenceLengthAdapter fit",
    ),
    case(
        lambda: BatchAdapter(10),
        shaped(None, 5),
        refused(lambda: BatchAdapter(0), "at least one sample"),
        refused(lambda: BatchAdapter(1, "max"), "not 'max'"),
        dtypes=(*FLOATS, "int32", "uint8"),
        hot={"valid": 2},
    ),
    case(
        lambda: BatchAdapter(10, "tile"),
        shaped(None, 5),
        unfit(BatchAdapter(2, "tile"), (0, 3), message="at least 1"),
        name="BatchAdapter tile",
    ),
    case(
        lambda: BatchAdapter(3, "fold"),
        shaped(6, None, 2),
        unfit(BatchAdapter(3, "fold"), (2, 2, 2), message="does not hold 4"),
        name="BatchAdapter fold",
    ),
]
