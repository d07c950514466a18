"""What a particle is, and what its blocks have in common."""

from __future__ import annotations

import numpy as np

from cudagraph.builder import BlockBuilder
from cudagraph.parameter import Parameter

PARTICLE = np.dtype([("position", "f4", 3), ("age", "f4"), ("velocity", "f4", 3), ("lifetime", "f4")])
"""One particle: 32 bytes, `struct Particle` in `kernels/particles/particle.cuh`. Metres and seconds."""

TimeStep = float | Parameter[float]
"""Seconds per frame: a number for a parameter of the block's own, or a parameter that several blocks share."""


def time_step(b: BlockBuilder, dt: TimeStep) -> Parameter[float]:
    """The time step as a hot parameter `dt`."""
    return dt if isinstance(dt, Parameter) else b.parameter("dt", dt, low=0.0, high=1.0)


def alive(particles: np.ndarray, count: np.ndarray) -> int:
    """How many of the particles are there: the counter of a full buffer counts the lost ones too."""
    return min(int(count), len(particles))
