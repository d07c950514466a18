"""y = tokens[ids] + positions[offset + t] + types[kinds]: the input of GPT-2 and BERT."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.shape import maximum

from ..layout.limits import Limited
from .table import check_table, normal, rows_launch, take


class TokenPositionEmbedding(Block):
    """y = tokens[ids] + positions[offset + t] (+ types[type_ids]) for token t, in one kernel.

    ids, and type_ids where there are `types`: [..., T] of int32 or int64; tokens: [V, C], positions: [N, C], types: [K,
    C], y: [..., T, C], of `dtype` (float16, bfloat16, float32, float64). `offset` is hot. The weights are stored as
    `names` + ".weight": GPT-2's unless said; BERT has "word_embeddings", "position_embeddings" and
    "token_type_embeddings". They start normal with deviation 0.02, from `seed`. An index outside of its table adds
    nothing and is reported on the block. `ShapeError` for T > N, `DescriptionError` for an empty table or another type.
    """

    def __init__(
        self,
        vocabulary: int,
        max_len: int,
        dim: int,
        *,
        types: int = 0,
        offset: int = 0,
        names: tuple[str, ...] = ("wte", "wpe", "token_type_embeddings"),
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        for rows in (vocabulary, max_len, types or 1):
            check_table("TokenPositionEmbedding", rows, dim, dtype)
        with BlockBuilder(self) as b:
            init = normal(seed, 0.02)
            self.ids = b.input("ids", (..., "T"), "I")
            self.type_ids = b.input("type_ids", (..., "T"), "I") if types else None
            self.tokens = b.weight("tokens", (vocabulary, dim), dtype, init)
            self.positions = b.weight("positions", (max_len, dim), dtype, init)
            self.types = b.weight("types", (types, dim), dtype, init) if types else None
            for weight, name in zip((self.tokens, self.positions, self.types), names, strict=False):
                if weight is not None:
                    b.stored_as(weight, f"{name}.weight")
            self.offset = b.parameter("offset", offset, "int32", low=0)
            self.y = b.output("y", (*self.ids.shape, dim), dtype)
            self._sum(b, vocabulary, max_len, types, dim)

    def _sum(self, b: BlockBuilder, vocabulary: int, max_len: int, types: int, dim: int) -> None:
        given: Any = self.ids.shape[-1]
        tokens: Any = Limited(given, "the number of tokens of TokenPositionEmbedding", 0, max_len)
        b.kernel(
            "embedding/token_position",
            **rows_launch(self.ids.size, dim),
            define={"TYPES": int(types > 0)},
            ids=self.ids,
            types=self.type_ids if self.type_ids is not None else self.ids,
            words=self.tokens,
            positions=self.positions,
            kinds=self.types if self.types is not None else self.tokens,
            offset=self.offset,
            y=self.y,
            outside=b.fault("index", "an index is outside of its table"),
            beyond=b.fault("outside", f"a position is outside of 0..{max_len - 1}"),
            rows=self.ids.size,
            tokens=maximum(1, tokens),
            vocabulary=vocabulary,
            length=max_len,
            types_count=types,
            columns=dim,
        )

    @staticmethod
    def reference(
        ids: np.ndarray,
        type_ids: np.ndarray | None = None,
        *,
        tokens: np.ndarray,
        positions: np.ndarray,
        types: np.ndarray | None = None,
        offset: int = 0,
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the weights."""
        y = take(tokens, ids) + take(positions, offset + np.arange(ids.shape[-1]))
        return y if types is None or type_ids is None else y + take(types, type_ids)
