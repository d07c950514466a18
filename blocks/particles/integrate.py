"""Motion: positions follow velocities."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from .particle import PARTICLE, TimeStep, alive, time_step


class Integrate(Block):
    """position += velocity * dt, age += dt, in place, for the first `count` of N particles.

    A particle that falls through the floor y = 0 is reflected with `bounce` of its vertical speed.
    particles, out: Particle[N]. count: uint32. bounce (0 to 1), dt (s): hot.
    """

    def __init__(self, bounce: float = 0.7, dt: TimeStep = 1 / 60) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.particles = b.input("particles", ("N",), PARTICLE)
            self.count = b.input("count", (), "uint32")
            self.bounce = b.parameter("bounce", bounce, low=0.0, high=1.0)
            self.dt = time_step(b, dt)
            self.out = b.output("out", ("N",), PARTICLE, inplace=self.particles)
            b.kernel(
                "particles/integrate",
                elements="N",
                particles=self.out,
                count=self.count,
                bounce=self.bounce,
                dt=self.dt,
                capacity="N",
            )

    @staticmethod
    def reference(particles: np.ndarray, count: np.ndarray, *, bounce: float, dt: float) -> np.ndarray:
        """The same in NumPy."""
        out = particles.copy()
        moved = out[: alive(particles, count)]
        moved["position"] += moved["velocity"] * dt
        moved["age"] += dt
        below = moved["position"][:, 1] < 0
        moved["position"][below, 1] *= -bounce
        moved["velocity"][below, 1] *= -bounce
        return out
