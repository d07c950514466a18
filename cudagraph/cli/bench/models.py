"""GPT-2 in the 124M shape with random weights: a prompt, and one token after the other, next to transformers' model."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph.blocks.models import CausalLM, from_pretrained

from .harness import Absent, Case, Maker, Options
from .peers import Call, inference, on_gpu, torch_compiled, torch_graph, torch_module, torch_place, tried, waiting
from .single import error_of, ran

_SMALL = {"n_layer": 1, "n_embd": 32, "n_head": 2, "vocab_size": 70, "bos_token_id": 0, "eos_token_id": 0}
_BOUND = 1e-4  # of the logits after twelve layers
_SHORT, _LONG = 32, 512  # tokens of a prompt
_ROOM = 1024  # tokens that the caches hold


def cases(options: Options) -> dict[str, Maker]:
    """Reading a prompt, and making tokens one by one."""
    if torch_module() is None:
        raise Absent("torch is not installed; it makes the weights")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        from transformers.utils.logging import disable_progress_bar
    except ImportError:
        raise Absent("transformers is not installed; it has the model to compare with") from None
    disable_progress_bar()
    name = "GPT-2, 1 layer" if options.quick else "GPT-2 124M"
    return {
        f"{name}, a prompt of {_LONG} tokens": partial(_prompt, options),
        f"{name}, token by token": partial(_tokens, options),
    }


@cache
def _oracle(quick: bool) -> Any:
    """transformers' model, on the CPU until a case moves it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch_module().manual_seed(0)
    options: dict[str, Any] = (_SMALL if quick else {}) | {"attn_implementation": "sdpa"}
    config = GPT2Config(**options)
    return GPT2LMHeadModel(config).eval().requires_grad_(False)


def _converted(quick: bool) -> CausalLM:
    """The same model as blocks, through its checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        _oracle(quick).to("cpu").save_pretrained(folder)
        model = from_pretrained(Path(folder))
    if not isinstance(model, CausalLM):
        raise TypeError(f"the checkpoint became a {type(model).__name__}")
    return model


@contextmanager
def _prompt(options: Options) -> Iterator[Case]:
    torch, model = torch_module(), _converted(options.quick)
    oracle = _oracle(options.quick).to(torch_place(options.device))
    ids = np.random.default_rng(0).integers(0, oracle.config.vocab_size, (1, _LONG))
    tokens = torch.tensor(ids, device=torch_place(options.device))
    peers: dict[str, Call] = {"torch eager": inference(torch, lambda: oracle(tokens, use_cache=True).logits)}
    skipped: dict[str, str] = {}
    if options.compiled:
        tried(
            peers,
            skipped,
            "torch compiled",
            lambda: torch_compiled(torch, lambda: oracle(tokens, use_cache=False).logits),
        )
    with cg.CudaEngine(options.device) as engine:
        engine.add(model)
        engine.bind(model.ids, ids)
        ran(engine)
        yield Case(
            ours=engine.update,
            wait=waiting(engine),
            check=lambda: error_of(engine.read(model.logits), _logits(torch, oracle, tokens)),
            bound=_BOUND,
            peers=peers,
            skipped=skipped,
            amount=_LONG,
            unit="tokens",
        )


def _logits(torch: Any, oracle: Any, tokens: Any) -> np.ndarray:
    with torch.inference_mode():
        return oracle(tokens).logits.float().cpu().numpy()


@contextmanager
def _tokens(options: Options) -> Iterator[Case]:
    torch, model = torch_module(), _converted(options.quick)
    place = torch_place(options.device)
    oracle = _oracle(options.quick).to(place)
    ids = np.random.default_rng(0).integers(0, oracle.config.vocab_size, (1, _SHORT))
    peers: dict[str, Call] = {}
    skipped: dict[str, str] = {}
    with cg.CudaEngine(options.device) as engine, torch.inference_mode():
        ours = _Endless(lambda: _with_blocks(model, engine, ids))
        peers["torch eager"] = _Endless(lambda: _with_torch(torch, oracle, ids, place))
        if on_gpu(options.device):
            tried(peers, skipped, "torch graph", lambda: torch_graph(torch, _fixed_cache(torch, oracle, ids, place)))
        if options.compiled:
            tried(
                peers, skipped, "torch compiled", lambda: torch_compiled(torch, _fixed_cache(torch, oracle, ids, place))
            )
        yield Case(
            ours=ours,
            wait=waiting(engine),
            check=lambda: _same_text(torch, ours, model, engine, oracle, ids, place),
            bound=0.0,
            peers=peers,
            skipped=skipped,
            amount=1,
            unit="tokens",
        )
        ours.close()
        if engine.errors:
            raise engine.errors[0]


class _Endless:
    """The next token at each call; a text that is full is begun again."""

    def __init__(self, begin: Callable[[], Generator[int, None, None]]) -> None:
        self._begin = begin
        self._text: Generator[int, None, None] | None = None

    def __call__(self) -> int:
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


def _with_blocks(model: CausalLM, engine: cg.CudaEngine, ids: np.ndarray) -> Generator[int, None, None]:
    """Greedy tokens of ours."""
    yield from model.stream(engine, ids, _ROOM - ids.shape[1], stop=())


def _with_torch(torch: Any, oracle: Any, ids: np.ndarray, place: str) -> Generator[int, None, None]:
    """Greedy tokens with transformers' own growing cache; each is read, as ours is."""
    out = oracle(torch.tensor(ids, device=place), use_cache=True, logits_to_keep=1)
    for _ in range(_ROOM - ids.shape[1]):
        token = out.logits[:, -1:].argmax(-1)
        yield int(token)
        out = oracle(token, past_key_values=out.past_key_values, use_cache=True)


def _fixed_cache(torch: Any, oracle: Any, ids: np.ndarray, place: str) -> Call:
    """One token at a fixed place with a cache of fixed size: what graphs and compilers ask for. It is not read."""
    from transformers import StaticCache

    kept = StaticCache(oracle.config, max_cache_len=_ROOM)
    oracle(torch.tensor(ids, device=place), past_key_values=kept, use_cache=True)
    token = torch.zeros((1, 1), dtype=torch.int64, device=place)
    where = torch.full((1, 1), ids.shape[1], dtype=torch.int64, device=place)
    return lambda: oracle(token, past_key_values=kept, position_ids=where, use_cache=True).logits.argmax(-1)


def _same_text(
    torch: Any, ours: _Endless, model: CausalLM, engine: cg.CudaEngine, oracle: Any, ids: np.ndarray, place: str
) -> float:
    """The share of the first tokens that differ."""
    count = 16
    ours.close()  # the model makes one text at a time
    wanted = [token for token, _ in zip(_with_torch(torch, oracle, ids, place), range(count), strict=False)]
    got = model.generate(engine, ids, count, stop=())[0, ids.shape[1] :]
    return float(np.mean(got != np.asarray(wanted)))
