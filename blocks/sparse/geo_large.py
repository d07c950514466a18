"""The kernels of a stack whose grid does not fit shared memory: a tile at a time, or a layer at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum, minimum
from cudagraph.tensor import Weight
from cudagraph.work import Operand

from .connectivity import GeoConnectivity
from .index_table import Connectivity
from .packed_rows import FILL, LEAST_ROWS, MOST_PIECES, TILE, packed_rows, spans

TALL, BROAD, WIDEST_HALO = 16, 32, 4  # a tile of kernels/sparse/geo_tile.cu, and cells around it that still fit
LIKELY_HALO = 2  # up to which it is worth to compute hidden numbers of the halo twice


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
    batches: Operand | None = None


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
    pieces = minimum(min(tiles, MOST_PIECES), maximum(1, 16 * FILL // groups))
    sizes = {"HEIGHT": grid.height, "WIDTH": grid.width, "HALO": grid.halo, "ROWS": together, "NORM": large.norm}
    unused = b.scratch((1,), large.wide)
    before, parts = large.x, _first_parts(b, large, unused)
    _moments(b, large, parts)
    for layer, made in enumerate(_parts_between(b, large, 0, pieces, unused)):
        last = layer == large.depth - 1
        after = large.result if last else large.scratch(b)
        b.kernel(
            "sparse/geo_tile",
            threads=256,
            grid=(groups, pieces),
            shared=together * cells * (8 if double else 4),
            define={**large.define, **sizes, "MOMENTS": 0 if last else large.norm},
            x=before,
            y=after,
            weight1=large.weights[0],
            bias1=large.bias(0),
            weight2=large.weights[1],
            bias2=large.bias(1),
            parts_in=parts.memory,
            piece_in=parts.piece,
            pieces_in=parts.pieces,
            parts=made.memory,
            pieces=pieces,
            rows=large.rows,
            layer=layer,
            **large.operands,
        )
        before, parts = after, made


def describe_hops(b: BlockBuilder, large: Large, packed: bool) -> None:
    """Two kernels for each block, before them one for the moments of the input, or to pack it where rows are many."""
    hidden, unused = large.scratch(b), b.scratch((1,), large.wide)
    first = _first_parts(b, large, unused)
    together = _together(large.rows, 8)
    span, pieces = spans(maximum(1, ceil_div(large.rows, together)), large.features)
    each = _parts_between(b, large, span * TILE, pieces, unused)
    launch: dict[str, Any] = {"grid": (maximum(1, ceil_div(large.rows, together)), pieces), "span": span}
    if not packed:
        _moments(b, large, first)
        _hops(b, large, "sparse/geo_hop", launch, (large.x, hidden, large.result), [first, *each], {"ROWS": together})
        return
    state = packed_rows(b, large.rows, large.features, large.dtype)
    between = b.scratch(state.memory.shape, large.dtype)
    wide = state.launch(large.features)
    own = Parts(unused, wide["span"] * TILE, ceil_div(large.features, wide["span"] * TILE))
    if large.norm:
        own = replace(own, memory=b.scratch((large.rows, own.pieces, 2), large.wide))
    later = _parts_between(b, large, own.piece, own.pieces, unused)
    with b.where(large.rows < LEAST_ROWS):
        _moments(b, large, first)
        _hops(b, large, "sparse/geo_hop", launch, (large.x, hidden, large.result), [first, *each], {"ROWS": together})
    with b.where(large.rows >= LEAST_ROWS):
        state.pack(b, large.x, large.norm, own.memory)
        _hops(b, large, "sparse/geo_hop_packed", wide, (state.memory, between, state.memory), [own, *later], {})


def _hops(
    b: BlockBuilder,
    large: Large,
    kernel: str,
    launch: Mapping[str, Any],
    tensors: tuple[Operand, Operand, Operand],
    parts: Sequence[Parts],
    define: Mapping[str, Any],
) -> None:
    """The two kernels of each block: from the input to the hidden layer, and to the state, which is the next input."""
    before, hidden, state = tensors
    in_rows = kernel.endswith("geo_hop")
    for layer in range(large.depth):
        last = layer == large.depth - 1
        for stage, source, target in ((1, before, hidden), (2, hidden, state)):
            final = stage == 2 and last and not in_rows
            macros = {**large.define, **define, "STAGE": stage, "NORM": large.norm if stage == 1 else 0}
            macros |= {"MOMENTS": 0 if last or stage == 1 else large.norm} | ({"LAST": 1} if final else {})
            b.kernel(
                kernel,
                define=macros,
                **{"from": source},
                x=before,
                y=large.result if final else target,
                weight=large.weights[stage - 1],
                bias=large.bias(stage - 1),
                parts_in=parts[layer].memory,
                piece=parts[layer].piece,
                pieces=parts[layer].pieces,
                parts=parts[layer + 1].memory,
                rows=large.rows,
                features=large.features,
                layer=layer,
                threads=TILE,
                **{name: value for name, value in launch.items() if name != "threads"},
                **large.operands,
            )
        before = state


def _together(rows: Any, most: int) -> Any:
    """Rows that lie side by side: 1, 2, 4 or 8."""
    return minimum(most, 1 + (rows >= 2) + 2 * (rows >= 4) + 4 * (rows >= 8))


def _first_parts(b: BlockBuilder, large: Large, unused: Operand) -> Parts:
    """Memory for the moments of every row of x: later blocks find those that the block before has left."""
    if not large.norm:
        return Parts(unused, 1, 1)
    pieces = minimum(32, maximum(1, ceil_div(2 * FILL, maximum(1, large.rows))))
    piece = ceil_div(large.features, pieces * 64) * 64
    return Parts(b.scratch((large.rows, pieces, 2), large.wide), piece, pieces, b.scratch((1,), "int64"))


def _parts_between(b: BlockBuilder, large: Large, piece: Any, pieces: Any, unused: Operand) -> list[Parts]:
    """Memory for the moments that each block leaves to the next one; the last one leaves none."""
    kept = [bool(large.norm) and layer < large.depth - 1 for layer in range(large.depth)]
    return [Parts(b.scratch((large.rows, pieces, 2), large.wide) if one else unused, piece, pieces) for one in kept]


def _moments(b: BlockBuilder, large: Large, parts: Parts) -> None:
    if not large.norm:
        return
    b.kernel(
        "normalization/moments", threads=256, grid=maximum(1, large.rows * parts.pieces), define={"COUNTED": 0},
        x=large.x, parts=parts.memory, batches=parts.batches, used=1, row_stride=large.features, segments=1,
        length=large.features, stride=large.features, piece=parts.piece, pieces=parts.pieces,
    )  # fmt: skip
