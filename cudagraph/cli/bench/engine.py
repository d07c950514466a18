"""What the engine itself costs: a frame, each tier of change, and a block, beside the same done with others."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count, cycle, pairwise
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph.blocks import Linear
from cudagraph.engine.devices.recording import RecordingDevice

from .engine_peers import Chain, chain_peers, recaptured
from .harness import Case, Maker, Options
from .peers import waiting
from .single import error_of, ran

_BY_VALUE = """extern "C" __global__ void scale(const float* x, float* y, float factor, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = factor * x[i];
}"""
_IN_BLOCK = _BY_VALUE.replace("float factor", "const float* factor").replace("= factor", "= *factor")
_ELEMENTS = 1024


class Scale(cg.Block):
    """y = factor * x; the factor by value, or in the parameter block."""

    def __init__(self, source: str = _BY_VALUE) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (...,))
            self.factor = b.parameter("factor", 1.0)
            self.y = b.output("y", self.x.shape)
            n = self.y.size
            b.kernel(cg.CudaSource(source), elements=n, x=self.x, y=self.y, factor=self.factor, n=n)


def cases(options: Options) -> dict[str, Maker]:
    """Frames and changes on the device, then the engine alone: on the recording device nothing is computed."""
    lengths = (2, 5) if options.quick else (20, 200)
    many = (10, 30) if options.quick else (10, 100, 1000, 10_000)
    found: dict[str, Maker] = {}
    for n in lengths:
        found[f"clean frame of {n} kernels"] = partial(_clean, options, n)
        found[f"hot: one value of {n} changed"] = partial(_hot, options, n, 1, _BY_VALUE)
    found[f"hot: {many[-2]} values by value"] = partial(_hot, options, many[-2], many[-2], _BY_VALUE)
    found[f"hot: {many[-2]} values in the parameter block"] = partial(_hot, options, many[-2], many[-2], _IN_BLOCK)
    found["recapture: an option of a library call"] = partial(_recapture, options)
    found["code: a kernel swapped, compiled before"] = partial(_code, options, lengths[0])
    found[f"structure: a block put in and taken out of {lengths[1]}"] = partial(_structure, options, lengths[1])
    for n in many:
        found[f"engine alone: clean update, {n} blocks"] = partial(_alone, n, "clean")
    for n in many:
        found[f"engine alone: rebuild, {n} blocks"] = partial(_alone, n, "rebuild")
    found[f"engine alone: one value, {many[0]} blocks"] = partial(_alone, many[0], "hot")
    return found


def chain(engine: cg.CudaEngine, length: int, source: str = _BY_VALUE) -> list[Scale]:
    """A chain of blocks, run once."""
    blocks = [engine.add(Scale(source)) for _ in range(length)]
    for earlier, later in pairwise(blocks):
        engine.connect(earlier.y, later.x)
    engine.bind(blocks[0].x, np.ones(_ELEMENTS, np.float32))
    ran(engine)
    return blocks


def _says(engine: cg.CudaEngine, blocks: list[Scale], wanted: float) -> float:
    return error_of(engine.read(blocks[-1].y), np.full(_ELEMENTS, wanted))


@contextmanager
def _clean(options: Options, length: int) -> Iterator[Case]:
    peers, skipped = chain_peers(Chain(length, _ELEMENTS), options)
    with cg.CudaEngine(options.device) as engine:
        blocks = chain(engine, length)
        yield Case(engine.update, lambda: _says(engine, blocks, 1.0), peers, 1e-6, waiting(engine), skipped)


@contextmanager
def _hot(options: Options, length: int, changed: int, source: str) -> Iterator[Case]:
    peers, skipped = chain_peers(Chain(length, _ELEMENTS, changed), options)
    with cg.CudaEngine(options.device) as engine:
        blocks = chain(engine, length, source)
        parameters = [block.factor for block in blocks[:changed]]
        values = cycle((1.0, 1.0 + 2.0**-20))

        def step() -> None:
            value = next(values)
            for parameter in parameters:
                parameter.value = value
            engine.update()

        def check() -> float:
            for parameter in parameters:
                parameter.value = 1.0
            parameters[0].value = 3.0
            engine.update()
            return max(_says(engine, blocks, 3.0), engine.rebuilds - 1.0)

        yield Case(step, check, peers, 1e-6, waiting(engine), skipped)


@contextmanager
def _recapture(options: Options) -> Iterator[Case]:
    """torch would capture its graph again for another epilogue; on the host there is nothing to compare with."""
    rows, features = 64, 64
    x = np.random.default_rng(0).standard_normal((rows, features), np.float32)
    with cg.CudaEngine(options.device) as engine:
        block = engine.add(Linear(features, features, seed=0))
        engine.bind(block.x, x)
        ran(engine)
        choices = cycle(("relu", "none"))
        bias = block.bias.value if block.bias is not None else 0.0

        def step() -> None:
            block.activation.value = next(choices)
            engine.update()

        def check() -> float:
            block.activation.value = "relu"
            engine.update()
            wanted = np.maximum(x @ block.weight.value.T + bias, 0)
            return max(error_of(engine.read(block.y), wanted), engine.rebuilds - 1.0)

        yield Case(step, check, {}, 1e-3, waiting(engine))


@contextmanager
def _code(options: Options, length: int) -> Iterator[Case]:
    with cg.CudaEngine(options.device) as engine:
        blocks = chain(engine, length)
        sources = [_BY_VALUE.replace("factor *", f"{k}.0f * factor *") for k in (1, 2)]
        turns = count()

        def swap(which: int) -> None:
            blocks[length // 2].replace_source(sources[which])
            engine.update()

        def check() -> float:
            swap(0)
            swap(1)
            return max(_says(engine, blocks, 2.0), engine.rebuilds - 1.0)

        peers, skipped = recaptured(Chain(length, _ELEMENTS), options)
        yield Case(lambda: swap(next(turns) % 2), check, peers, 1e-6, waiting(engine), skipped)


@contextmanager
def _structure(options: Options, length: int) -> Iterator[Case]:
    peers, skipped = recaptured(Chain(length, _ELEMENTS), options, times=2)
    with cg.CudaEngine(options.device) as engine:
        blocks = chain(engine, length)

        def step() -> None:
            extra = engine.add(Scale())
            engine.connect(blocks[-1].y, extra.x)
            engine.update()
            engine.remove(extra)
            engine.update()

        def check() -> float:
            before = engine.rebuilds
            step()
            return max(_says(engine, blocks, 1.0), abs(engine.rebuilds - before - 2.0))

        yield Case(step, check, peers, 1e-6, waiting(engine), skipped)


@contextmanager
def _alone(length: int, tier: str) -> Iterator[Case]:
    gc.collect()
    traced = tier == "rebuild" and length <= 1000  # tracing makes long chains slow
    if traced:
        tracemalloc.start()
    try:
        with cg.CudaEngine(RecordingDevice(checking=False)) as engine:
            blocks = chain(engine, length)
            gc.collect()
            figures = _memory(length) if traced else {}
            yield Case(_steps(engine, blocks)[tier], lambda: float(bool(engine.errors)), bound=0.0, figures=figures)
    finally:
        tracemalloc.stop()


def _memory(length: int) -> dict[str, float | str]:
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"bytes per block": used / length}


def _steps(engine: cg.CudaEngine, blocks: list[Scale]) -> dict[str, Callable[[], Any]]:
    values = count(2)

    def hot() -> None:
        blocks[0].factor.value = float(next(values))
        engine.update()

    def rebuild() -> None:
        engine.context.tracker.mark_structure("measured")
        engine.update()

    return {"clean": engine.update, "hot": hot, "rebuild": rebuild}
