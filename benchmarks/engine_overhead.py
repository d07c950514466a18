"""What the engine itself costs, in Python, on the recording device: nothing is computed, so only the engine is timed.

python benchmarks/engine_overhead.py [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

import cudagraph as cg
from cudagraph.engine.devices.recording import RecordingDevice

KERNEL = cg.CudaSource(
    """extern "C" __global__ void scale(const float* x, float* y, float factor, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = factor * x[i];
}"""
)
POINTER_KERNEL = cg.CudaSource(
    KERNEL.text.replace("float factor", "const float* factor").replace("= factor", "= *factor")
)


class Scale(cg.Block):
    """y = factor * x; the factor by value, or in the parameter block."""

    def __init__(self, kernel: cg.CudaSource) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.factor = b.parameter("factor", 1.0)
            self.y = b.output("y", self.x.shape)
            b.kernel(kernel, elements=self.y.size, x=self.x, y=self.y, factor=self.factor, n=self.y.size)


def chain(length: int, kernel: cg.CudaSource) -> tuple[cg.CudaEngine, list[Scale]]:
    """An engine that ran a chain of blocks once."""
    engine = cg.CudaEngine(RecordingDevice(checking=False))
    blocks = [engine.add(Scale(kernel)) for _ in range(length)]
    for source, target in pairwise(blocks):
        engine.connect(source.y, target.x)
    engine.bind(blocks[0].x, np.zeros(64, np.float32))
    engine.update()
    return engine, blocks


def median_us(step: Callable[[], object], repeats: int, prepare: Callable[[int], object] | None = None) -> float:
    """Median time of one call in microseconds; `prepare(i)` runs before each, outside the clock."""
    times = []
    clock = time.perf_counter_ns
    for i in range(repeats):
        if prepare is not None:
            prepare(i)
        start = clock()
        step()
        times.append(clock() - start)
    return statistics.median(times) / 1000


def measure() -> dict[str, float]:
    """All figures, in the unit that the name says."""
    engine, blocks = chain(20, KERNEL)
    clock_us = median_us(lambda: None, 20_000)
    figures = {"clean_us": median_us(engine.update, 20_000) - clock_us}

    def set_one(i: int) -> None:
        blocks[3].factor.value = i + 2.0

    def hot() -> None:
        blocks[3].factor.value = blocks[3].factor.value + 1.0
        engine.update()

    figures["hot_update_us"] = median_us(engine.update, 20_000, set_one) - clock_us
    figures["hot_set_and_update_us"] = median_us(hot, 20_000) - clock_us
    engine.close()

    many, pointed = chain(1000, POINTER_KERNEL)

    def set_all(i: int) -> None:
        for block in pointed:
            block.factor.value = i + 2.0

    figures["hot_1000_update_us"] = median_us(many.update, 200, set_all)
    figures["hot_1000_set_us"] = median_us(lambda: set_all(int(time.perf_counter_ns() % 10**9)), 200)
    many.close()
    figures |= rebuild_figures()
    return figures


def rebuild_figures() -> dict[str, float]:
    """Structural changes of a long chain."""
    figures: dict[str, float] = {}
    for length in (1000, 10_000):
        engine, blocks = chain(length, KERNEL)
        times = []
        for _ in range(7):
            engine.context.tracker.mark_structure("measured")
            start = time.perf_counter()
            engine.update()
            times.append(time.perf_counter() - start)
        figures[f"rebuild_{length}_ms"] = statistics.median(times) * 1e3
        if length == 1000:
            middle = length // 2
            engine.remove(blocks[middle])
            engine.connect(blocks[middle - 1].y, blocks[middle + 1].x)
            start = time.perf_counter()
            engine.update()
            figures["remove_one_of_1000_ms"] = (time.perf_counter() - start) * 1e3
            figures["explained"] = str(engine.explain())  # type: ignore[assignment]
        engine.close()
    figures["rebuild_ratio_10000_to_1000"] = figures["rebuild_10000_ms"] / figures["rebuild_1000_ms"]
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    figures = measure()
    if parser.parse_args().json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value:.3f}" if isinstance(value, float) else f"{name:32} {value}")


if __name__ == "__main__":
    main()
