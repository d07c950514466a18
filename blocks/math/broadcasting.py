"""What the kernels with `broadcast.cuh` take: sizes, strides and macros of an iteration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.iteration import OUTER, Iteration
from cudagraph.port import Port
from cudagraph.shape import DimSpec, PortSpan, SizeLike

FLOATING = ("float16", "bfloat16", "float32", "float64")


def launch_rows(
    b: BlockBuilder,
    kernel: str,
    iteration: Iteration,
    operands: tuple[str, ...],
    define: Mapping[str, Any],
    /,
    **bound: Any,
) -> None:
    """Launch a kernel of `broadcast.cuh`; `operands` are the single letters that its strides begin with."""
    sizes: dict[str, SizeLike] = {f"e{i}": iteration.extent(i) for i in range(OUTER - 1)}
    sizes |= {f"{name}{k}": iteration.stride(name, k) for name in operands for k in range(OUTER)}
    macros = {"RANK": iteration.rank, **{f"STEP_{name.upper()}": iteration.step(name) for name in operands}}
    b.kernel(
        kernel,
        **iteration.launch(),
        define={**macros, **define},
        rows=iteration.rows,
        columns=iteration.columns,
        **sizes,
        **bound,
    )


def channel_shape(features: int, axis: int) -> tuple[DimSpec, ...]:
    """A shape of any rank with `features` along `axis`."""
    if axis < 0:
        return (..., features, *(f"after{i}" for i in range(-axis - 1)))
    return (*(f"before{i}" for i in range(axis)), features, ...)


def channel_spans(x: Port, features: int, axis: int) -> tuple[SizeLike, ...]:
    """The port as [everything before the channels, channels, everything after]."""
    return PortSpan(x, None, axis), features, PortSpan(x, axis + 1, None) if axis != -1 else 1


def spread(values: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """One value per channel, shaped so that NumPy broadcasts it along `axis` of a tensor of this rank."""
    after = rank - 1 - axis if axis >= 0 else -axis - 1
    return values.reshape(-1, *[1] * after)


def check_channels(subject: str, features: int, dtype: str) -> None:
    """`DescriptionError` unless there are channels of a type that is computed in."""
    if features < 1:
        raise DescriptionError(f"{subject} has at least one feature, not {features}")
    if dtype not in FLOATING:
        raise DescriptionError(f"{subject} computes in {', '.join(FLOATING)}, not {dtype!r}")
