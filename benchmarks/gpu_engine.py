"""What the engine costs on a GPU, next to a replayed torch CUDA graph of the same chain.

    python benchmarks/gpu_engine.py [--device cuda] [--quick] [--out figures.json]

Measures, as medians in microseconds: a clean `update()` and `torch.cuda.CUDAGraph.replay()` for chains of 20 and 200
nodes; 1, 10 and 1,000 hot changes by value and in the parameter block; whole-graph update and re-instantiation at 100
and 1,000 nodes; a plain against an instrumented frame; a captured GEMM with a hot alpha; a kernel swapped while frames
are in flight. Every figure comes with a check of the results; a figure whose check fails is left out and reported.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Sgemm

BY_VALUE = """extern "C" __global__ void scale(const float* x, float* y, float factor, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = factor * x[i];
}"""
BY_POINTER = BY_VALUE.replace("float factor", "const float* factor").replace("= factor", "= *factor")
X = np.ones(1024, np.float32)
Figures = dict[str, Any]


class Scale(cg.Block):
    """y = factor * x."""

    def __init__(self, source: str = BY_VALUE) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.factor = b.parameter("factor", 1.0)
            self.y = b.output("y", self.x.shape)
            count = self.y.size
            b.kernel(cg.CudaSource(source), elements=count, x=self.x, y=self.y, factor=self.factor, n=count)


def chain(engine: cg.CudaEngine, length: int, source: str = BY_VALUE) -> list[Scale]:
    """A chain of blocks, run once."""
    blocks = [engine.add(Scale(source)) for _ in range(length)]
    for earlier, later in itertools.pairwise(blocks):
        engine.connect(earlier.y, later.x)
    engine.bind(blocks[0].x, X)
    engine.update(sync=True)
    return blocks


def per_call_us(step: Callable[[int], object], wait: Callable[[], object], calls: int = 50, repeats: int = 20) -> float:
    """Median over `repeats` of the time one of `calls` calls in a row takes on the CPU, the device idle before."""
    times = []
    for repeat in range(repeats):
        wait()
        started = time.perf_counter()
        for call in range(calls):
            step(repeat * calls + call)
        times.append((time.perf_counter() - started) / calls * 1e6)
    wait()
    return statistics.median(times)


def frame_us(step: Callable[[], object], wait: Callable[[], object], frames: int = 500) -> float:
    """Time of one frame when many follow each other, CPU and device together."""
    wait()
    started = time.perf_counter()
    for _ in range(frames):
        step()
    wait()
    return (time.perf_counter() - started) / frames * 1e6


def launches(device: str, length: int) -> Figures:
    """A clean update next to a torch replay."""
    with cg.CudaEngine(device) as engine:
        blocks = chain(engine, length)
        figures = {
            # Three calls at a time: a fourth would wait for the first one's frame.
            "update_us": per_call_us(lambda _: engine.update(), engine.synchronize, calls=3, repeats=200),
            "frame_us": frame_us(engine.update, engine.synchronize),
        }
        np.testing.assert_array_equal(engine.read(blocks[-1].y), X)
    return figures | torch_replay(length)


def torch_replay(length: int) -> Figures:
    """The same chain captured by torch; empty without torch or its GPU."""
    try:
        import torch  # type: ignore[import-not-found]
    except ImportError:
        return {}
    if not torch.cuda.is_available():
        return {}
    tensors = [torch.ones(1024, device="cuda") for _ in range(length + 1)]
    graph = torch.cuda.CUDAGraph()
    for source, target in itertools.pairwise(tensors):
        torch.mul(source, 1.0, out=target)
    with torch.cuda.graph(graph):
        for source, target in itertools.pairwise(tensors):
            torch.mul(source, 1.0, out=target)
    wait = torch.cuda.synchronize
    return {
        "torch_replay_us": per_call_us(lambda _: graph.replay(), wait, calls=3, repeats=200),
        "torch_frame_us": frame_us(graph.replay, wait),
    }


def hot_changes(device: str, changes: int) -> Figures:
    """So many parameters changed in one frame, by value and in the parameter block; time of `update()` alone."""
    figures: Figures = {}
    for name, source in (("by_value", BY_VALUE), ("in_block", BY_POINTER)):
        with cg.CudaEngine(device) as engine:
            blocks = chain(engine, max(changes, 20), source)
            times = []
            for frame in range(100):
                for block in blocks[:changes]:
                    block.factor.value = 1.0 + frame % 2
                engine.synchronize()
                started = time.perf_counter()
                engine.update()
                times.append((time.perf_counter() - started) * 1e6)
            for block in blocks[:changes]:
                block.factor.value = 1.0
            blocks[0].factor.value = 3.0
            engine.update()
            np.testing.assert_array_equal(engine.read(blocks[-1].y), 3 * X)
            figures[f"{name}_us"] = statistics.median(times)
    return figures


def structure(device: str, length: int) -> Figures:
    """An update of equal topology (another size) and one of another topology (a block more or less)."""
    with cg.CudaEngine(device) as engine:
        blocks = chain(engine, length)
        same, other = [], []
        for repeat in range(5):
            engine.bind(blocks[0].x, np.ones(2048 + 1024 * (repeat % 2), np.float32))
            same.append(_timed(engine))
            reason_same = str(engine.explain())
            extra = engine.add(Scale())
            engine.connect(blocks[-1].y, extra.x)
            other.append(_timed(engine))
            reason_other = str(engine.explain())
            engine.remove(extra)
            engine.update(sync=True)
        return {
            "same_topology_ms": statistics.median(same) / 1e3,
            "other_topology_ms": statistics.median(other) / 1e3,
            "same_topology": reason_same,
            "other_topology": reason_other,
        }


def _timed(engine: cg.CudaEngine) -> float:
    started = time.perf_counter()
    engine.update(sync=True)
    return (time.perf_counter() - started) * 1e6


def instrumented(device: str) -> Figures:
    """What measuring costs."""
    with cg.CudaEngine(device) as engine:
        chain(engine, 100)
        figures: Figures = {}
        for level in ("off", "frame", "block"):
            engine.profile = level
            engine.update(sync=True)
            figures[f"{level}_frame_us"] = frame_us(engine.update, engine.synchronize, frames=200)
        return figures


def gemm(device: str) -> Figures:
    """A captured cuBLAS product whose alpha changes every frame, and is never captured anew."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((256, 256), np.float32) for _ in range(3))
    with cg.CudaEngine(device) as engine:
        block = engine.add(Sgemm())
        for port, array in ((block.a, a), (block.b, b), (block.c_in, c)):
            engine.bind(port, array)
        engine.update(sync=True)

        def change(frame: int) -> None:
            block.alpha.value = float(frame % 7)
            engine.update()

        figures = {"hot_alpha_us": per_call_us(change, engine.synchronize, calls=3, repeats=100)}
        block.alpha.value = 2.0
        engine.update()
        np.testing.assert_allclose(engine.read(block.c), 2 * (a @ b), rtol=1e-2, atol=1e-2)
        return figures | {"rebuilds": engine.rebuilds}


def kernel_swap(device: str) -> Figures:
    """A kernel replaced again and again with frames in flight."""
    with cg.CudaEngine(device) as engine:
        blocks = chain(engine, 20)
        sources = [BY_VALUE.replace("factor *", f"{k}.0f * factor *") for k in (1, 2)]
        times = []
        for swap in range(20):
            for _ in range(3):
                engine.update()
            blocks[5].replace_source(sources[swap % 2])
            times.append(_timed(engine))
            np.testing.assert_array_equal(engine.read(blocks[-1].y), X * (1 + swap % 2))
        return {"swap_and_frame_us": statistics.median(times[2:]), "rebuilds": engine.rebuilds}


def environment(device: str) -> Figures:
    """What it ran on."""
    with cg.CudaEngine(device) as engine:
        return {"device": engine.device.description, "python": platform.python_version(), "cudagraph": cg.__version__}


def measure(device: str, quick: bool = False) -> Figures:
    """Every figure; one that fails says why and stops no other."""
    steps: dict[str, Callable[[], Figures]] = {"environment": lambda: environment(device)}
    for length in (3,) if quick else (20, 200):
        steps[f"launch_{length}"] = lambda length=length: launches(device, length)
    for changes in (1, 10) if quick else (1, 10, 1000):
        steps[f"hot_{changes}"] = lambda changes=changes: hot_changes(device, changes)
    for length in (10,) if quick else (100, 1000):
        steps[f"structure_{length}"] = lambda length=length: structure(device, length)
    steps |= {
        "instrumented": lambda: instrumented(device),
        "gemm": lambda: gemm(device),
        "kernel_swap": lambda: kernel_swap(device),
    }
    figures: Figures = {}
    for name, step in steps.items():
        try:
            figures[name] = step()
        except (cg.CudaGraphError, AssertionError) as error:
            figures[name] = {"failed": str(error)}
        print(name, json.dumps(figures[name], indent=2), flush=True)
    return figures


def main() -> None:
    """Measure, print, and write to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="short chains: does everything run?")
    options = parser.parse_args()
    figures = measure(options.device, options.quick)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
