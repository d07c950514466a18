"""The two ends of a causal language model: tokens become vectors, and logits become the next token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum

from ..particles.philox import philox, uniform
from .frame import Either, Frame, Generating


class TokenLoop(Block):
    """x = weight[tokens] (+ positions[position + t]); token ~ softmax(logits / temperature), one for each text.

    ids: [B, T] int32 or int64, logits: [B, K, V], x: [B, T, C], token: [B] int32, chosen from the last of the K rows.
    weight: [V, C], positions: [`positions`, C] or none, of `dtype` (float16, bfloat16, float32). When `frame`
    generates, tokens come from the state `text` [max_batch, max_length] instead of `ids`, and the token goes there: a
    loop that never leaves the device. Hot: position; temperature (0: the largest logit), top_k (0: all), top_p (1:
    all), seed. Tokens outside of the vocabulary, and positions outside of the text, are an error on the block.
    """

    def __init__(
        self,
        vocabulary: int,
        embed_dim: int,
        *,
        max_length: int,
        max_batch: int = 64,
        positions: int = 0,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if min(vocabulary, embed_dim, max_length, max_batch) < 1:
            raise DescriptionError(
                "a TokenLoop has at least one token, feature, position and text, not "
                f"{vocabulary}, {embed_dim}, {max_length} and {max_batch}"
            )
        self.frame = Frame()
        random = np.random.default_rng(seed)
        with BlockBuilder(self) as b:
            self.ids = b.input("ids", ("B", "T"), "I")
            self.logits = b.input("logits", ("rows", "kept", vocabulary), dtype)
            self.position = b.parameter("position", 0, "int32", low=0)
            self.temperature = b.parameter("temperature", 0.0, "float32", low=0.0)
            self.top_k = b.parameter("top_k", 0, "int32", low=0)
            self.top_p = b.parameter("top_p", 1.0, "float32", low=0.0, high=1.0)
            self.seed = b.parameter("seed", 0, "uint32")
            self.weight = b.weight("weight", (vocabulary, embed_dim), dtype, _normal(random))
            learned = (positions, embed_dim)
            self.positions = b.weight("positions", learned, dtype, _normal(random)) if positions else None
            self.text = b.state("text", (max_batch, max_length), "int32", persistent=False)
            batch, tokens = Either(self.frame, "batch", "B"), Either(self.frame, "tokens", "T")
            self.x = b.output("x", (batch, tokens, embed_dim), dtype)
            self.token = b.output("token", (self.logits.shape[0],), "int32")
            self.outside = b.fault("outside", "tokens outside of the vocabulary, or positions outside of their table")
            self._embed(b)
            self._sample(b)

    def _embed(self, b: BlockBuilder) -> None:
        rows, columns = self.weight.shape[0], self.weight.shape[1]
        threads = min(128, 32 * ceil_div(columns, 128))
        launch = {
            "threads": threads,
            "grid": (ceil_div(columns, 4 * threads), maximum(1, self.x.shape[1]), maximum(1, self.x.shape[0])),
            "define": {"POSITIONS": int(self.positions is not None)},
            "weight": self.weight,
            "positions": self.positions or self.weight,
            "position": self.position,
            "y": self.x,
            "outside": self.outside,
            "rows": rows,
            "length": self.positions.shape[0] if self.positions else 0,
            "columns": columns,
        }
        with b.where(1 - Generating(self.frame)):
            b.kernel("models/embed_ids", ids=self.ids, **launch)
        with b.where(Generating(self.frame)):
            b.kernel("models/embed_tokens", text=self.text, capacity=self.text.shape[1], **launch)

    def _sample(self, b: BlockBuilder) -> None:
        b.kernel(
            "models/sample",
            threads=256,
            grid=maximum(1, self.logits.shape[0]),
            logits=self.logits,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            seed=self.seed,
            position=self.position,
            token=self.token,
            text=self.text,
            kept=self.logits.shape[1],
            columns=self.logits.shape[2],
            tokens=self.x.shape[1],
            capacity=Generating(self.frame, sampling=True) * self.text.shape[1],
        )

    @staticmethod
    def reference(
        ids: np.ndarray,
        logits: np.ndarray,
        *,
        weight: np.ndarray,
        positions: np.ndarray | None = None,
        position: int = 0,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """x and token in NumPy, in the precision of the inputs."""
        tokens = ids.shape[1]
        x = weight[ids]
        if positions is not None:
            x = x + positions[position : position + tokens]
        last = logits[:, -1]
        if temperature == 0:
            return x, last.argmax(-1).astype(np.int32)
        chosen = [
            _draw(row / temperature, top_k, top_p, seed, position + tokens, batch) for batch, row in enumerate(last)
        ]
        return x, np.array(chosen, np.int32)


def _draw(scores: np.ndarray, top_k: int, top_p: float, seed: int, place: int, batch: int) -> int:
    """The largest score plus Gumbel noise, among the top k and of those the fewest that hold p."""
    order = np.sort(scores)[::-1]
    kept = scores >= order[min(top_k or len(order), len(order)) - 1]
    if top_p < 1:
        weights = np.exp(order[: kept.sum()] - order[0])
        kept &= scores >= order[int(np.argmax(weights.cumsum() >= top_p * weights.sum()))]
    counters = np.zeros((-(-len(scores) // 4), 4), np.uint32)
    counters[:, 0], counters[:, 1], counters[:, 2] = np.arange(len(counters)), place, batch
    u = uniform(philox(counters, (seed, 0))).reshape(-1)[: len(scores)] + 0.5 / 2**24
    return int(np.where(kept, scores - np.log(-np.log(u)), -np.inf).argmax())


def _normal(random: np.random.Generator) -> Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray]:
    return lambda shape, dtype: random.normal(0, 0.02, shape).astype(dtype)
