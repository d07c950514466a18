"""Convolutions and poolings. Padded so that an input of one element is enough for a window."""

from __future__ import annotations

from typing import Any

import numpy as np
from block_case import FLOATS, TOLERANCES, Case, Misuse

import cudagraph as cg
from cudagraph.blocks import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    ChannelAdapter,
    ChannelGate,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    DepthwiseConv,
    DilatedConv,
    FrozenBatchNorm2d,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)

SUMS = {"float64": 1e-13, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
ROUNDED = TOLERANCES | {"float32": 3e-6, "float16": 2e-3, "bfloat16": 1e-2}
SIZES = (1, 3, 63, 130)


def images(*channels_and_more: int, residual: tuple[int, ...] = ()) -> Any:
    """Arrays of these dimensions and a last one of `size`, one or two samples."""

    def make(random: np.random.Generator, size: int, dtype: np.dtype[Any]) -> dict[str, np.ndarray]:
        batch = 1 + size % 2
        arrays = {"x": random.standard_normal((batch, *channels_and_more, size)).astype(dtype)}
        if residual:
            arrays["residual"] = random.standard_normal((batch, *residual, size)).astype(dtype)
        return arrays

    return make


def bind(block: cg.Block, *shape: int) -> Any:
    def attempt(engine: cg.CudaEngine) -> None:
        engine.bind(engine.add(block).x, np.zeros(shape, np.float32))
        engine.update()

    return attempt


def wrong(make: Any, message: str) -> Misuse:
    return Misuse(lambda engine: make(), cg.DescriptionError, message)


CASES = [
    Case(
        lambda dtype: Conv2d(5, 12, 3, padding=1, activation="relu", dtype=dtype, seed=1, library="cublas"),
        images(5, 4),
        FLOATS,
        SIZES,
        hot={"activation": "gelu"},
        tolerances=SUMS,
        misuses=(
            Misuse(bind(Conv2d(5, 12, 3), 1, 4, 9, 9), cg.ShapeError, "4 is not 5"),
            Misuse(bind(Conv2d(5, 12, 3), 1, 5, 2, 9), cg.ShapeError, "spans 3 does not fit into 2"),
            wrong(lambda: Conv2d(0, 4, 3), "at least one channel"),
            wrong(lambda: Conv2d(4, 6, 3, groups=3), "3 groups do not divide 4 -> 6"),
            wrong(lambda: Conv2d(4, 6, (3, 3, 3)), "kernel_size is 2 numbers"),
            wrong(lambda: Conv2d(4, 6, 3, stride=0), "stride is 2 numbers, each at least 1"),
            wrong(lambda: Conv2d(4, 6, 3, padding="full"), "'same', 'valid' or 'causal'"),
            wrong(lambda: Conv2d(4, 6, 3, 2, padding="same"), "wants stride 1"),
            wrong(lambda: Conv2d(4, 6, 3, padding_mode="reflect"), "pads with zeros"),
            wrong(lambda: Conv2d(4, 6, 3, dtype="int8"), "computes in float16"),
        ),
    ),
    Case(
        lambda dtype: Conv2d(
            4, 8, 3, padding=1, groups=2, activation="relu", residual=True, dtype=dtype, seed=2, library="direct"
        ),
        images(4, 6, residual=(8, 6)),
        FLOATS,
        SIZES,
        hot={"activation": "none"},
        tolerances=SUMS,
        name="Conv2d without library",
    ),
    Case(
        lambda dtype: Conv2d(
            4, 8, 3, 2, 1, groups=2, activation="relu", residual=True, dtype=dtype, seed=2, library="cudnn"
        ),
        lambda random, size, dtype: {
            "x": random.standard_normal((2, 4, 5, size)).astype(dtype),
            "residual": random.standard_normal((2, 8, 3, (size + 1) // 2)).astype(dtype),
        },
        FLOATS,
        SIZES,
        hot={"activation": "none"},
        tolerances=SUMS,
        misuses=(
            wrong(
                lambda: Conv2d(4, 8, 3, library=True), "'cublas', 'cudnn', 'direct' or None, which chooses, not True"
            ),
        ),
        name="Conv2d by cuDNN",
    ),
    *(
        Case(
            lambda dtype, library=library: Conv2d(
                4, 8, 3, padding=1, residual=True, shift=True, dtype=dtype, seed=2, library=library
            ),
            lambda random, size, dtype: {
                "x": random.standard_normal((2, 4, 5, size)).astype(dtype),
                "residual": random.standard_normal((2, 8, 5, size)).astype(dtype),
                "shift": random.standard_normal((2, 8)).astype(dtype),
            },
            FLOATS,
            SIZES,
            tolerances=SUMS,
            name=f"Conv2d with a shift, library={library}",
        )
        for library in ("cublas", "direct", "cudnn")
    ),
    Case(
        lambda dtype: Conv2d(16, 8, 1, bias=False, dtype=dtype, seed=3),
        images(16, 3),
        ("float32", "float16"),
        SIZES,
        tolerances=SUMS,
        name="Conv2d of one element",
    ),
    Case(
        lambda dtype: Conv1d(6, 9, 5, 2, padding="causal", dilation=2, dtype=dtype, seed=4),
        images(6),
        sizes=SIZES,
        tolerances=SUMS,
    ),
    Case(
        lambda dtype: Conv3d(3, 8, (3, 1, 3), padding=(1, 0, 1), stride=(1, 2, 2), dtype=dtype, seed=5),
        images(3, 3, 2),
        sizes=SIZES,
        tolerances=SUMS,
    ),
    Case(
        lambda dtype: ConvTranspose1d(4, 6, 4, 2, 1, groups=2, activation="relu", dtype=dtype, seed=6),
        images(4),
        FLOATS,
        SIZES,
        hot={"activation": "none"},
        tolerances=SUMS,
        misuses=(
            wrong(lambda: ConvTranspose1d(4, 6, 3, output_padding=1), "has to be smaller than stride"),
            wrong(lambda: ConvTranspose1d(4, 6, 3, padding_mode="reflect"), "as numbers"),
            wrong(lambda: ConvTranspose1d(4, 6, 3, groups=2, library="cublas"), "no library path"),
        ),
    ),
    Case(
        lambda dtype: ConvTranspose2d(8, 5, 3, 2, 1, 1, dtype=dtype, seed=7),
        images(8, 3),
        FLOATS,
        SIZES,
        tolerances=SUMS,
    ),
    Case(
        lambda dtype: ConvTranspose3d(8, 3, (1, 3, 2), (1, 2, 2), dtype=dtype, bias=False, seed=8),
        images(8, 2, 3),
        sizes=SIZES,
        tolerances=SUMS,
    ),
    Case(
        lambda dtype: MaxPool2d(3, 2, 1),
        images(3, 5),
        FLOATS,
        SIZES,
        misuses=(
            wrong(lambda: MaxPool2d(3, padding=2), "at most half its window"),
            Misuse(bind(MaxPool2d(3), 1, 1, 2, 5), cg.ShapeError, "does not fit"),
            Misuse(
                lambda engine: (engine.bind(engine.add(MaxPool2d(1)).x, np.zeros((2, 2), np.int32)), engine.update()),
                cg.CompileError,
                "pool takes",
            ),
        ),
    ),
    Case(lambda dtype: MaxPool1d(3, 1, 1, dilation=1, ceil_mode=True), images(3), sizes=SIZES),
    Case(lambda dtype: MaxPool3d((1, 2, 3), padding=(0, 1, 1)), images(2, 2, 3), sizes=SIZES),
    Case(
        lambda dtype: AvgPool1d(3, 2, 1, ceil_mode=True),
        images(3),
        FLOATS,
        SIZES,
        tolerances=ROUNDED,
        misuses=(wrong(lambda: AvgPool1d(3, divisor_override=0), "other than 0"),),
    ),
    Case(
        lambda dtype: AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        images(3, 5),
        sizes=SIZES,
        tolerances=ROUNDED,
    ),
    Case(
        lambda dtype: AvgPool3d((1, 2, 3), padding=(0, 1, 1), divisor_override=5),
        images(2, 2, 3),
        sizes=SIZES,
        tolerances=ROUNDED,
    ),
    Case(
        lambda dtype: AdaptiveAvgPool2d((3, 4)),
        images(3, 5),
        FLOATS,
        SIZES,
        tolerances=ROUNDED,
        misuses=(wrong(lambda: AdaptiveAvgPool2d((3, 0)), "each at least 1 or None"),),
    ),
    Case(lambda dtype: AdaptiveAvgPool1d(5), images(3), sizes=SIZES, tolerances=ROUNDED),
    Case(lambda dtype: AdaptiveAvgPool3d((2, None, 3)), images(2, 3, 4), sizes=SIZES, tolerances=ROUNDED),
    Case(lambda dtype: AdaptiveMaxPool1d(5), images(3), sizes=SIZES),
    Case(lambda dtype: AdaptiveMaxPool2d(4), images(3, 5), FLOATS, sizes=SIZES),
    Case(lambda dtype: AdaptiveMaxPool3d((2, None, 3)), images(2, 3, 4), sizes=SIZES),
    Case(
        lambda dtype: GlobalAvgPool(),
        images(3, 5),
        FLOATS,
        (*SIZES, 1025),
        tolerances=ROUNDED,
        misuses=(wrong(lambda: GlobalAvgPool(4), "1, 2 or 3"),),
    ),
    Case(lambda dtype: GlobalMaxPool(dims=1), images(3, 5), FLOATS, SIZES),
    Case(
        lambda dtype: DepthwiseConv(5, 3, padding=1, multiplier=2, activation="relu", dtype=dtype, seed=9),
        images(5, 6),
        FLOATS,
        SIZES,
        hot={"activation": "none"},
        tolerances=SUMS,
        misuses=(wrong(lambda: DepthwiseConv(4, 3, dims=4), "1, 2 or 3 spatial dimensions"),),
    ),
    Case(lambda dtype: DilatedConv(4, 8, 3, dtype=dtype, seed=10), images(4, 5), sizes=SIZES, tolerances=SUMS),
    Case(
        lambda dtype: FrozenBatchNorm2d(4, activation="relu", residual=True, dtype=dtype),
        images(4, 5, residual=(4, 5)),
        FLOATS,
        SIZES,
        hot={"eps": 0.5, "activation": "none"},
        tolerances=SUMS,
        misuses=(wrong(lambda: FrozenBatchNorm2d(0), "at least one feature"),),
    ),
    Case(
        lambda dtype: ChannelGate(),
        lambda random, size, dtype: {
            "x": random.standard_normal((2, 3, 5, size)).astype(dtype),
            "gate": random.standard_normal((2, 3)).astype(dtype),
        },
        FLOATS,
        SIZES,
        tolerances=ROUNDED,
    ),
    Case(
        lambda dtype: ChannelAdapter(3, 1, "luma", dtype=dtype),
        images(3, 5),
        sizes=SIZES,
        tolerances=SUMS,
        misuses=(
            wrong(lambda: ChannelAdapter(3, 2, "mean"), "goes from 3 to 1 channels, not from 3 to 2"),
            wrong(lambda: ChannelAdapter(3, 1, "grey"), "'learned', 'mean'"),
        ),
    ),
]
