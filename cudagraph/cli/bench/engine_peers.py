"""The engine's chain of small kernels as others would run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from .harness import Options
from .peers import Call, Calls, cupy_module, inference, on_gpu, torch_graph, torch_module, tried, warp_module


@dataclass(frozen=True)
class Chain:
    """So many small products one after the other, of which the first `changed` get another factor each time."""

    length: int
    elements: int
    changed: int = 0


def chain_peers(chain: Chain, options: Options) -> Calls:
    """The chain with NumPy and torch, and on a GPU also as graphs of torch, CuPy and Warp."""
    peers: dict[str, Call] = {}
    skipped: dict[str, str] = {}
    gpu = on_gpu(options.device)
    if not gpu:
        peers["NumPy"] = _numpy(chain)
    torch = torch_module()
    if torch is None:
        skipped["torch"] = "not installed"
    else:
        place = "cuda" if gpu else "cpu"
        tried(peers, skipped, "torch eager", lambda: inference(torch, _torch(torch, chain, place)))
        if gpu:
            tried(peers, skipped, "torch graph", lambda: _torch_replay(torch, chain))
    if gpu:
        _gpu_peers(chain, peers, skipped)
    return peers, skipped


def recaptured(chain: Chain, options: Options, times: int = 1) -> Calls:
    """What others do for another kernel or another topology: capture again, and run."""
    torch = torch_module()
    if not on_gpu(options.device):
        return {}, {}
    if torch is None:
        return {}, {"torch graph": "not installed"}
    eager = _torch(torch, chain, "cuda")

    def again() -> None:
        for _ in range(times):
            torch_graph(torch, eager, warm=0)()

    peers: dict[str, Call] = {}
    skipped: dict[str, str] = {}
    tried(peers, skipped, "torch graph, captured again", lambda: again)
    return peers, skipped


def _numpy(chain: Chain) -> Call:
    arrays = [np.ones(chain.elements, np.float32) for _ in range(chain.length + 1)]
    factors = _factors(chain)

    def run() -> None:
        for i, factor in enumerate(factors()):
            np.multiply(arrays[i], factor, out=arrays[i + 1])

    return run


def _torch(torch: Any, chain: Chain, place: str) -> Call:
    arrays = [torch.ones(chain.elements, device=place) for _ in range(chain.length + 1)]
    factors = _factors(chain)

    def run() -> None:
        for i, factor in enumerate(factors()):
            torch.mul(arrays[i], factor, out=arrays[i + 1])

    return run


def _factors(chain: Chain) -> Callable[[], list[float]]:
    """The factors of the next frame."""
    values = cycle((1.0, 1.0 + 2.0**-20))
    rest = [1.0] * (chain.length - chain.changed)
    return lambda: [next(values)] * chain.changed + rest


def _torch_replay(torch: Any, chain: Chain) -> Call:
    """torch bakes numbers into a graph; to change them they are kept in tensors, which are filled before the replay."""
    arrays = [torch.ones(chain.elements, device="cuda") for _ in range(chain.length + 1)]
    held = torch.ones(max(chain.changed, 1), device="cuda")
    views = [held[i] for i in range(chain.changed)] + [1.0] * (chain.length - chain.changed)

    def products() -> None:
        for i, factor in enumerate(views):
            torch.mul(arrays[i], factor, out=arrays[i + 1])

    replay = torch_graph(torch, products)
    if not chain.changed:
        return replay
    staged = [torch.full((chain.changed,), value).pin_memory() for value in (1.0, 1.0 + 2.0**-20)]
    turn = cycle(staged)

    def run() -> None:
        held.copy_(next(turn), non_blocking=True)
        replay()

    return run


def _gpu_peers(chain: Chain, peers: dict[str, Call], skipped: dict[str, str]) -> None:
    if chain.changed:
        return  # CuPy's and Warp's graphs would be filled the same way as torch's
    cupy = cupy_module()
    if cupy is None:
        skipped["CuPy graph"] = "not installed"
    else:
        tried(peers, skipped, "CuPy graph", lambda: _cupy(cupy, chain))
    if warp_module() is None:
        skipped["Warp graph"] = "not installed"
    else:
        tried(peers, skipped, "Warp graph", lambda: _warp(chain))


def _cupy(cupy: Any, chain: Chain) -> Call:
    arrays = [cupy.ones(chain.elements, cupy.float32) for _ in range(chain.length + 1)]

    def products() -> None:
        for i in range(chain.length):
            cupy.multiply(arrays[i], 1.0, out=arrays[i + 1])

    products()  # compiles
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        products()
        graph = stream.end_capture()
    kept = (arrays, graph)

    def run() -> object:
        graph.launch(stream)
        return kept

    return run


def _warp(chain: Chain) -> Call:
    from .warp_kernels import chain_graph

    return chain_graph(chain.length, chain.elements, "cuda")
