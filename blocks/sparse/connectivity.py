"""Which inputs feed which outputs of a layer on a grid: tables made by rules, in NumPy, without a loop over outputs."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cudagraph.errors import DescriptionError

PATTERNS = ("local", "random", "hash")
WRAP_MODES = ("clamp", "wrap")
_CHUNK = 1 << 16  # outputs at a time: what they need stays in the cache

Offset = tuple[int, int]


@dataclass(frozen=True)
class GeoConnectivity:
    """A rule that gives every cell of a grid its `k` neighbours; `table` is what it comes to.

    A cell's candidates are itself moved by each offset (row, column): the given `offsets` in their order, else the
    square window of `radius` from the upper left. Where a candidate leaves the grid, each coordinate is clamped to the
    border, or wrapped round with wrap_mode="wrap"; so a candidate may occur twice.

    pattern: "local" takes the first k candidates, again from the start where there are fewer; "random" draws k of them
    with one generator for the layer (NumPy's PCG64, seeded with `seed`; None is a new one each time); "hash" draws
    from a hash of seed, output and draw, so that an output's neighbours do not depend on the grid's size. Draws repeat
    unless allow_repeats=False, which leaves out repeated candidates in every pattern.

    `out_shape` is another grid of outputs: each looks at the input cell below its centre. Rows before columns: cell
    (row, column) is number row * width + column. `DescriptionError` for values that cannot be; a warning when k
    exceeds the candidates that differ, with the radius that would serve. Rules as in psann's geo-sparse layers.
    """

    shape: tuple[int, int]
    k: int = 8
    pattern: str = "local"
    radius: int = 1
    offsets: tuple[Offset, ...] | None = None
    wrap_mode: str = "clamp"
    seed: int | None = 0
    include_self: bool = True
    allow_repeats: bool = True
    out_shape: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__  # of a frozen dataclass: the values in their checked form
        set_(self, "shape", _grid("shape", self.shape))
        set_(self, "out_shape", None if self.out_shape is None else _grid("out_shape", self.out_shape))
        set_(self, "k", _at_least("k", self.k, 1))
        set_(self, "radius", _at_least("radius", self.radius, 0))
        set_(self, "pattern", _choice("pattern", self.pattern, PATTERNS))
        set_(self, "wrap_mode", _choice("wrap_mode", self.wrap_mode, WRAP_MODES))
        set_(self, "offsets", None if self.offsets is None else tuple(map(_offset, self.offsets)))
        if not len(self.window):
            raise DescriptionError(
                "a geo connectivity needs at least one offset besides (0, 0), which include_self=False leaves out"
            )
        if self.pattern == "local" and self.allow_repeats:
            self._warn_of_duplicates()

    @property
    def inputs(self) -> int:
        """Number of input cells."""
        return self.shape[0] * self.shape[1]

    @property
    def outputs(self) -> int:
        """Number of output cells."""
        rows, columns = self.out_shape or self.shape
        return rows * columns

    @cached_property
    def window(self) -> np.ndarray:
        """The offsets, in order. int64 [offsets, 2]."""
        offsets: Iterable[Offset] = self.offsets if self.offsets is not None else _square(self.radius)
        kept = [offset for offset in offsets if self.include_self or offset != (0, 0)]
        return np.array(kept, np.int64).reshape(-1, 2)

    @property
    def reach(self) -> int:
        """How many rows or columns the farthest input is away from its output's cell, on a grid that goes on."""
        used = self.window[: self.k] if self.pattern == "local" and self.allow_repeats else self.window
        return int(np.abs(used).max())

    @cached_property
    def table(self) -> np.ndarray:
        """The inputs of each output. int32 [outputs, k], read-only."""
        rows, columns = self._coordinates()
        if self.pattern == "local" and self.allow_repeats:
            order = np.arange(self.k) % len(self.window)
            table = (rows[:, None, order] + columns[None, :, order]).reshape(-1, self.k)
        else:
            table = np.empty((self.outputs, self.k), np.int32)
            random = np.random.default_rng(self.seed)
            for at in range(0, self.outputs, _CHUNK):
                outputs = np.arange(at, min(at + _CHUNK, self.outputs))
                table[at : at + _CHUNK] = self._drawn(outputs, rows, columns, random)
        table.flags.writeable = False
        return table

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """The same as a list of edges: int32 source and target [outputs * k], by target."""
        return edge_list(self.table)

    def _coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """What candidates add to the cell number, by row and by column: int32 [rows, window], [columns, window]."""
        found = []
        for axis, (length, out) in enumerate(zip(self.shape, self.out_shape or self.shape, strict=True)):
            below = (2 * np.arange(out) + 1) * length // (2 * out)
            moved = below[:, None] + self.window[None, :, axis]
            moved = moved % length if self.wrap_mode == "wrap" else moved.clip(0, length - 1)
            found.append((moved * (self.shape[1] if axis == 0 else 1)).astype(np.int32))
        return found[0], found[1]

    def _drawn(
        self, outputs: np.ndarray, rows: np.ndarray, columns: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """Neighbours of some outputs, where they are not simply the first candidates."""
        row, column = np.divmod(outputs, len(columns))
        if not self.allow_repeats:
            candidates = rows[row] + columns[column]
            return self._distinct(outputs, candidates, self._bent[0][row] | self._bent[1][column], random)
        count = len(self.window)
        if self.pattern == "hash":
            drawn = (_hash(self.seed, outputs, self.k).astype(np.uint64) * np.uint64(count)) >> np.uint64(32)
        else:
            drawn = random.integers(0, count, (len(outputs), self.k), np.int32)
        chosen = drawn.astype(np.int32)
        of_row = rows.reshape(-1).take(chosen + (row * count).astype(np.int32)[:, None])
        return of_row + columns.reshape(-1).take(chosen + (column * count).astype(np.int32)[:, None])

    def _distinct(
        self, outputs: np.ndarray, candidates: np.ndarray, bent: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """k different candidates of each output: those of the smallest keys, repeated candidates having the largest."""
        count = candidates.shape[1]
        if self.pattern == "local":
            keys = np.broadcast_to(np.arange(count, dtype=np.uint32), candidates.shape).copy()
        elif self.pattern == "hash":
            keys = _hash(self.seed, outputs, count) >> np.uint32(1)
        else:
            keys = random.integers(0, 1 << 31, candidates.shape, np.uint32)
        repeats = _repeats(candidates[bent])
        keys[bent] |= repeats.astype(np.uint32) << np.uint32(31)
        self._check_distinct(outputs, count, outputs[bent], count - repeats.sum(axis=1))
        if self.pattern == "local" and not repeats.any():
            return candidates[:, : self.k]
        order = (
            np.argsort(keys, axis=1, kind="stable") if count <= self.k else np.argpartition(keys, self.k - 1, axis=1)
        )
        return np.take_along_axis(candidates, np.sort(order[:, : self.k], axis=1), axis=1)

    def _check_distinct(self, outputs: np.ndarray, count: int, bent: np.ndarray, distinct: np.ndarray) -> None:
        fewest, where = (int(distinct.min()), int(bent[distinct.argmin()])) if len(bent) else (count, int(outputs[0]))
        if fewest < self.k:
            raise DescriptionError(
                f"k={self.k} neighbours without repeats: output {where} has only {fewest} distinct candidates; "
                f"{self._remedy()}, choose a smaller k, or allow repeats"
            )

    @cached_property
    def _bent(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns whose candidates may occur twice: clamped to the border, or wrapped onto each other."""
        repeated = len({tuple(offset) for offset in self.window.tolist()}) < len(self.window)
        found = []
        for axis, (length, out) in enumerate(zip(self.shape, self.out_shape or self.shape, strict=True)):
            below = (2 * np.arange(out) + 1) * length // (2 * out)
            low, high = self.window[:, axis].min(), self.window[:, axis].max()
            outside = (below + low < 0) | (below + high >= length)
            found.append((outside & (self.wrap_mode == "clamp" or high - low >= length)) | repeated)
        return found[0], found[1]

    def _warn_of_duplicates(self) -> None:
        distinct = len({tuple(offset) for offset in self.window.tolist()})
        if self.k > distinct:
            warnings.warn(
                f"k={self.k} exceeds the {distinct} distinct candidates of a cell, so neighbours repeat; "
                f"{self._remedy()}",
                stacklevel=4,
            )

    def _remedy(self) -> str:
        if self.offsets is not None:
            return f"give at least {self.k} different offsets"
        cells = self.k + (not self.include_self)
        radius = next(r for r in range(self.k + 1) if (2 * r + 1) ** 2 >= cells)
        return f"radius={max(radius, self.radius + 1)} would serve"


def edge_list(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table [outputs, k] as edges: int32 source and target [outputs * k], by target."""
    if np.ndim(table) != 2:
        raise DescriptionError(f"an index table has the shape [outputs, k], not {list(np.shape(table))}")
    outputs, k = np.shape(table)
    return np.asarray(table, np.int32).reshape(-1), np.repeat(np.arange(outputs, dtype=np.int32), k)


def _square(radius: int) -> Iterator[Offset]:
    reach = range(-radius, radius + 1)
    return ((row, column) for row in reach for column in reach)


def _repeats(candidates: np.ndarray) -> np.ndarray:
    """Which candidates of a row occurred before in it."""
    order = np.argsort(candidates, axis=1, kind="stable")
    ordered = np.take_along_axis(candidates, order, axis=1)
    again = np.zeros(candidates.shape, bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    found = np.empty_like(again)
    np.put_along_axis(found, order, again, axis=1)
    return found


def _hash(seed: int | None, outputs: np.ndarray, count: int) -> np.ndarray:
    """uint32 [outputs, count] from seed, output and position alone: two rounds of a 32-bit finaliser (murmur3's)."""
    start = _mixed(np.array([(seed or 0) & 0xFFFFFFFF], np.uint32) + np.uint32(0x9E3779B9))
    of_output = _mixed(outputs.astype(np.uint32) ^ start)
    return _mixed(of_output[:, None] + np.arange(1, count + 1, dtype=np.uint32) * np.uint32(0x9E3779B9))


def _mixed(value: np.ndarray) -> np.ndarray:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        value = value ^ (value >> np.uint32(shift))
        value *= np.uint32(factor)
    return value ^ (value >> np.uint32(16))


def _grid(name: str, shape: object) -> tuple[int, int]:
    lengths = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    if len(lengths) != 2 or not all(_is_int(length) and length > 0 for length in lengths):
        raise DescriptionError(f"{name} is a pair (rows, columns) of positive ints, not {shape!r}")
    return int(lengths[0]), int(lengths[1])


def _at_least(name: str, value: object, least: int) -> int:
    if not _is_int(value) or value < least:  # type: ignore[operator]
        raise DescriptionError(f"{name} is an int of at least {least}, not {value!r}")
    return int(value)  # type: ignore[call-overload]


def _choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    lowered = value.lower() if isinstance(value, str) else value
    if lowered not in choices:
        raise DescriptionError(f"{name} cannot be {value!r}; choose one of {', '.join(choices)}")
    return str(lowered)


def _offset(offset: object) -> Offset:
    pair = tuple(offset) if isinstance(offset, (tuple, list, np.ndarray)) else ()
    if len(pair) != 2 or not all(map(_is_int, pair)):
        raise DescriptionError(f"an offset is a pair (row, column) of ints, not {offset!r}")
    return int(pair[0]), int(pair[1])


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
