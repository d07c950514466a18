"""What people would use instead: optional packages, imported when asked for, and skipped by name when absent."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

import cudagraph as cg

from .harness import reason

Call = Callable[[], object]
Calls = tuple[dict[str, Call], dict[str, str]]
"""Peers by name, and the ones that are skipped with the reason."""


@cache
def torch_module() -> Any:
    """torch with as many threads as the host device has; None when it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(cg.Environment.from_environ().threads or os.cpu_count() or 1)
    torch.manual_seed(0)
    return torch


@cache
def cupy_module() -> Any:
    """CuPy; None when it is not installed or finds no GPU."""
    try:
        import cupy

        return cupy if cupy.cuda.runtime.getDeviceCount() else None
    except Exception:  # without a driver it raises errors of its own
        return None


@cache
def warp_module() -> Any:
    """NVIDIA Warp; None when it is not installed."""
    try:
        import warp
    except ImportError:
        return None
    warp.config.log_level = warp.LOG_ERROR  # JSON goes to standard output
    warp.init()
    return warp


@cache
def on_gpu(device: str) -> bool:
    """Whether this name means a GPU here."""
    with cg.CudaEngine(device) as engine:
        return engine.device.name == "cuda"


def torch_place(device: str) -> str:
    """Where torch's tensors go to work on the same device."""
    return "cuda" if on_gpu(device) else "cpu"


def waiting(engine: cg.CudaEngine) -> Call:
    """Waits for everything on the device: ours, and that of others. On the host, calls return when they are done."""
    if engine.device.name != "cuda":
        return engine.synchronize
    torch, cupy, warp = torch_module(), cupy_module(), warp_module()
    waits = [engine.synchronize]
    if torch is not None and torch.cuda.is_available():
        waits.append(torch.cuda.synchronize)  # of the whole device
    elif cupy is not None:
        waits.append(cupy.cuda.Device().synchronize)
    elif warp is not None:
        waits.append(warp.synchronize)

    def wait() -> None:
        for each in waits:
            each()

    return wait


def array_call(formula: Callable[..., Any], operands: Sequence[np.ndarray], device: str) -> tuple[str, Call | None]:
    """`formula(xp, *arrays)` with NumPy on the host and with CuPy on a GPU; no call where CuPy is not there."""
    if not on_gpu(device):
        return "NumPy", lambda: formula(np, *operands)
    cupy = cupy_module()
    if cupy is None:
        return "CuPy", None
    arrays = [cupy.asarray(each) for each in operands]
    return "CuPy", lambda: formula(cupy, *arrays)


def torch_calls(make: Callable[[Any], Call], device: str, *, compiled: bool) -> Calls:
    """torch in every form that this device has: eager, compiled, and on a GPU as a CUDA graph.

    `make(torch)` gives the eager call, made once for each form, so that each owns its tensors.
    """
    torch = torch_module()
    place = torch_place(device)
    if torch is None:
        return {}, {"torch": "not installed"}
    if place == "cuda" and not torch.cuda.is_available():
        return {}, {"torch": "built without CUDA"}
    calls: dict[str, Call] = {"torch eager": inference(torch, make(torch))}
    skipped: dict[str, str] = {}
    if place == "cuda":
        tried(calls, skipped, "torch graph", lambda: torch_graph(torch, make(torch)))
    if compiled:
        tried(calls, skipped, "torch compiled", lambda: torch_compiled(torch, make(torch)))
    return calls, skipped


def torch_tensor(torch: Any, array: np.ndarray, place: str) -> Any:
    """The array as a tensor of the same type; bfloat16 too, which NumPy itself does not have."""
    own = np.array(array)  # weights are not writable, and torch wants arrays that are
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16).to(place)
    return torch.from_numpy(own).to(place)


def tried(calls: dict[str, Call], skipped: dict[str, str], name: str, make: Callable[[], Call]) -> None:
    """A peer, tried once; it is skipped with the reason when it does not run."""
    try:
        call = make()
        call()
    except Exception as error:  # compilers of others raise what they like
        skipped[name] = reason(error)
    else:
        calls[name] = call


def inference(torch: Any, call: Call) -> Call:
    """The call without anything for gradients."""

    def run() -> object:
        with torch.inference_mode():
            return call()

    return run


def torch_compiled(torch: Any, call: Call, mode: str = "default") -> Call:
    """The call through torch.compile, for these shapes."""
    torch.compiler.reset()
    return inference(torch, torch.compile(call, dynamic=False, mode=mode))


def torch_graph(torch: Any, call: Call, warm: int = 3) -> Call:
    """The call captured into a CUDA graph; it is replayed, and its result stays where it is."""
    with torch.inference_mode():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(warm):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            kept = call()

    def run() -> object:
        graph.replay()
        return kept

    return run
