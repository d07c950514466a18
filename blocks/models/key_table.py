"""How the names in a file become the names in a block: a table of patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.errors import DescriptionError, ShapeError
from cudagraph.shape import show_shape


@dataclass(frozen=True)
class Transposed:
    """The block's tensor `name` is the file's one with its last two dimensions swapped."""

    name: str


@dataclass(frozen=True)
class Part:
    """The file's tensor is the part number `index` of `of` parts along `axis` that make up the block's `name`."""

    name: str
    index: int
    of: int
    axis: int = 0
    transpose: bool = False  # each part, before they are joined


@dataclass(frozen=True)
class Split:
    """The file's tensor holds several of the block's, one after the other along `axis`; equal ones without `sizes`."""

    names: tuple[str, ...]
    axis: int = 0
    sizes: tuple[int, ...] | None = None
    transpose: bool = False  # each of them, after the split


Key = str | Transposed | Part | Split | None
"""What a table says of a name: another name, how the tensor differs, or None for one that the block has no use for."""

KeyTable = Mapping[str, Key]
"""From patterns of names in a file to names in a block. `*` is one piece of a dotted name, `**` any number of them.

The first pattern that fits decides; stars in the block's name are what the stars of the pattern stood for, in order.
"""


@dataclass(frozen=True)
class _Piece:
    """One tensor of the file as it goes into one tensor of the block."""

    source: str
    transpose: bool = False
    axis: int = 0
    cut: tuple[int, int, tuple[int, ...] | None] | None = None  # which of how many slices, and their sizes


class Renamed(Mapping[str, np.ndarray]):
    """The tensors of `arrays` under the names, and in the layout, that a key table gives them. Read when asked for."""

    def __init__(self, arrays: Mapping[str, np.ndarray], keys: KeyTable) -> None:
        self._arrays = arrays
        self._made: dict[str, dict[int, _Piece]] = {}
        self._parts: dict[str, tuple[int, int]] = {}  # how many parts, along which axis
        patterns = [(_pattern(pattern), key) for pattern, key in keys.items()]
        for name in arrays:
            for pattern, key in patterns:
                match = pattern.fullmatch(name)
                if match:
                    self._add(name, key, match.groups())
                    break
            else:
                self._add(name, name, ())

    def __getitem__(self, name: str) -> np.ndarray:
        pieces = self._made[name]
        of, axis = self._parts.get(name, (1, 0))
        absent = [str(index) for index in range(of) if index not in pieces]
        if absent:
            raise ShapeError(f"{name} is made of {of} parts; number {', '.join(absent)} is not in the file")
        arrays = [self._read(pieces[index]) for index in range(of)]
        return arrays[0] if of == 1 else np.concatenate(arrays, axis)

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def __contains__(self, name: object) -> bool:
        return name in self._made

    def sources(self, name: str) -> tuple[str, ...]:
        """The names in the file of what makes up one of the block's tensors."""
        return tuple(piece.source for piece in self._made[name].values())

    def _add(self, source: str, key: Key, stars: Sequence[str]) -> None:
        if key is None:
            return
        if isinstance(key, Split):
            for index, name in enumerate(key.names):
                cut = index, len(key.names), key.sizes
                self._put(_filled(name, stars), 0, _Piece(source, key.transpose, key.axis, cut))
        elif isinstance(key, Part):
            name = _filled(key.name, stars)
            if not 0 <= key.index < key.of or self._parts.setdefault(name, (key.of, key.axis)) != (key.of, key.axis):
                raise DescriptionError(f"the key table contradicts itself about the parts of {name}: {key}")
            self._put(name, key.index, _Piece(source, key.transpose))
        else:
            transpose = isinstance(key, Transposed)
            self._put(_filled(key.name if isinstance(key, Transposed) else key, stars), 0, _Piece(source, transpose))

    def _put(self, name: str, index: int, piece: _Piece) -> None:
        pieces = self._made.setdefault(name, {})
        if index in pieces:
            raise DescriptionError(f"{name} would be made of both {pieces[index].source} and {piece.source}")
        pieces[index] = piece

    def _read(self, piece: _Piece) -> np.ndarray:
        array = self._arrays[piece.source]
        if piece.cut is not None:
            array = _slice(array, piece, *piece.cut)
        if not piece.transpose:
            return array
        if array.ndim < 2:
            raise ShapeError(f"{piece.source} {show_shape(array.shape)} has no two dimensions to transpose")
        return array.swapaxes(-1, -2)


def _slice(array: np.ndarray, piece: _Piece, index: int, of: int, sizes: tuple[int, ...] | None) -> np.ndarray:
    length = array.shape[piece.axis] if -array.ndim <= piece.axis < array.ndim else -1
    lengths = sizes or (length // of,) * of
    if sum(lengths) != length or len(lengths) != of:
        wanted = " + ".join(map(str, sizes)) if sizes else f"{of} equal slices"
        raise ShapeError(f"{piece.source} {show_shape(array.shape)} is not {wanted} along dimension {piece.axis}")
    cut: list[Any] = [slice(None)] * array.ndim
    cut[piece.axis] = slice(sum(lengths[:index]), sum(lengths[: index + 1]))
    return array[tuple(cut)]


def _pattern(text: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*|\*)", text)
    spelled = {"**": "(.*)", "*": "([^.]+)"}
    return re.compile("".join(spelled.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)


def _filled(name: str, stars: Sequence[str]) -> str:
    pieces = re.split(r"\*\*|\*", name)
    if len(pieces) - 1 > len(stars):
        raise DescriptionError(f"{name!r} has more stars than the pattern that leads to it")
    filled = [piece + star for piece, star in zip(pieces, stars, strict=False)]
    return "".join((*filled[: len(pieces) - 1], pieces[-1]))
