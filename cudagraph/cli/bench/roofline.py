"""What the machine can do, measured in this process: bytes and operations per second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph import blocks as library
from cudagraph.dtypes import parse_dtype

from .harness import Options
from .peers import array_call, on_gpu, torch_calls, torch_place, torch_tensor, waiting
from .single import ran

_TRIES = 8
_best_copy: dict[str, float] = {}


def bandwidth(options: Options) -> float:
    """Bytes per second of the fastest copy at hand, read and written: ours, torch's, NumPy's or CuPy's.

    It is measured anew for each case, and the best so far counts: other work on the machine only makes copies slower.
    """
    _best_copy[options.device] = max(_best_copy.get(options.device, 0.0), _bandwidth(options))
    return _best_copy[options.device]


def _bandwidth(options: Options) -> float:
    x = np.ones(1 << 14 if options.quick else 1 << 25, np.float32)
    calls, _ = torch_calls(
        lambda torch: _torch_copy(torch.from_numpy(x).to(torch_place(options.device))), options.device, compiled=False
    )
    _, copy = array_call(lambda xp, x: x.copy(), [x], options.device)
    with _copying(options.device, x) as engine:
        everyone = [engine.update, *calls.values(), *([copy] if copy else [])]
        return 2 * x.nbytes / min(_best(call, waiting(engine)) for call in everyone)


@cache
def peak(options: Options, dtype: str) -> float:
    """Operations per second of the fastest product of square matrices at hand, of random numbers.

    Ones and zeros cost a GPU less power: it multiplies them faster than what anybody has.
    """
    side = 128 if options.quick else 8192 if on_gpu(options.device) else 2048
    x = np.random.default_rng(0).standard_normal((side, side), np.float32).astype(parse_dtype(dtype))

    def product(torch: Any) -> Callable[[], object]:
        y = torch_tensor(torch, x, torch_place(options.device))
        return lambda: y @ y

    calls, _ = torch_calls(product, options.device, compiled=False)
    arrays = None if dtype == "bfloat16" else array_call(lambda _, x: x @ x, [x], options.device)[1]
    everyone = [*calls.values(), *([arrays] if arrays else [])]
    with _copying(options.device, np.ones(1, np.float32)) as engine:
        wait = waiting(engine)
        return 2.0 * side**3 / min((_best(call, wait) for call in everyone), default=np.inf)


@contextmanager
def _copying(device: str, x: np.ndarray) -> Iterator[cg.CudaEngine]:
    """An engine whose frame is one copy."""
    block = library.Clone()
    with cg.CudaEngine(device) as engine:
        engine.add(block)
        engine.bind(block.x, x)
        yield ran(engine)


def _torch_copy(x: Any) -> Callable[[], object]:
    y = x.clone()
    return lambda: y.copy_(x)


def _best(call: Callable[[], object], wait: Callable[[], object]) -> float:
    times = []
    for _ in range(_TRIES):
        begin = perf_counter()
        call()
        wait()
        times.append(perf_counter() - begin)
    return min(times)
