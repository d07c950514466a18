"""Language models of transformers with random weights: the same as blocks, and the ways in which torch runs them."""

from __future__ import annotations

import copy
import inspect
import tempfile
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph.blocks.models import CausalLM, from_pretrained

from .peers import Call, torch_module

ROOM = 1024  # tokens that caches hold
_SEED = 0


@dataclass(frozen=True)
class Model:
    """A model of transformers: its class before "Config", settings, type, and the size of the prompts it reads."""

    name: str
    family: str
    settings: Mapping[str, Any] = field(hash=False)
    dtype: str = "float32"
    batch: int = 1
    prompt: int = 512

    def oracle(self, place: str, dtype: str | None = None) -> Any:
        """transformers' model in `dtype` (its own unless given), with weights that its own type can hold."""
        return _oracle(self, place, dtype or self.dtype)

    def blocks(self) -> CausalLM:
        """The same as blocks, through a checkpoint."""
        with tempfile.TemporaryDirectory() as folder:
            _random(self).save_pretrained(folder)
            model = from_pretrained(Path(folder), self.dtype, max_length=max(ROOM, self.prompt))
        if not isinstance(model, CausalLM):
            raise TypeError(f"the checkpoint became a {type(model).__name__}")
        return model

    def ids(self, batch: int, count: int) -> np.ndarray:
        """Random tokens [batch, count]."""
        return np.random.default_rng(_SEED).integers(0, _random(self).config.vocab_size, (batch, count))

    def logits(self, ids: np.ndarray, place: str) -> np.ndarray:
        """What it should say, computed in float32: [B, T, V]."""
        torch = torch_module()
        with torch.inference_mode():
            result = self.oracle(place, "float32")(torch.tensor(ids, device=place), use_cache=False)
            return result.logits.cpu().numpy()

    def weights(self) -> int:
        """Numbers that every token is multiplied with: all but tables of which it takes a row."""
        model = _random(self)
        tables = ("wpe.weight",) if model.config.tie_word_embeddings else ("wpe.weight", "embed_tokens.weight")
        return sum(each.numel() for name, each in model.named_parameters() if not name.endswith(tables))

    def read_bytes(self) -> float:
        """Bytes that a token has to read at least: the weights."""
        return float(self.weights() * (2 if self.dtype == "bfloat16" else 4))

    def operations(self) -> float:
        """Operations of a prompt: the products with weights, and causal attention."""
        config = _random(self).config
        width, layers = config.hidden_size, config.num_hidden_layers
        return self.batch * self.prompt * (2.0 * self.weights() + 2.0 * layers * self.prompt * width)


_GPT2 = {"bos_token_id": 0, "eos_token_id": 0}
_LLAMA = {"num_hidden_layers": 2, "vocab_size": 256, "bos_token_id": 0, "eos_token_id": 0}  # the rest is LLaMA-7B's
SMALL = (
    Model("GPT-2, 1 layer", "GPT2", _GPT2 | {"n_layer": 1, "n_embd": 32, "n_head": 2, "vocab_size": 70}, prompt=48),
    Model(
        "LLaMA, 1 layer",
        "Llama",
        _LLAMA | {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2},
        dtype="bfloat16",
        batch=2,
        prompt=48,
    ),
)
MODELS = {
    "host": (Model("GPT-2 124M", "GPT2", _GPT2),),
    "cuda": (
        Model("GPT-2 124M, bfloat16", "GPT2", _GPT2, "bfloat16", batch=8, prompt=1024),
        Model("two layers of LLaMA-7B, bfloat16", "Llama", _LLAMA, "bfloat16", batch=8, prompt=1024),
    ),
}


@cache
def _random(model: Model) -> Any:
    """transformers' model with random weights, rounded to its type, on the CPU."""
    import transformers

    torch = torch_module()
    torch.manual_seed(_SEED)
    head = "GPT2LMHeadModel" if model.family == "GPT2" else f"{model.family}ForCausalLM"
    config = getattr(transformers, f"{model.family}Config")(**model.settings, attn_implementation="sdpa")
    made = getattr(transformers, head)(config).eval().requires_grad_(False)
    return made.to(getattr(torch, model.dtype)).float()


@cache
def _oracle(model: Model, place: str, dtype: str) -> Any:
    return copy.deepcopy(_random(model)).to(place, getattr(torch_module(), dtype))


def gap(model: Model, ids: np.ndarray, place: str) -> Callable[[np.ndarray], float]:
    """How far the logits of tokens behind a prompt are below the largest, relative to it: 0 for greedy ones."""

    def worst(tokens: np.ndarray) -> float:
        text = np.concatenate([ids[0], tokens])[None]
        logits = model.logits(text[:, :-1], place)[0, ids.shape[1] - 1 :]
        largest = logits.max(-1)
        return float(((largest - logits[np.arange(len(tokens)), tokens]) / np.abs(logits).max(-1)).max())

    return worst


class ReadByToken:
    """The next token at each call; a text that is full is begun again."""

    def __init__(self, begin: Callable[[], Generator[int, None, None]]) -> None:
        self._begin = begin
        self._text: Generator[int, None, None] | None = None

    def __call__(self) -> int:
        """One more token."""
        while True:
            if self._text is None:
                self._text = self._begin()
            for token in self._text:
                return token
            self._text = None

    def close(self) -> None:
        """Leave the text that is being made."""
        if self._text is not None:
            self._text.close()
        self._text = None


def with_blocks(model: CausalLM, engine: cg.CudaEngine, ids: np.ndarray) -> Generator[int, None, None]:
    """Greedy tokens of ours."""
    yield from model.stream(engine, ids, ROOM - ids.shape[1], stop=())


def with_torch(oracle: Any, ids: np.ndarray, place: str) -> Generator[int, None, None]:
    """Greedy tokens with transformers' own growing cache."""
    from transformers import DynamicCache

    torch, kept = torch_module(), _cache_argument(oracle, DynamicCache(config=oracle.config))
    out = oracle(torch.tensor(ids, device=place), use_cache=True, logits_to_keep=1, **kept)
    for _ in range(ROOM - ids.shape[1]):
        token = out.logits[:, -1:].argmax(-1)
        yield int(token)
        out = oracle(token, use_cache=True, **kept)


def fixed_cache(oracle: Any, ids: np.ndarray, place: str) -> Call:
    """One token at a fixed place with a cache of fixed size: what graphs and compilers ask for. It is not read."""
    from transformers import StaticCache

    torch, kept = torch_module(), _cache_argument(oracle, StaticCache(oracle.config, max_cache_len=ROOM))
    oracle(torch.tensor(ids, device=place), use_cache=True, **kept)
    token = torch.zeros((1, 1), dtype=torch.int64, device=place)
    where = torch.full((1, 1), ids.shape[1], dtype=torch.int64, device=place)
    return lambda: oracle(token, position_ids=where, use_cache=True, **kept).logits.argmax(-1)


def _cache_argument(oracle: Any, cache: Any) -> dict[str, Any]:
    """The cache under the name that this version of transformers has for it."""
    names = inspect.signature(oracle.forward).parameters
    return {"cache" if "cache" in names else "past_key_values": cache}
