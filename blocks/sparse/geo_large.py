"""The kernels of a stack whose grid does not fit shared memory: a tile at a time, or a layer at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum, minimum
from cudagraph.tensor import Weight
from cudagraph.work import Operand

from .connectivity import GeoConnectivity
from .geo_sparse_linear import TILE, gather_launch
from .index_table import Connectivity

FILL = 132  # thread blocks that give each multiprocessor of a large GPU one
TALL, BROAD, WIDEST_HALO = 16, 32, 4  # a tile of kernels/sparse/geo_tile.cu, and cells around it that still fit
LIKELY_HALO = 2  # up to which it is worth to compute hidden numbers of the halo twice
_MOST_PIECES = 256  # of a row's moments


@dataclass(frozen=True)
class Large:
    """What the kernels of all blocks of a stack take: macros, operands, and the weights of both layers."""

    x: Operand
    result: Operand
    batch: tuple[Any, ...]
    dtype: object
    features: int
    depth: int
    norm: int
    wide: str
    rows: Any
    define: Mapping[str, Any]
    operands: Mapping[str, Any]
    weights: tuple[Weight, Weight]
    biases: tuple[Weight | None, Weight | None]

    def bias(self, layer: int) -> Operand:
        """A bias; where there is none, any array of its type."""
        return self.biases[layer] or self.weights[layer]

    def scratch(self, b: BlockBuilder) -> Operand:
        """Memory for all rows of a layer."""
        return b.scratch((*self.batch, self.features), self.dtype)


@dataclass(frozen=True)
class Parts:
    """Moments of rows in pieces of `piece` numbers, or of a kernel's own making where that is 0."""

    memory: Operand
    piece: Any
    pieces: Any


@dataclass(frozen=True)
class Grid:
    """The grid of a stack that is computed tile by tile, and how far its neighbours are at first."""

    height: int
    width: int
    halo: int


def grid_of(connectivity: Sequence[Connectivity], tile: bool | None) -> Grid | None:
    """The grid, where rules say that it is one and its neighbours are near, or where tiles are asked for."""
    if tile not in (None, False, True):
        raise DescriptionError(f"tile is True, False, or None to choose by the rules, not {tile!r}")
    rules = [rule for rule in connectivity if isinstance(rule, GeoConnectivity)]
    known = len(rules) == len(connectivity) and len({rule.shape for rule in rules}) == 1
    if tile and not known:
        raise DescriptionError("tile=True needs a GeoConnectivity for each block, all of one shape, to know the grid")
    reach = max((rule.reach for rule in rules), default=0)
    if tile is False or not known or (tile is None and reach > LIKELY_HALO):
        return None
    return Grid(*rules[0].shape, min(reach, WIDEST_HALO))


def describe_tiles(b: BlockBuilder, large: Large, grid: Grid) -> None:
    """One kernel for each block, and the moments of the first one's input."""
    double = large.wide == "float64"
    tiles = ceil_div(grid.height, TALL) * ceil_div(grid.width, BROAD)
    cells = sum((TALL + 2 * halo) * (BROAD + 2 * halo) for halo in (grid.halo, 2 * grid.halo))
    together = _together(large.rows, 2 if double else 8)
    groups = maximum(1, ceil_div(large.rows, together))
    pieces = minimum(min(tiles, _MOST_PIECES), maximum(1, 16 * FILL // groups))
    sizes = {"HEIGHT": grid.height, "WIDTH": grid.width, "HALO": grid.halo, "ROWS": together, "NORM": large.norm}
    unused = b.scratch((1,), large.wide)
    before, parts = large.x, _first_moments(b, large, unused)
    for layer in range(large.depth):
        last = layer == large.depth - 1
        after = large.result if last else large.scratch(b)
        kept = large.norm and not last
        made = Parts(b.scratch((large.rows, pieces, 2), large.wide) if kept else unused, 0, pieces)
        b.kernel(
            "sparse/geo_tile",
            threads=256,
            grid=(groups, pieces),
            shared=together * cells * (8 if double else 4),
            define={**large.define, **sizes, "MOMENTS": large.norm if kept else 0},
            x=before,
            y=after,
            weight1=large.weights[0],
            bias1=large.bias(0),
            weight2=large.weights[1],
            bias2=large.bias(1),
            **_read(parts),
            parts=made.memory,
            pieces=pieces,
            rows=large.rows,
            layer=layer,
            **large.operands,
        )
        before, parts = after, made


def describe_hops(b: BlockBuilder, large: Large) -> None:
    """Two kernels for each block, and the moments of the first one's input."""
    hidden = large.scratch(b)
    unused = b.scratch((1,), large.wide)
    together, launch = gather_launch(large.rows, large.features)
    groups, tiles = launch["grid"]
    span = maximum(maximum(1, groups * tiles // (8 * FILL)), ceil_div(tiles, _MOST_PIECES))
    pieces = ceil_div(tiles, span)
    before, parts = large.x, _first_moments(b, large, unused)
    for layer in range(large.depth):
        kept = large.norm and layer < large.depth - 1
        made = Parts(b.scratch((large.rows, pieces, 2), large.wide) if kept else unused, span * TILE, pieces)
        for stage, source, target in ((1, before, hidden), (2, hidden, large.result)):
            sizes = {"STAGE": stage, "ROWS": together, "NORM": large.norm if stage == 1 else 0}
            b.kernel(
                "sparse/geo_hop",
                threads=TILE,
                grid=(groups, pieces),
                define={**large.define, **sizes, "MOMENTS": large.norm if kept and stage == 2 else 0},
                **{"from": source},
                x=before,
                y=target,
                weight=large.weights[stage - 1],
                bias=large.bias(stage - 1),
                parts_in=parts.memory,
                piece=parts.piece,
                pieces=parts.pieces,
                parts=made.memory,
                span=span,
                rows=large.rows,
                features=large.features,
                layer=layer,
                **large.operands,
            )
        before, parts = large.result, made


def _together(rows: Any, most: int) -> Any:
    """Rows that lie side by side: 1, 2, 4 or 8."""
    return minimum(most, 1 + (rows >= 2) + 2 * (rows >= 4) + 4 * (rows >= 8))


def _read(parts: Parts) -> dict[str, Any]:
    return {"parts_in": parts.memory, "piece_in": parts.piece, "pieces_in": parts.pieces}


def _first_moments(b: BlockBuilder, large: Large, unused: Operand) -> Parts:
    """The moments of every row of x: later blocks find those that the block before has left."""
    if not large.norm:
        return Parts(unused, 1, 1)
    rows = large.rows
    pieces = minimum(32, maximum(1, ceil_div(2 * FILL, maximum(1, rows))))
    piece = ceil_div(large.features, pieces * 64) * 64
    parts = Parts(b.scratch((rows, pieces, 2), large.wide), piece, pieces)
    batches = b.scratch((1,), "int64")
    b.kernel(
        "normalization/moments", threads=256, grid=maximum(1, rows * pieces), define={"COUNTED": 0},
        x=large.x, parts=parts.memory, batches=batches, used=1, row_stride=large.features, segments=1,
        length=large.features, stride=large.features, piece=piece, pieces=pieces,
    )  # fmt: skip
    return parts
