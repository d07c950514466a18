"""Language models with random weights: a prompt, and one token after the other, next to transformers' models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import cudagraph as cg

from .causal import MODELS, SMALL, Model, ReadByToken, fixed_cache, gap, with_blocks, with_torch
from .harness import Absent, Case, Maker, Options
from .peers import (
    Call,
    Calls,
    inference,
    on_gpu,
    torch_compiled,
    torch_graph,
    torch_module,
    torch_place,
    tried,
    waiting,
)
from .roofline import bandwidth, peak
from .single import error_of, ran

_BOUNDS = {"float32": 1e-4, "bfloat16": 3e-2}  # of the logits after a dozen layers, relative to the largest
_PROMPT = 32  # tokens before the first that is made
_SHOWN = 97  # every so many rows of logits are compared: there are gigabytes of them


def cases(options: Options) -> dict[str, Maker]:
    """Reading prompts, and making tokens: one after the other as a program reads them, and on a GPU without reading."""
    if torch_module() is None:
        raise Absent("torch is not installed; it makes the weights")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        from transformers.utils.logging import disable_progress_bar
    except ImportError:
        raise Absent("transformers is not installed; it has the models to compare with") from None
    disable_progress_bar()
    gpu = on_gpu(options.device)
    found: dict[str, Maker] = {}
    for model in SMALL if options.quick else MODELS["cuda" if gpu else "host"]:
        size = f"{model.batch} x {model.prompt}" if model.batch > 1 else str(model.prompt)
        if gpu or options.quick:
            found[f"{model.name}, one token"] = partial(_one_token, options, model)
        if not gpu or options.quick:
            found[f"{model.name}, token by token"] = partial(_tokens, options, model)
        found[f"{model.name}, a prompt of {size} tokens"] = partial(_prompt, options, model)
    return found


@contextmanager
def _prompt(options: Options, model: Model) -> Iterator[Case]:
    torch, place = torch_module(), torch_place(options.device)
    oracle, blocks = model.oracle(place), model.blocks()
    ids = model.ids(model.batch, model.prompt)
    tokens = torch.tensor(ids, device=place)
    peers, skipped = _forms(options, lambda: oracle(tokens, use_cache=False).logits)
    with cg.CudaEngine(options.device) as engine:
        engine.add(blocks)
        engine.bind(blocks.ids, ids)
        ran(engine)
        yield Case(
            ours=engine.update,
            wait=waiting(engine),
            check=lambda: error_of(engine.read(blocks.logits)[:, ::_SHOWN], model.logits(ids, place)[:, ::_SHOWN]),
            bound=_BOUNDS[model.dtype],
            peers=peers,
            skipped=skipped,
            flops=model.operations(),
            peak=peak(options, model.dtype),
            amount=ids.size,
            unit="tokens",
        )


@contextmanager
def _tokens(options: Options, model: Model) -> Iterator[Case]:
    """Greedy tokens, each of which is read: what a program that prints them does."""
    torch, place = torch_module(), torch_place(options.device)
    oracle, blocks, ids = model.oracle(place), model.blocks(), model.ids(1, _PROMPT)
    with cg.CudaEngine(options.device) as engine, torch.inference_mode():
        ours = ReadByToken(lambda: with_blocks(blocks, engine, ids))
        peers: dict[str, Call] = {"torch eager": ReadByToken(lambda: with_torch(oracle, ids, place))}
        skipped: dict[str, str] = {}
        if options.compiled:
            tried(peers, skipped, "torch compiled", lambda: torch_compiled(torch, fixed_cache(oracle, ids, place)))

        def check() -> float:
            ours.close()  # the model makes one text at a time
            return gap(model, ids, place)(blocks.generate(engine, ids, 16, stop=())[0, _PROMPT:])

        yield _token(options, model, engine, ours, check, (peers, skipped))
        ours.close()
        if engine.errors:
            raise engine.errors[0]


@contextmanager
def _one_token(options: Options, model: Model) -> Iterator[Case]:
    """One token at a fixed place with caches of fixed size, not read: what graphs and compilers ask for."""
    torch, place = torch_module(), torch_place(options.device)
    blocks, ids = model.blocks(), model.ids(1, _PROMPT)
    with cg.CudaEngine(options.device) as engine, torch.inference_mode():
        text = with_blocks(blocks, engine, ids)
        next(text)  # from now on, a frame is one token
        forms = _forms(options, fixed_cache(model.oracle(place), ids, place))
        right = gap(model, ids, place)
        yield _token(options, model, engine, engine.update, lambda: right(engine.read(blocks.loop.token)), forms)
        text.close()
        if engine.errors:
            raise engine.errors[0]


def _token(
    options: Options, model: Model, engine: cg.CudaEngine, ours: Call, check: Callable[[], float], forms: Calls
) -> Case:
    return Case(
        ours,
        check,
        forms[0],
        bound=_BOUNDS[model.dtype],
        wait=waiting(engine),
        skipped=forms[1],
        moved=model.read_bytes(),
        bandwidth=bandwidth(options),
        amount=1,
        unit="tokens",
    )


def _forms(options: Options, call: Call) -> Calls:
    """The call of a model of torch eagerly, on a GPU as a graph, and compiled as well as torch can."""
    torch, gpu = torch_module(), on_gpu(options.device)
    peers = {"torch eager": inference(torch, call)}
    skipped: dict[str, str] = {}
    if gpu:
        tried(peers, skipped, "torch graph", lambda: torch_graph(torch, call))
    if options.compiled:
        mode = "max-autotune" if gpu else "default"
        tried(peers, skipped, "torch compiled", lambda: torch_compiled(torch, call, mode))
    return peers, skipped
