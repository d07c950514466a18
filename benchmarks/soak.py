"""Many frames with random hot changes: memory must not grow.

python benchmarks/soak.py [--device host|recording|cuda] [--frames 100000] [--json]
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import time
from pathlib import Path

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Add, Delay, Linear, ReLU, Scale


def resident_kb() -> int:
    """Memory of this process in KB."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def soak(device: str, frames: int, seed: int = 0) -> dict[str, float | int | str]:
    """Run the frames; resident memory is read after a tenth of them, when everything is warm, and at the end."""
    choose = random.Random(seed)
    with cg.CudaEngine(device) as engine:
        first, linear, relu, add, delay = engine.add(Scale(1.0), Linear(8, 8), ReLU(), Add(), Delay())
        engine.connect(first.y, linear.x)
        engine.connect(linear.y, relu.x)
        engine.connect(relu.y, add.a)
        engine.connect(delay.y, add.b)
        engine.connect(relu.y, delay.x)
        engine.bind(first.x, np.ones((4, 8), np.float32))
        edits = (
            lambda: setattr(first.factor, "value", choose.random()),
            lambda: setattr(linear.weight, "value", np.full((8, 8), choose.random(), np.float32)),
            lambda: engine.bind(first.x, np.full((4, 8), choose.random(), np.float32)),
            lambda: setattr(engine, "profile", choose.choice(["off", "frame", "block", "kernel"])),
            lambda: engine.read(add.c),
        )
        warm = 0
        started = time.perf_counter()
        for frame in range(frames):
            choose.choices(edits, weights=(40, 10, 10, 1, 5))[0]()
            engine.update()
            if frame == frames // 10:
                gc.collect()
                warm = resident_kb()
        engine.synchronize()
        seconds = time.perf_counter() - started
        gc.collect()
        return {
            "device": engine.device.description,
            "frames": frames,
            "rebuilds": engine.rebuilds,
            "us_per_frame": seconds / frames * 1e6,
            "resident_kb_warm": warm,
            "resident_kb_end": resident_kb(),
            "growth_kb": resident_kb() - warm,
        }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="host")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = soak(options.device, options.frames)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:18} {value}")


if __name__ == "__main__":
    main()
