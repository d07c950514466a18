"""`cudagraph demo`: the particle system, run and measured."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cudagraph.blocks import ParticleSystem
from cudagraph.engine import CudaEngine
from cudagraph.errors import DescriptionError
from cudagraph.parameter import Parameter

from .keyboard import interactive
from .output import print_json, show
from .png import write_png

_FRAMES = 600
_SAMPLE = 30  # frames that are waited for, to measure one thing at a time
_TWEAK_EVERY = 20  # frames between two changes of a headless run


class Demo:
    """A particle system in an engine, with what was changed while it runs and how long its frames took."""

    def __init__(self, particles: int, device: str | None) -> None:
        self.engine = CudaEngine(device)
        self.system: ParticleSystem = self.engine.add(ParticleSystem(particles), name="particles")
        self.hot_updates = 0
        self.fps = 0.0
        self.overhead_us = 0.0
        for parameter in dict.fromkeys(self.system.parameters.values()):  # some are shown under two names
            parameter.on_change(self._count)

    @property
    def frames(self) -> int:
        """Frames started so far."""
        return self.engine.frame + 1

    def results(self) -> dict[str, Any]:
        """What `--json` prints."""
        self.engine.synchronize()
        return {
            "device": self.engine.device.name,
            "frames": self.frames,
            "rebuilds": self.engine.rebuilds,
            "hot_updates": self.hot_updates,
            "fps": round(self.fps, 1),
            "update_overhead_us": round(self.overhead_us, 2),
            "blocks": {
                block.path: {"time_ms": block.debug.time_ms, "append_counts": dict(block.debug.append_counts)}
                for block in self.engine.context.walk()
            },
        }

    def _count(self, _: object) -> None:
        self.hot_updates += 1


def run(
    particles: int, frames: int | None, device: str | None, *, headless: bool, as_json: bool, image: Path | None
) -> None:
    """Run the demo: live on a terminal, otherwise for a number of frames with values that change on the way."""
    if image is not None and not image.absolute().parent.is_dir():
        raise DescriptionError(f"--image: there is no folder {image.absolute().parent}")
    demo = Demo(particles, device)
    with demo.engine:
        if interactive() and not headless and not as_json:
            from .live import run_live

            run_live(demo, frames)
        else:
            run_headless(demo, frames or _FRAMES)
        results = demo.results()
        if image is not None:
            write_png(image, demo.engine.read(demo.system.image))
        if as_json:
            print_json(results)
        else:
            _print_summary(demo)


def run_headless(demo: Demo, frames: int) -> None:
    """First as fast as it goes, then frames that are waited for: for the overhead, and for the time of each block."""
    engine = demo.engine
    sample = min(_SAMPLE, frames // 4)
    plain = frames - 2 * sample
    tweaks = _tweaks(demo.system)
    engine.profile = "frame" if sample else "block"
    engine.update(sync=True)  # compiles
    started = time.perf_counter()
    for frame in range(1, plain):
        if frame % _TWEAK_EVERY == 0:
            parameter, factor = next(tweaks)
            parameter.value *= factor
        engine.update()
    engine.synchronize()
    demo.fps = (plain - 1) / (time.perf_counter() - started)
    demo.overhead_us = statistics.median([_overhead_us(engine) for _ in range(sample)] or [0.0])
    engine.profile = "block"
    for _ in range(sample):
        engine.update(sync=True)


def _tweaks(system: ParticleSystem) -> Iterator[tuple[Parameter[float], float]]:
    """Endless changes that take each other back."""
    ways = ((system.gravity, 1.25), (system.drag, 2.0), (system.rate, 0.8))
    return itertools.cycle((*ways, *((parameter, 1 / factor) for parameter, factor in ways)))


def _overhead_us(engine: CudaEngine) -> float:
    """Time in one `update()` that the device did not compute. A GPU computes after it, the host device inside of it."""
    started = time.perf_counter()
    engine.update()
    seconds = time.perf_counter() - started
    engine.synchronize()
    inside = engine.frame_ms if engine.device.name == "host" else None
    return max(0.0, 1e6 * seconds - 1e3 * (inside or 0.0))


def _print_summary(demo: Demo) -> None:
    engine = demo.engine
    show(engine.report(), "")
    measured = f", {demo.fps:,.0f} frames per second, {demo.overhead_us:.1f} us around each" if demo.fps else ""
    show(
        f"{demo.frames:,} frames on {engine.device.description}{measured}; "
        f"values changed: {demo.hot_updates:,}, builds: {engine.rebuilds:,}"
    )
