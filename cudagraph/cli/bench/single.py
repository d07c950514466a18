"""Cases of one block: bound arrays in, one frame per call, and the result against a formula in double precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

import cudagraph as cg

from .harness import Case
from .peers import waiting

BOUNDS = {"float32": 1e-5, "float16": 2e-3}
"""Largest error relative to the largest value, for sums of a few thousand terms."""


def error_of(got: Any, wanted: Any) -> float:
    """The largest difference, relative to the largest value."""
    wanted = np.asarray(wanted, np.float64)
    scale = np.abs(wanted).max(initial=0.0) or 1.0
    return float(np.abs(np.asarray(got, np.float64) - wanted).max(initial=0.0) / scale)


def ran(engine: cg.CudaEngine) -> cg.CudaEngine:
    """The engine after a first frame; what did not build is raised."""
    engine.update(sync=True)
    if engine.errors:
        raise engine.errors[0]
    return engine


@contextmanager
def one_block(
    device: str,
    block: cg.Block,
    inputs: Mapping[str, np.ndarray],
    wanted: Callable[[], Any],
    rows: Any = slice(None),
    **case: Any,
) -> Iterator[Case]:
    """A case of one block on its own. `wanted` gives the right result of these rows; `case` is passed on."""
    with cg.CudaEngine(device) as engine:
        engine.add(block)
        for name, array in inputs.items():
            engine.bind(getattr(block, name), array)
        ran(engine)
        port = block.outputs[0]
        case.setdefault("bound", BOUNDS.get(engine.read(port).dtype.name, 1e-5))
        yield Case(
            ours=engine.update,
            wait=waiting(engine),
            check=lambda: error_of(engine.read(port)[rows], wanted()),
            **case,
        )
