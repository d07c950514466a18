"""GPT-2 small on the CPU, next to torch: `python benchmarks/models.py [repetitions]`.

Decoding after a prompt of 32 tokens, and taking in a prompt of 512, with the 124M shape and random weights, in one
process on as many threads as there are cores. torch runs transformers' model in eager mode, with its own
cache of keys and values.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph.blocks.models import CausalLM, from_pretrained

PROMPT, NEW, LONG = 32, 32, 512
BAR = 2.0  # times torch


def random_model(**shape: int) -> Any:
    """transformers' GPT-2 of that shape: 124M unless said."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    return GPT2LMHeadModel(GPT2Config(**shape, attn_implementation="sdpa")).eval()


@contextmanager
def converted(oracle: Any) -> Iterator[CausalLM]:
    """The same model as blocks, through its checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        oracle.save_pretrained(folder)
        model = from_pretrained(Path(folder))
    assert isinstance(model, CausalLM)
    yield model


def best(run: Callable[[], float], repetitions: int) -> float:
    """The shortest of several times, in seconds."""
    return min(run() for _ in range(repetitions))


def decode_with_blocks(model: CausalLM, engine: cg.CudaEngine, prompt: np.ndarray) -> float:
    """Seconds per token; the first one waits for the prompt and for two builds, so it does not count."""
    stream = model.stream(engine, prompt, NEW + 1, stop=())
    next(stream)
    begin = time.perf_counter()
    for _ in stream:
        pass
    return (time.perf_counter() - begin) / NEW


def decode_with_torch(oracle: Any, prompt: np.ndarray) -> float:
    """Seconds per token of the same greedy choice."""
    import torch

    with torch.inference_mode():
        out = oracle(torch.tensor(prompt), use_cache=True, logits_to_keep=1)
        token = out.logits[:, -1:].argmax(-1)
        begin = time.perf_counter()
        for _ in range(NEW):
            out = oracle(token, past_key_values=out.past_key_values, use_cache=True)
            token = out.logits[:, -1:].argmax(-1)
        return (time.perf_counter() - begin) / NEW


def prefill_with_blocks(model: CausalLM, engine: cg.CudaEngine, prompt: np.ndarray) -> float:
    """Seconds for the logits of all positions."""
    engine.bind(model.ids, prompt)
    engine.update(sync=True)
    begin = time.perf_counter()
    engine.update(sync=True)
    return time.perf_counter() - begin


def prefill_with_torch(oracle: Any, prompt: np.ndarray) -> float:
    """Seconds for the logits of all positions."""
    import torch

    with torch.inference_mode():
        begin = time.perf_counter()
        oracle(torch.tensor(prompt), use_cache=True)
        return time.perf_counter() - begin


def check(model: CausalLM, engine: cg.CudaEngine, oracle: Any, prompt: np.ndarray) -> None:
    """The logits that the engine has are torch's."""
    import torch

    with torch.inference_mode():
        wanted = oracle(torch.tensor(prompt)).logits.numpy()
    np.testing.assert_allclose(engine.read(model.logits), wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def measure(repetitions: int, device: str = "host", **shape: int) -> dict[str, tuple[float, float]]:
    """Seconds per token and per prompt, of blocks and of torch."""
    oracle = random_model(**shape)
    random = np.random.default_rng(0)
    short, long = (random.integers(0, oracle.config.vocab_size, (1, count)) for count in (PROMPT, LONG))
    with converted(oracle) as model, cg.CudaEngine(device) as engine:
        decode = (
            best(lambda: decode_with_blocks(model, engine, short), repetitions),
            best(lambda: decode_with_torch(oracle, short), repetitions),
        )
        prefill = (
            best(lambda: prefill_with_blocks(model, engine, long), repetitions),
            best(lambda: prefill_with_torch(oracle, long), repetitions),
        )
        check(model, engine, oracle, long)
        if "--profile" in sys.argv:
            engine.profile = "kernel"
            profile(model, engine, short)
    return {"decode": decode, "prefill": prefill}


def profile(model: CausalLM, engine: cg.CudaEngine, prompt: np.ndarray) -> None:
    """Where the time of a prompt and of a token goes, by kernel."""
    for _ in model.stream(engine, prompt, 8, stop=()):
        pass
    engine.synchronize()
    print(engine.report())


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 3
    for name, (blocks, torch) in measure(repetitions).items():
        count = 1 if name == "decode" else LONG
        verdict = "ok" if blocks <= BAR * torch else "MISSED"
        print(
            f"{name:8} blocks {count / blocks:8.1f} tokens/s   torch {count / torch:8.1f} tokens/s   "
            f"{blocks / torch:5.2f} times torch's time (bar {BAR:g}: {verdict})"
        )


if __name__ == "__main__":
    main()
