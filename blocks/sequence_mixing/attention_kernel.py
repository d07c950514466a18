"""How the attention kernels are launched: which keys a query sees, where the operands lie, and the sizes of tiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.parameter import Parameter
from cudagraph.shape import Dim, Size, ceil_div, equal, maximum

THREADS = 128
MASKS = {None: 0, "bool": 1, "additive": 2, "hidden": 3}
KEY_MASKS = {None: 0, "bool": 1, "hidden": 2}
LIBRARIES = (None, "cudnn")
ALIGNED = {"first": 0, "last": 1, "position": 2}

SizeLike = int | Size
Strides = tuple[SizeLike, SizeLike, SizeLike]  # elements from one batch, head and token to the next


@dataclass(frozen=True)
class Lines:
    """Queries, keys, values or results: an operand and how its tokens of `length` elements lie in it."""

    operand: Any
    strides: Strides
    length: SizeLike
    start: int = 0  # elements before the first one


@dataclass(frozen=True)
class Sight:
    """Which keys a query sees, and what is added to its scores. Operands are left out by None."""

    causal: bool = False
    window: int | None = None
    aligned: str = "first"  # place of query 0: "first" key, so that the "last" ones meet, or "position"
    position: Any = None
    prefix: Any = None
    mask: Any = None
    mask_kind: str | None = None
    mask_strides: Strides = (0, 0, 0)
    key_mask: Any = None
    key_mask_kind: str | None = None
    key_mask_batch: SizeLike = 0
    slopes: Any = None
    softcap: float | None = None

    def check(self, subject: str) -> None:
        """`DescriptionError` for a window or cap that makes no sense."""
        if self.window is not None and (isinstance(self.window, bool) or int(self.window) < 1):
            raise DescriptionError(f"{subject}: window is a number of keys, at least 1, not {self.window!r}")
        if self.softcap is not None and not self.softcap > 0:
            raise DescriptionError(f"{subject}: softcap is a number above 0, not {self.softcap!r}")

    def check_library(self, subject: str) -> None:
        """`DescriptionError` for what only the own kernel can: anything but additive masks, and places by position."""
        plain = {
            "a mask of booleans": self.mask_kind not in (None, "additive"),
            "a mask of keys": self.key_mask is not None,
            "a prefix": self.prefix is not None,
            "ALiBi": self.slopes is not None,
            "a softcap": self.softcap is not None,
            "a cache": self.aligned == "position",
        }
        asked = [name for name, is_asked in plain.items() if is_asked]
        if asked:
            raise DescriptionError(
                f"{subject}: cuDNN's attention has not {', '.join(asked)}; leave library out for that"
            )

    def define(self) -> dict[str, int | str]:
        """The macros that make a kernel see so."""
        return {
            "CAUSAL": int(self.causal),
            "WINDOW": self.window or 0,
            "OFFSET": ALIGNED[self.aligned],
            "PREFIX": int(self.prefix is not None),
            "MASK": MASKS[self.mask_kind],
            "KEY_MASK": KEY_MASKS[self.key_mask_kind],
            "ALIBI": int(self.slopes is not None),
            "SOFTCAP": int(self.softcap is not None),
            "CAP": repr(float(self.softcap or 1.0)),
        }

    def arguments(self, unused: Any) -> dict[str, Any]:
        """The kernel arguments; `unused` stands for the operands that are not there and are not read."""
        given = {
            "mask": self.mask,
            "key_mask": self.key_mask,
            "slopes": self.slopes,
            "position": self.position,
            "prefix": self.prefix,
        }
        batch, head, row = self.mask_strides
        found = {name: unused if operand is None else operand for name, operand in given.items()}
        strides = {"mask_batch": batch, "mask_head": head, "mask_row": row, "key_mask_batch": self.key_mask_batch}
        return found | strides


@dataclass(frozen=True)
class Sizes:
    """How many there are of what."""

    batch: SizeLike
    heads: int | Size
    group: int | Size  # query heads to a head of keys and values
    queries: SizeLike
    keys: SizeLike


@dataclass(frozen=True)
class Tiles:
    """How a thread block walks: its queries, the keys of a tile, and the queries at a time in float64."""

    rows: int
    keys: int
    wide_rows: int

    def shared(self, head: SizeLike, value: SizeLike) -> Any:
        """Bytes of shared memory that the tiles of any type need; float64 takes 16 keys at a time."""
        ordinary = 4 * _elements(self.rows, self.keys, head, value)
        tensor = 4 * 64 * (head + value + 16) if self.rows == 64 else 0  # two stages of 64 keys and values
        return maximum(maximum(ordinary, 8 * _elements(self.wide_rows, 16, head, value)), tensor)


def _elements(rows: int, keys: int, head: SizeLike, value: SizeLike) -> Any:
    return rows * _padded(head) + keys * (_padded(head) + _padded(value)) + rows * (keys + 4)


def _padded(width: SizeLike) -> Any:
    return (width + 3) // 4 * 4 + 4


SHORT, LONG = Tiles(64, 32, 32), Tiles(32, 16, 8)


@dataclass(frozen=True)
class Attention:
    """One attention, ready to be described: `describe` adds its kernel to a block."""

    q: Lines
    k: Lines
    v: Lines
    o: Lines
    sizes: Sizes
    scale: Parameter[Any] | float
    sight: Sight = field(default_factory=Sight)
    fits: SizeLike = 1  # whether the mask fits; where not, nothing makes the result, and that is the error
    library: str | None = None  # "cudnn", or None for the own kernel

    def describe(self, b: BlockBuilder) -> None:
        """The launches for heads of up to 128 elements, and for longer ones; the plan has one of them."""
        if self.library is not None:
            self._describe_library(b)
            return
        longest = maximum(self.q.length, self.v.length)
        with b.where(self.fits), b.where(longest <= 128):
            self._describe_tiles(b, SHORT)
        with b.where(self.fits), b.where(longest > 128):
            self._describe_tiles(b, LONG)

    def _describe_library(self, b: BlockBuilder) -> None:
        sizes, sight = self.sizes, self.sight
        effective = b.scratch((1,), "float32", name="effective_scale")
        placed: dict[str, Any] = {} if sight.mask is None else {"mask": sight.mask}
        query, key = (sizes.batch, sizes.heads, sizes.queries), (sizes.batch, sizes.heads // sizes.group, sizes.keys)
        for name, lines, lead in (("q", self.q, query), ("k", self.k, key), ("v", self.v, key), ("y", self.o, query)):
            placed |= {name: lines.operand, f"{name}_shape": (*lead, lines.length), f"{name}_start": lines.start}
            placed[f"{name}_strides"] = lines.strides
        with b.where(self.fits):
            formula = "effective = scale != 0.0f ? scale : 1.0f / sqrtf((float)length)"
            b.elementwise(formula, effective=effective, scale=self.scale, length=self.q.length)
            seen = {"causal": sight.causal, "window": sight.window or 0, "aligned": sight.aligned}
            b.library("cudnn.attention", scale=effective, **placed, **seen)

    def _describe_tiles(self, b: BlockBuilder, tiles: Tiles) -> None:
        b.kernel(
            "sequence_mixing/attention",
            threads=THREADS,
            grid=(maximum(1, ceil_div(self.sizes.queries, tiles.rows)), self.sizes.heads, self.sizes.batch),
            shared=tiles.shared(self.q.length, self.v.length),
            define=self.define() | {"ROWS": tiles.rows, "TILE_KEYS": tiles.keys, "WIDE_ROWS": tiles.wide_rows},
            **self._arguments(),
        )

    def define(self) -> dict[str, Any]:
        """The macros of every attention kernel."""
        return {"HEAD": self.q.length, "VALUE": self.v.length, "THREADS": THREADS, **self.sight.define()}

    def _arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"scale": self.scale, "group": self.sizes.group}
        for name, lines in (("q", self.q), ("k", self.k), ("v", self.v), ("o", self.o)):
            batch, head, token = lines.strides
            arguments |= {name: lines.operand, f"{name}_batch": batch, f"{name}_head": head, f"{name}_token": token}
        arguments |= {"k_start": self.k.start, "v_start": self.v.start}
        sizes = {"queries": self.sizes.queries, "keys": self.sizes.keys}
        return arguments | sizes | self.sight.arguments(unused=self.q.operand)


def check_library(
    subject: str, library: str | None, sight: Sight, dtype: str | None = None, length: int | None = None
) -> None:
    """`DescriptionError` for a library that is not known, or cannot do what is asked for."""
    if library not in LIBRARIES:
        raise DescriptionError(f"{subject}: library is {', '.join(map(repr, LIBRARIES))}, not {library!r}")
    if library is None:
        return
    sight.check_library(subject)
    if dtype is not None and np.dtype(dtype).itemsize != 2:
        raise DescriptionError(f"{subject}: cuDNN's attention works on float16 and bfloat16, not on {dtype}")
    if length is not None and length % 8:
        raise DescriptionError(f"{subject}: cuDNN's attention wants heads of a multiple of 8 elements, not of {length}")


def packed(operand: Any, heads: SizeLike, tokens: SizeLike, length: SizeLike) -> Lines:
    """Lines of a [B, T, h * d] tensor."""
    return Lines(operand, (heads * length * tokens, length, heads * length), length)


def mask_strides(queries: SizeLike, keys: SizeLike) -> Strides:
    """Strides of a mask [MB, MH, queries, keys]: 0 where MB or MH is 1, for all batches or heads."""
    plane = queries * keys
    return (Dim("MB") > 1) * Dim("MH") * plane, (Dim("MH") > 1) * plane, keys


def mask_fits(batch: SizeLike, heads: SizeLike) -> Size:
    """Whether MB is 1 or the batch, and MH is 1 or the heads."""
    return (equal(Dim("MB"), 1) + equal(Dim("MB"), batch)) * (equal(Dim("MH"), 1) + equal(Dim("MH"), heads))
