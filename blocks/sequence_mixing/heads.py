"""The heads of an attention layer, and what layers check of their arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.errors import DescriptionError


@dataclass(frozen=True)
class Heads:
    """The heads of a layer: of queries, of keys and values, and their length."""

    queries: int
    keys: int
    length: int

    @property
    def width(self) -> int:
        """Elements of a token's queries, keys and values together."""
        return (self.queries + 2 * self.keys) * self.length

    @property
    def widths(self) -> tuple[int, int, int]:
        """Elements of a token's queries, keys and values."""
        return (self.queries * self.length, self.keys * self.length, self.keys * self.length)

    @property
    def group(self) -> int:
        """Query heads to a head of keys and values."""
        return self.queries // self.keys


def check_choice(kind: str, name: str, given: Any, choices: tuple[Any, ...]) -> None:
    """`DescriptionError` for an argument that is none of the choices."""
    if given not in choices:
        raise DescriptionError(f"{kind}: {name} is one of {', '.join(map(repr, choices))}, not {given!r}")


def next_seed(random: np.random.Generator, seed: int | None) -> int | None:
    """A seed for the next of several layers; None stays None."""
    return None if seed is None else int(random.integers(1 << 31))


def checked_heads(kind: str, embed_dim: int, heads: int, kv_heads: int | None, head_dim: int | None) -> Heads:
    """The heads of a layer; `DescriptionError` where they do not divide."""
    keys = heads if kv_heads is None else kv_heads
    if heads < 1 or keys < 1 or heads % keys:
        raise DescriptionError(f"{kind}: the query heads are a multiple of the key heads, not {heads} and {keys}")
    if head_dim is None and embed_dim % heads:
        raise DescriptionError(f"{kind}: {embed_dim} features do not divide into {heads} heads; give head_dim")
    return Heads(heads, keys, head_dim or embed_dim // heads)
