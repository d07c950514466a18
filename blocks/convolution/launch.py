"""Launch shapes of the convolution and pooling kernels, and their spatial arguments."""

from __future__ import annotations

from functools import reduce
from operator import mul
from typing import Any

from cudagraph.port import Port
from cudagraph.shape import ceil_div, maximum, minimum

from .window import Window, three


def lengths(x: Port, rank: int) -> list[Any]:
    """The spatial lengths of x: its last `rank` dimensions."""
    return [x.shape[axis] for axis in range(-rank, 0)]


def product(values: Any) -> Any:
    """All of them multiplied."""
    return reduce(mul, values)


def samples(x: Port, channels: int, rank: int) -> Any:
    """Product of the leading dimensions of x: [..., channels, spatial...]."""
    return x.size // (channels * product(lengths(x, rank)))


def spatial(x: Port, window: Window) -> dict[str, Any]:
    """The kernels' arguments depth, height, width and out_depth, out_height, out_width."""
    inner = lengths(x, window.rank)
    names = ("depth", "height", "width")
    arguments: dict[str, Any] = dict(zip(names, three(inner, 1), strict=True))
    outer = three(window.outputs(inner), 1)
    return arguments | {f"out_{name}": value for name, value in zip(names, outer, strict=True)}


def rows_of(width: Any, rows: Any) -> dict[str, Any]:
    """`threads`, grid along x and `strips` for a thread per position: lanes along the width, rows beside each other."""
    lanes = minimum(128, 8 * ceil_div(width, 8))
    beside = 256 // lanes
    strips = ceil_div(width, lanes)
    return {"threads": (lanes, beside), "grid": maximum(1, ceil_div(rows, beside)) * strips, "strips": strips}
