"""y = weight[ids]."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from .table import check_table, normal, rows_launch, take


class Embedding(Block):
    """y = scale * weight[ids]: torch's embedding, names and layout included.

    ids: [...] of int32 or int64, weight: [N, C], y: [..., C], of `dtype` (float16, bfloat16, float32, float64). Weights
    start as in torch, normal with deviation 1 (or `deviation`), from `seed`; the row `padding_idx` starts as zeros.
    `scale`, when given, is hot. An index outside of 0..N-1 gives zeros, reads nothing, and is reported on the block.
    `DescriptionError` for an empty table, another type, or a padding_idx outside.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        scale: float | None = None,
        deviation: float = 1.0,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        check_table(type(self).__name__, num_embeddings, embedding_dim, dtype)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise DescriptionError(f"Embedding: padding_idx {padding_idx} is not one of {num_embeddings} rows")
        with BlockBuilder(self) as b:
            self.ids = b.input("ids", (...,), "I")
            init = normal(seed, deviation, padding_idx)
            self.weight = b.weight("weight", (num_embeddings, embedding_dim), dtype, init)
            self.y = b.output("y", (*self.ids.shape, embedding_dim), dtype)
            self.scale = None if scale is None else b.parameter("scale", scale)
            outside = b.fault("index", f"an index is outside of 0..{num_embeddings - 1}")
            b.kernel(
                "embedding/embedding",
                **rows_launch(self.ids.size, embedding_dim),
                define={"SCALED": int(scale is not None)},
                ids=self.ids,
                weight=self.weight,
                scale=1.0 if self.scale is None else self.scale,
                y=self.y,
                outside=outside,
                count=self.ids.size,
                rows=num_embeddings,
                columns=embedding_dim,
            )

    @staticmethod
    def reference(ids: np.ndarray, *, weight: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """The same in NumPy."""
        return scale * take(weight, ids)


class TokensToEmbedding(Embedding):
    """y = scale * weight[ids], scale = sqrt(C) unless said: the scaled embedding of the first transformers.

    ids: [...] of int32 or int64, weight: [N, C], y: [..., C]; all else as `Embedding`, `scale` is hot.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        scale: float | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        factor = max(embedding_dim, 0) ** 0.5 if scale is None else scale
        super().__init__(num_embeddings, embedding_dim, padding_idx, scale=factor, dtype=dtype, seed=seed)
