"""New particles on a sphere, and the survivors of the last frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from .particle import PARTICLE, TimeStep, alive, time_step
from .philox import philox, uniform

CLOCK = np.dtype([("frame", "u4"), ("carry", "f4")])
"""What the emitter remembers: the frame's number, and the part of a particle that it still owes."""


class SphereEmitter(Block):
    """Particles that are still alive, then rate * dt new ones (on average) that fly off a sphere; order is not defined.

    previous: Particle[N] and previous_count: uint32 of the last frame, from delays. particles: appends Particle, with
    room for N = capacity; more are counted and lost. Random numbers depend on seed, frame and particle only, so that
    every device makes the same set. center (float3, m), radius (m), speed (m/s, times 0.5 to 1), rate (1/s), lifetime
    (s, times 0.75 to 1), dt (s), seed: hot. At most `capacity` new ones a frame.
    """

    def __init__(
        self,
        capacity: int,
        rate: float = 1000.0,
        lifetime: float = 4.0,
        speed: float = 4.5,
        *,
        center: Sequence[float] = (0.0, 1.5, 0.0),
        radius: float = 0.25,
        seed: int = 0,
        dt: TimeStep = 1 / 60,
    ) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.previous = b.input("previous", (capacity,), PARTICLE)
            self.previous_count = b.input("previous_count", (), "uint32")
            self.center = b.parameter("center", tuple(center), "float3")
            self.radius = b.parameter("radius", radius, low=0.0)
            self.speed = b.parameter("speed", speed)
            self.rate = b.parameter("rate", rate, low=0.0)
            self.lifetime = b.parameter("lifetime", lifetime, low=0.0)
            self.seed = b.parameter("seed", seed, "uint32")
            self.dt = time_step(b, dt)
            self.particles = b.append_output("particles", PARTICLE, capacity)
            self.clock = b.output("clock", (1,), CLOCK)
            b.kernel(
                "particles/emit",
                elements=capacity,
                previous=self.previous,
                previous_count=self.previous_count,
                before=b.delay(self.clock, name="clock_before"),
                now=self.clock,
                particles=self.particles,
                count=self.particles.count,
                center=self.center,
                radius=self.radius,
                speed=self.speed,
                rate=self.rate,
                lifetime=self.lifetime,
                dt=self.dt,
                seed=self.seed,
                capacity=capacity,
            )

    @staticmethod
    def reference(
        previous: np.ndarray,
        previous_count: np.ndarray,
        *,
        clock: np.ndarray,
        center: Sequence[float],
        radius: float,
        speed: float,
        rate: float,
        lifetime: float,
        dt: float,
        seed: int,
    ) -> tuple[np.ndarray, int, np.ndarray]:
        """Particles (survivors, then new ones), their number with the lost ones, and the clock after `clock`."""
        owed = clock["carry"][0] + np.float32(rate) * np.float32(dt)
        made = min(int(owed), len(previous))
        here = previous[: alive(previous, previous_count)]
        survivors = here[here["age"] < here["lifetime"]]
        out, pace, life = _draw(seed, made, int(clock["frame"][0]))
        new = np.zeros(made, PARTICLE)
        new["position"] = np.asarray(center) + radius * out
        new["velocity"] = speed * pace[:, None] * out
        new["lifetime"] = lifetime * life
        after = np.array([(clock["frame"][0] + 1, owed - np.floor(owed))], CLOCK)
        return np.concatenate([survivors, new])[: len(previous)], len(survivors) + made, after


def _draw(seed: int, made: int, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions, and the random factors of speed and lifetime, of the new particles of a frame."""
    counter = np.zeros((made, 4), np.uint32)
    counter[:, 0] = np.arange(made)
    counter[:, 1] = frame
    u, v, pace, life = uniform(philox(counter, (seed, 0))).T
    z = 2 * u - 1
    flat = np.sqrt(np.maximum(0, 1 - z * z))
    out = np.stack([flat * np.cos(2 * np.pi * v), flat * np.sin(2 * np.pi * v), z], axis=1)
    return out, 0.5 + 0.5 * pace, 0.75 + 0.25 * life
