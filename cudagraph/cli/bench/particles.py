"""The particle system of the demo in its steady state: emit, pull, slow down, move, draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph.blocks import ParticleSystem
from cudagraph.blocks.particles.particle import alive

from .fountain import Fountain, Settings, State
from .harness import Case, Maker, Options
from .peers import Call, Calls, cupy_module, inference, on_gpu, torch_module, tried, waiting, warp_module
from .single import ran

_STEADY = 260  # frames until as many particles die as are made


def cases(options: Options) -> dict[str, Maker]:
    """Two sizes: one that a cache holds, and a large one."""
    sizes = (
        (2000,) if options.quick else (100_000, 1_000_000) if not on_gpu(options.device) else (1_000_000, 10_000_000)
    )
    return {f"{size:,} particles": partial(_case, options, size) for size in sizes}


@contextmanager
def _case(options: Options, capacity: int) -> Iterator[Case]:
    settings = Settings(capacity, 64 if options.quick else 640, 36 if options.quick else 360)
    system = ParticleSystem(capacity, width=settings.width, height=settings.height)
    with cg.CudaEngine(options.device) as engine:
        engine.add(system)
        engine.keep(system.particles, system.light)
        ran(engine)
        for _ in range(_STEADY):
            engine.update()
        state = _state(engine, system)
        peers, skipped = _peers(state, settings, options)
        yield Case(
            ours=engine.update,
            wait=waiting(engine),
            check=lambda: _check(engine, system, state),
            peers=peers,
            skipped=skipped,
            amount=float(len(state.age)),
            unit="particles",
            bound=1e-3,
        )


def _state(engine: cg.CudaEngine, system: ParticleSystem) -> State:
    found = engine.read(system.particles)
    found = found[: alive(found, engine.read(system.count))]
    return State(*(np.ascontiguousarray(found[name]) for name in ("position", "velocity", "age", "lifetime")))


def _check(engine: cg.CudaEngine, system: ParticleSystem, before: State) -> float:
    """The share of the light that is not where NumPy puts it, drawing the same particles.

    At the border of two pixels rounding decides, so single particles may be in the next one.
    """
    particles, count = engine.read(system.particles), engine.read(system.count)
    wanted = system.splat.reference(particles, count, **{name: p.value for name, p in system.splat.parameters.items()})
    drift = abs(int(count) / max(len(before.age), 1) - 1)
    if drift > 0.05:
        raise AssertionError(f"the number of particles moved by {100 * drift:.0f}%: this is no steady state")
    return float(np.abs(engine.read(system.light) - wanted).sum() / wanted.sum())


def _peers(state: State, settings: Settings, options: Options) -> Calls:
    peers: dict[str, Call] = {}
    skipped: dict[str, str] = {}
    gpu = on_gpu(options.device)
    torch, cupy, warp = torch_module(), cupy_module(), warp_module()
    if not gpu:
        random = np.random.default_rng(0)
        peers["NumPy"] = Fountain(np, lambda *shape: random.random(shape, np.float32), state, settings).step
    if torch is None:
        skipped["torch"] = "not installed"
    else:
        tried(peers, skipped, "torch eager", lambda: _torch(torch, state, settings, "cuda" if gpu else "cpu"))
    if gpu and cupy is None:
        skipped["CuPy"] = "not installed"
    elif gpu:
        tried(peers, skipped, "CuPy", lambda: _cupy(cupy, state, settings))
    if warp is None:
        skipped["Warp graph" if gpu else "Warp"] = "not installed"
    else:
        tried(peers, skipped, "Warp graph" if gpu else "Warp", lambda: _warp(state, settings, gpu))
    return peers, skipped


def _torch(torch: Any, state: State, settings: Settings, place: str) -> Call:
    moved = State(*(torch.from_numpy(each).to(place) for each in state))
    fountain = Fountain(torch, lambda *shape: torch.rand(shape, device=place), moved, settings)
    return inference(torch, fountain.step)


def _cupy(cupy: Any, state: State, settings: Settings) -> Call:
    moved = State(*(cupy.asarray(each) for each in state))
    return Fountain(cupy, lambda *shape: cupy.random.random(shape, cupy.float32), moved, settings).step


def _warp(state: State, settings: Settings, gpu: bool) -> Call:
    from .warp_kernels import frames

    return frames(state, settings, "cuda" if gpu else "cpu", captured=gpu)
