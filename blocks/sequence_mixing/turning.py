"""From a projection to attention: heads are normalised, turned by their positions, and kept in a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.builder import BlockBuilder
from cudagraph.port import FaultPort, Port
from cudagraph.shape import Dim, SizeLike, ceil_div, equal, maximum, minimum
from cudagraph.tensor import Weight

from .attention_kernel import THREADS, Attention
from .heads import Heads

FEW_QUERIES, FEW_ROWS = 8, 32  # what counts as decoding: queries, and queries times the heads that share keys
SHARE = 128  # keys that are worth a thread block of their own
BLOCKS = 264  # thread blocks that fill a large GPU
FRESH = 16 << 10  # bytes of a thread block for the heads of a frame


@dataclass(frozen=True)
class Turning:
    """What is done to the heads in `qkv`, and where it puts them. Operands are left out by None."""

    qkv: Port
    heads: Heads
    queries: Any  # [B, T, h d]; None where queries stay as they are
    keys: Any  # [B, hk, rows, d]
    values: Any  # the same; None where values stay where they are
    rows: SizeLike
    rope: Any  # a table of `positions` rows for `rotary` elements of a head
    positions: SizeLike
    rotary: int
    interleaved: bool
    position: Any  # of the first token
    norms: tuple[Weight, Weight] | None  # of queries and keys
    eps: float
    full: FaultPort

    def describe(self, b: BlockBuilder) -> None:
        """A launch that does it for any number of tokens."""
        heads = self.heads
        first = 0 if self.queries is not None else heads.queries
        last = heads.queries + (2 if self.values is not None else 1) * heads.keys
        b.kernel(
            "sequence_mixing/rotate_append",
            threads=128,
            grid=(ceil_div((last - first) * ((heads.length + 1) // 2), 128), maximum(1, Dim("T")), Dim("B")),
            define={
                "HEAD": heads.length,
                "CACHED": int(self.values is not None),
                "PLACED": int(self.position is not None),
                **self.define(),
            },
            q_out=self.keys if self.queries is None else self.queries,
            k_out=self.keys,
            v_out=self.keys if self.values is None else self.values,
            first_head=first,
            last_head=last,
            tokens=Dim("T"),
            **self.arguments(),
        )

    def define(self) -> dict[str, Any]:
        """The macros of a kernel that does it."""
        return {
            "QUERY_HEADS": self.heads.queries,
            "KEY_HEADS": self.heads.keys,
            "ROTARY": self.rotary,
            "INTERLEAVED": int(self.interleaved),
            "NORM": int(self.norms is not None),
        }

    def arguments(self) -> dict[str, Any]:
        """The arguments of such a kernel."""
        q_norm, k_norm = self.norms or (self.qkv, self.qkv)
        return {
            "qkv": self.qkv,
            "table": self.qkv if self.rope is None else self.rope,
            "position": self.qkv if self.position is None else self.position,
            "q_norm": q_norm,
            "k_norm": k_norm,
            "full": self.full,
            "capacity": self.rows,
            "positions": self.positions,
            "eps": float(self.eps),
        }


def describe_cached(b: BlockBuilder, attention: Attention, turning: Turning, dtype: Any) -> None:
    """Attention over a cache: one launch, by shares of the keys, for few queries; else two, as for `describe`."""
    sizes, heads, wide = attention.sizes, turning.heads, np.dtype(dtype).itemsize
    rows = heads.group * sizes.queries
    fresh = (heads.group + 2) * sizes.queries * heads.length * wide
    few = minimum(minimum(sizes.queries <= FEW_QUERIES, rows <= FEW_ROWS), fresh <= FRESH)
    shares = maximum(1, minimum(ceil_div(sizes.keys, SHARE), ceil_div(BLOCKS, sizes.batch * heads.keys)))
    part = "float64" if wide == 8 else "float32"
    partial = b.scratch((sizes.batch, heads.keys, shares, rows, heads.length + 2), part)
    tickets = b.state("tickets", (sizes.batch, heads.keys), "uint32", persistent=False)
    with b.where(attention.fits), b.where(few):
        b.kernel(
            "sequence_mixing/attention_decode",
            threads=THREADS,
            grid=(shares, heads.keys, sizes.batch),
            define=attention.define() | turning.define() | {"GROUP": heads.group, "QUERIES": sizes.queries},
            k_cache=turning.keys,
            v_cache=turning.values,
            o=attention.o.operand,
            scale=attention.scale,
            partial=partial,
            tickets=tickets,
            **(attention.sight.arguments(unused=turning.qkv) | turning.arguments()),
        )
    with b.where(equal(few, 0)):
        turning.describe(b)
        attention.describe(b)
