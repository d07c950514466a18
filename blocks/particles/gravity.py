"""A constant acceleration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from .particle import PARTICLE, TimeStep, alive, time_step


class Gravity(Block):
    """velocity += strength * direction * dt, in place, for the first `count` of N particles.

    particles, out: Particle[N]. count: uint32. strength (m/s2), direction (float3), dt (s): hot.
    """

    def __init__(
        self,
        strength: float = 9.81,
        direction: Sequence[float] = (0.0, -1.0, 0.0),
        dt: TimeStep = 1 / 60,
    ) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.particles = b.input("particles", ("N",), PARTICLE)
            self.count = b.input("count", (), "uint32")
            self.strength = b.parameter("strength", strength)
            self.direction = b.parameter("direction", tuple(direction), "float3")
            self.dt = time_step(b, dt)
            self.out = b.output("out", ("N",), PARTICLE, inplace=self.particles)
            b.kernel(
                "particles/gravity",
                elements="N",
                particles=self.out,
                count=self.count,
                strength=self.strength,
                direction=self.direction,
                dt=self.dt,
                capacity="N",
            )

    @staticmethod
    def reference(
        particles: np.ndarray, count: np.ndarray, *, strength: float, direction: Sequence[float], dt: float
    ) -> np.ndarray:
        """The same in NumPy."""
        out = particles.copy()
        out["velocity"][: alive(particles, count)] += strength * np.asarray(direction) * dt
        return out
