"""Many frames with random live edits of every tier: memory and handles must not grow.

python benchmarks/soak.py [--device host|recording|cuda] [--frames 100000] [--json]
python benchmarks/soak.py --record     the runs behind docs/reliability.md: docs/evidence/soak.json, some ten minutes
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Add, Delay, Linear, ReLU, Scale

EVIDENCE = Path(__file__).parents[1] / "docs" / "evidence" / "soak.json"
RECORDED = {"recording": 1_000_000, "host": 100_000}
SAMPLES = 10
_X = np.ones((4, 8), np.float32)
_SOURCES = ("factor * x[i]", "factor * x[i] + 1.0f")


class Switched(cg.Block):
    """y = factor * x, with a kernel whose source is replaced."""

    def __init__(self) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.factor = b.parameter("factor", 1.0)
            self.y = b.output("y", self.x.shape)
            kernel = cg.CudaSource(source(_SOURCES[0]))
            b.kernel(kernel, elements=self.y.size, x=self.x, y=self.y, factor=self.factor, n=self.y.size)


def source(expression: str) -> str:
    """The kernel of a Switched."""
    return f"""extern "C" __global__ void switched(const float* x, float* y, float factor, long long n) {{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = {expression};
}}"""


class Pipeline:
    """A pipeline with a circle, and its edits by sort."""

    def __init__(self, engine: cg.CudaEngine, seed: int) -> None:
        self.engine = engine
        self.choose = random.Random(seed)
        self.extra: list[tuple[Any, Any]] = []
        self.first, self.linear, self.relu, self.add, self.delay, self.switched = engine.add(
            Scale(1.0), Linear(8, 8, seed=0), ReLU(), Add(), Delay(), Switched()
        )
        engine.connect(self.first.y, self.linear.x)
        engine.connect(self.linear.y, self.relu.x)
        engine.connect(self.relu.y, self.add.a)
        engine.connect(self.delay.y, self.add.b)
        engine.connect(self.relu.y, self.delay.x)
        engine.connect(self.add.c, self.switched.x)
        engine.keep(self.switched.y)
        engine.bind(self.first.x, _X)
        self.edits: dict[str, tuple[float, Callable[[], None]]] = {
            "hot": (600, self.set_parameter),
            "contents": (150, self.set_weight),
            "rebind": (150, lambda: self.bind(4)),
            "read": (75, lambda: self._ignore(engine.read(self.switched.y))),
            "profile": (15, self.set_profile),
            "code": (1, self.replace_source),
            "option": (1, self.set_option),
            "shape": (1, lambda: self.bind(self.choose.choice((1, 4, 9)))),
            "structure": (3, self.grow_or_shrink),
        }

    def set_parameter(self) -> None:
        self.choose.choice((self.first.factor, self.switched.factor)).value = self.choose.random()

    def set_weight(self) -> None:
        self.linear.weight.value = np.full((8, 8), self.choose.random() / 8, np.float32)

    def bind(self, rows: int) -> None:
        self.engine.bind(self.first.x, np.full((rows, 8), self.choose.random(), np.float32))

    def set_profile(self) -> None:
        self.engine.profile = self.choose.choice(["off", "frame", "block", "kernel"])

    def replace_source(self) -> None:
        self.switched.replace_source(source(self.choose.choice(_SOURCES)))

    def set_option(self) -> None:
        self.linear.activation.value = self.choose.choice(["none", "relu", "gelu_tanh"])

    def grow_or_shrink(self) -> None:
        if self.extra and self.choose.random() < 0.5:
            self.engine.remove(self.extra.pop()[0])
            return
        before = self.extra[-1][1] if self.extra else self.switched.y
        if len(self.extra) < 4:
            block = self.engine.add(Scale(0.5))
            self.engine.connect(before, block.x)
            self.extra.append((block, block.y))

    def settle(self) -> None:
        """Back to what it was in the beginning, so that memory can be compared."""
        while self.extra:
            self.engine.remove(self.extra.pop()[0])
        self.engine.profile = "off"
        self.switched.replace_source(source(_SOURCES[0]))
        self.engine.bind(self.first.x, _X)
        self.engine.update(sync=True)

    def _ignore(self, _: object) -> None:
        """Reading is an edit like the others, without an effect."""


def resident_kb() -> int:
    """Memory of this process in KB."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def open_files() -> int:
    """Open file descriptors of this process; 0 where the system does not tell."""
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


def sample(pipeline: Pipeline, frame: int) -> dict[str, int]:
    """What is held now, in the pipeline of the beginning."""
    pipeline.settle()
    gc.collect()
    device: Any = pipeline.engine.device
    return {
        "frame": frame,
        "resident_kb": resident_kb(),
        "allocations": getattr(device, "allocations", 0),
        "open_files": open_files(),
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
    }


def soak(device: str, frames: int, seed: int = 0) -> dict[str, Any]:
    """Run the frames, with what is held after every tenth of them. The first tenth is for warming up."""
    done: Counter[str] = Counter()
    samples = []
    engine = cg.CudaEngine(device)
    opened: Any = engine.device
    with engine:
        pipeline = Pipeline(engine, seed)
        names, weights = list(pipeline.edits), [weight for weight, _ in pipeline.edits.values()]
        started = time.perf_counter()
        for frame in range(1, frames + 1):
            name = pipeline.choose.choices(names, weights)[0]
            pipeline.edits[name][1]()
            done[name] += 1
            engine.update()
            if frame % max(1, frames // SAMPLES) == 0:
                samples.append(sample(pipeline, frame))
        seconds = time.perf_counter() - started
        assert not engine.errors, engine.errors
        figures: dict[str, Any] = {
            "device": device,
            "description": opened.description,
            "frames": frames,
            "seconds": round(seconds, 1),
            "us_per_frame": round(seconds / frames * 1e6, 2),
            "rebuilds": engine.rebuilds,
            "edits": dict(sorted(done.items())),
            "samples": samples,
            "growth_kb": samples[-1]["resident_kb"] - samples[0]["resident_kb"],
        }
    # The recording device counts for itself and frees nothing on closing, so what is left here was forgotten.
    figures["left_after_close"] = getattr(opened, "allocations", 0)
    return figures


def record() -> None:
    """The runs that the documentation shows."""
    runs = [soak(device, frames) for device, frames in RECORDED.items()]
    facts = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    EVIDENCE.parent.mkdir(exist_ok=True)
    EVIDENCE.write_text(json.dumps({"environment": facts, "runs": runs}, indent=1) + "\n")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="host")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    if options.record:
        record()
        return
    figures = soak(options.device, options.frames)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:18} {value}")


if __name__ == "__main__":
    main()
