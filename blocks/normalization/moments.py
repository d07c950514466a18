"""Launches of the norms whose rows are too long, or too scattered, for one thread block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cudagraph.builder import BlockBuilder
from cudagraph.option import Option
from cudagraph.parameter import Parameter
from cudagraph.port import Port
from cudagraph.shape import ceil_div, maximum, minimum
from cudagraph.tensor import Scratch, State, Weight

PIECES = 32  # at most, into which a row is cut: one to a lane of a warp


@dataclass(frozen=True)
class Settings:
    """What the kernels that apply a norm per channel take."""

    eps: Parameter[float]
    weight: Weight | None
    bias: Weight | None
    activation: Option
    momentum: Parameter[float] | float = 0.0
    training: Parameter[int] | int = 1
    mean: State | None = None
    variance: State | None = None
    batches: State | None = None
    cumulative: bool = False

    def arguments(self, x: Port, parts: Scratch) -> dict[str, Any]:
        """Their arguments, and any array for those that the macros say are not there."""
        define = {"ACTIVATION": self.activation, "AFFINE": int(self.weight is not None)}
        define["RUNNING"] = 0 if self.mean is None else 2 if self.cumulative else 1
        return {
            "define": define,
            "weight": self.weight or x,
            "bias": self.bias or x,
            "eps": self.eps,
            "parts": parts,
            "running_mean": self.mean or parts,
            "running_var": self.variance or parts,
            "momentum": self.momentum,
            "training": self.training,
        }


@dataclass(frozen=True)
class Rows:
    """Rows of x to take the moments of: `segments` pieces of memory of `length` elements each, `stride` apart."""

    count: Any
    row_stride: Any
    segments: Any
    length: Any
    stride: Any

    @property
    def total(self) -> Any:
        """Elements of a row."""
        return self.segments * self.length

    @property
    def pieces(self) -> Any:
        """Into how many pieces a row is cut."""
        return minimum(PIECES, maximum(1, ceil_div(self.total, 8192)))


def scratch_for(b: BlockBuilder, rows: Any, pieces: Any, dtype: Any) -> tuple[Scratch, Scratch]:
    """Memory for the moments of pieces, and a place that stands for a counter where there is none."""
    return b.scratch((rows, pieces, 2), dtype), b.scratch((), "int64")


def by_planes(
    b: BlockBuilder,
    x: Port,
    y: Port,
    rows: Rows,
    channels: int,
    grouped: int,
    positions: Any,
    settings: Settings,
    scratch: tuple[Scratch, Scratch],
) -> None:
    """y of x: [batch, channels, positions]; `grouped` neighbouring planes share moments (0: a channel's do)."""
    planes = x.size // maximum(1, positions)
    parts, batches = scratch[0], settings.batches or scratch[1]
    pieces = rows.pieces
    piece = ceil_div(rows.total, pieces * 64) * 64
    counted = settings.batches is not None
    cut = {"piece": piece, "pieces": pieces}
    b.kernel(
        "normalization/moments", threads=256, grid=maximum(1, rows.count * pieces), define={"COUNTED": int(counted)},
        x=x, parts=parts, batches=batches, used=settings.training,
        row_stride=rows.row_stride, segments=rows.segments, length=rows.length, stride=rows.stride, **cut,
    )  # fmt: skip
    lanes = 32 * minimum(8, maximum(1, ceil_div(positions, 512)))
    together, strip = 256 // lanes, lanes * 64
    strips = maximum(1, ceil_div(positions, strip))
    b.kernel(
        "normalization/normalize_planes", threads=(lanes, together),
        grid=maximum(1, ceil_div(planes, together)) * strips, **settings.arguments(x, parts),
        x=x, y=y, batches=batches, planes=planes, channels=channels, grouped=grouped,
        positions=positions, strips=strips, strip=strip, total=rows.total, **cut,
    )  # fmt: skip


def by_columns(
    b: BlockBuilder, x: Port, y: Port, columns: int, settings: Settings, scratch: tuple[Scratch, Scratch]
) -> None:
    """y of x: [rows, columns], with moments per column."""
    parts, batches = scratch[0], settings.batches or scratch[1]
    rows, tiles = x.size // columns, -(-columns // 32)
    pieces = minimum(PIECES, maximum(1, ceil_div(rows, 128)))
    piece = maximum(1, ceil_div(rows, pieces))
    shared = {"x": x, "batches": batches, "rows": rows, "columns": columns, "tiles": tiles, "piece": piece}
    b.kernel(
        "normalization/moments_columns", threads=(32, 8), grid=tiles * pieces, **shared,
        define={"COUNTED": int(settings.batches is not None)}, parts=parts, used=settings.training,
    )  # fmt: skip
    b.kernel(
        "normalization/normalize_columns", threads=(32, 8), grid=maximum(1, ceil_div(rows, 64)) * tiles,
        **settings.arguments(x, parts), **shared, y=y, strip=64, pieces=pieces,
    )  # fmt: skip
