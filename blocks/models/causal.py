"""Causal language models: tokens in, logits out, and text generated with one launch per token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port

from ..channel_mixing import EmbeddingToLogits
from ..composition.transformer_stack import in_a_row
from .frame import Either
from .token_loop import TokenLoop

_LOOK = 32  # frames between two looks for stop tokens, when nobody waits for each token


class CausalLM(Block):
    """logits = head(norm(layers(embedding(ids)))): what GPT-2, LLaMA and Mistral have in common.

    ids: [B, T] int32 or int64, logits: [B, T, V] of `dtype`. Keys and values are kept for max_length
    tokens. Hot: temperature (0: the largest logit), top_k (0: all), top_p (1: all), seed, position.
    """

    loop: TokenLoop
    layers: list[Block]
    tied: bool  # whether the head's weight is the embedding's
    stop_tokens: tuple[int, ...] = ()

    def _describe(
        self, b: BlockBuilder, norm: Block, tied: bool, dtype: str, more: Mapping[str, Port] | None = None
    ) -> None:
        """Wire the loop, the layers and the head. `more` are inputs that every layer shares, by name."""
        loop = b.child(self.loop)
        vocabulary, columns = loop.weight.shape[0], loop.weight.shape[1]
        self.ids = b.expose(loop.ids)
        x = in_a_row(b, self.layers, loop.x, more or {})
        kept = Either(loop.frame, 1, x.shape[1])  # a generated text needs the logits of its last token only
        last = b.view(x, (x.shape[0], kept, columns), offset=(x.shape[1] - kept) * columns)
        self.norm, self.tied = norm, tied
        self.head = EmbeddingToLogits(columns, vocabulary, tied=tied, dtype=dtype)
        weight = (b.view(loop.weight, (vocabulary, columns)),) if tied else ()
        self.logits = b.expose(b.apply(self.head, b.apply(norm, last), *weight), "logits")
        b.connect(self.logits, loop.logits)
        for parameter in (loop.temperature, loop.top_k, loop.top_p, loop.seed, loop.position):
            b.expose(parameter)

    @property
    def max_length(self) -> int:
        """How many tokens a text may have."""
        return self.loop.text.shape[1]

    def generate(
        self, engine: Any, ids: Any, max_new_tokens: int, *, stop: Iterable[int] | None = None, **sampling: Any
    ) -> np.ndarray:
        """The prompts `ids` [B, T] (or [T]) with up to `max_new_tokens` more each: int32 [B, T + n].

        One frame takes in the prompt, then one launch makes each token: nothing is rebuilt or copied between them.
        `sampling`: temperature, top_k, top_p and seed, where they are to change; they stay hot throughout. A text ends
        at a token of `stop` (unless given, the checkpoint's own); the rest of its row repeats that token. The model is
        added to the engine if it is in none. `DescriptionError` for a text longer than max_length.
        """
        prompt = self._prompt(ids, max_new_tokens)
        ends = self._stop(stop)
        length = prompt.shape[1]
        with _Generation(self, engine, prompt, max_new_tokens, sampling) as frames:
            made = 0
            for made in frames:
                if ends and made % _LOOK == 0 and _ended(self._text(engine, prompt, made), length, ends).all():
                    break
            text = self._text(engine, prompt, made)
        return _cut(text, length, ends)

    def stream(
        self, engine: Any, ids: Any, max_new_tokens: int, *, stop: Iterable[int] | None = None, **sampling: Any
    ) -> Iterator[int]:
        """The new tokens of one text, each as soon as it is there. Arguments as for `generate`."""
        prompt = self._prompt(ids, max_new_tokens)
        if len(prompt) != 1:
            raise DescriptionError(f"{self.path}.stream makes one text at a time, not {len(prompt)}; use generate")
        ends = self._stop(stop)
        with _Generation(self, engine, prompt, max_new_tokens, sampling) as frames:
            for _ in frames:
                token = int(engine.read(self.loop.token)[0])
                yield token
                if token in ends:
                    return

    def _stop(self, stop: Iterable[int] | None) -> frozenset[int]:
        return frozenset(self.stop_tokens if stop is None else stop)

    def _text(self, engine: Any, prompt: np.ndarray, made: int) -> np.ndarray:
        """The prompts and what was made so far."""
        if made == 0:
            return prompt
        return engine.read(self.loop.text)[: len(prompt), : prompt.shape[1] + made]

    def _prompt(self, ids: Any, count: int) -> np.ndarray:
        prompt = np.asarray(ids)
        prompt = prompt[None] if prompt.ndim == 1 else prompt
        batch, vocabulary = self.loop.text.shape[0], self.loop.weight.shape[0]
        if prompt.ndim != 2 or prompt.dtype.kind not in "iu" or not prompt.size:
            raise DescriptionError(f"{self.path}: a prompt is at least one token, as integers [B, T], not {ids!r}")
        if len(prompt) > batch:
            raise DescriptionError(f"{self.path} makes at most {batch} texts at once, not {len(prompt)}")
        if count < 0 or prompt.shape[1] + count > self.max_length:
            raise DescriptionError(
                f"{self.path}: {prompt.shape[1]} tokens and {count} more do not fit into {self.max_length} (max_length)"
            )
        if prompt.min() < 0 or prompt.max() >= vocabulary:
            raise DescriptionError(f"{self.path} has the tokens 0 to {vocabulary - 1}; the prompt has others")
        return prompt.astype(np.int32)


class _Generation:
    """The frames of one call: the prompt but its last token in one, then a frame for each new token."""

    def __init__(self, model: CausalLM, engine: Any, prompt: np.ndarray, count: int, sampling: dict[str, Any]) -> None:
        self.model, self.engine, self.prompt, self.count = model, engine, prompt, count
        unknown = sampling.keys() - {"temperature", "top_k", "top_p", "seed"}
        if unknown:
            raise DescriptionError(f"{model.path} samples by temperature, top_k, top_p and seed, not {min(unknown)!r}")
        for name, value in sampling.items():
            if value is not None:
                model.parameters[name].value = value

    def __enter__(self) -> Iterator[int]:
        if self.model.root.owner is None:
            self.engine.add(self.model.root)
        loop = self.model.loop
        text = np.zeros((loop.text.shape[0], loop.text.shape[1]), np.int32)
        text[: len(self.prompt), : self.prompt.shape[1]] = self.prompt
        loop.text.value = text
        return self._frames()

    def _frames(self) -> Iterator[int]:
        """How many tokens there are after each frame."""
        batch, length = self.prompt.shape
        position, update = self.model.loop.position, self.engine.update
        if length > 1:
            self._take(batch, length - 1, sampling=False)
            position.value = 0
            self._update()
        self._take(batch, 1, sampling=True)
        for made in range(1, self.count + 1):
            position.value = length + made - 2
            update() if made > 1 else self._update()
            yield made

    def _update(self) -> None:
        """A frame after a change of structure, which has to succeed."""
        self.engine.update()
        if self.engine.errors:
            raise self.engine.errors[0]

    def _take(self, batch: int, tokens: int, *, sampling: bool) -> None:
        frame = self.model.loop.frame
        frame.batch, frame.tokens, frame.sampling = batch, tokens, sampling
        what = f"takes {tokens} tokens of {batch} texts" if batch else "takes its ids"
        self.engine.context.tracker.mark_structure(f"{self.model.path} {what}")

    def __exit__(self, *error: object) -> None:
        self._take(0, 0, sampling=False)
        self.model.loop.position.value = 0


def _ended(text: np.ndarray, length: int, ends: frozenset[int]) -> np.ndarray:
    """Which texts hold a stop token after their prompts."""
    return np.isin(text[:, length:], list(ends)).max(1, initial=False)


def _cut(text: np.ndarray, length: int, ends: frozenset[int]) -> np.ndarray:
    """The texts up to their stop tokens, which shorter ones repeat."""
    if not ends or text.shape[1] == length:
        return text
    stops = np.isin(text[:, length:], list(ends))
    first = np.where(stops.any(1), stops.argmax(1), stops.shape[1] - 1) + length
    text = text[:, : first.max() + 1].copy()
    for row, end in zip(text, first, strict=True):
        row[end:] = row[end]
    return text
