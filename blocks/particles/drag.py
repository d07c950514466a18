"""Friction with the air."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from .particle import PARTICLE, TimeStep, alive, time_step


class Drag(Block):
    """velocity *= exp(-coefficient * dt), in place, for the first `count` of N particles.

    particles, out: Particle[N]. count: uint32. coefficient (1/s), dt (s): hot.
    """

    def __init__(self, coefficient: float = 0.1, dt: TimeStep = 1 / 60) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.particles = b.input("particles", ("N",), PARTICLE)
            self.count = b.input("count", (), "uint32")
            self.coefficient = b.parameter("coefficient", coefficient, low=0.0)
            self.dt = time_step(b, dt)
            self.out = b.output("out", ("N",), PARTICLE, inplace=self.particles)
            b.kernel(
                "particles/drag",
                elements="N",
                particles=self.out,
                count=self.count,
                coefficient=self.coefficient,
                dt=self.dt,
                capacity="N",
            )

    @staticmethod
    def reference(particles: np.ndarray, count: np.ndarray, *, coefficient: float, dt: float) -> np.ndarray:
        """The same in NumPy."""
        out = particles.copy()
        out["velocity"][: alive(particles, count)] *= np.exp(-coefficient * dt)
        return out
