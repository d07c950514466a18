"""The whole particle system in one block."""

from __future__ import annotations

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.port import Port

from .drag import Drag
from .gravity import Gravity
from .integrate import Integrate
from .sphere_emitter import SphereEmitter
from .splat import Splat
from .tone_map import ToneMap


class ParticleSystem(Block):
    """Emit, pull, slow down, move, draw: a fountain of at most `capacity` particles, kept on the device.

    Outputs: particles: Particle[capacity] after motion, count: uint32, light: float32[height, width, 3], image: uint8
    of the same shape. gravity (m/s2), drag (1/s), rate (1/s), dt (s): hot; every child's parameters too, by path.
    """

    def __init__(
        self,
        capacity: int = 100_000,
        *,
        rate: float | None = None,
        gravity: float = 4.0,
        drag: float = 0.15,
        lifetime: float = 4.0,
        dt: float = 1 / 60,
        width: int = 640,
        height: int = 360,
        seed: int = 0,
    ) -> None:
        super().__init__()
        rate = capacity / lifetime if rate is None else rate
        with BlockBuilder(self) as b:
            self.dt = b.parameter("dt", dt, low=0.0, high=1.0)
            self.emitter = b.child(SphereEmitter(capacity, rate, lifetime, seed=seed, dt=self.dt), "emitter")
            self.pull = b.child(Gravity(gravity, dt=self.dt), "gravity")
            self.slow = b.child(Drag(drag, dt=self.dt), "drag")
            self.move = b.child(Integrate(dt=self.dt), "integrate")
            self.splat = b.child(Splat(width, height), "splat")
            self.tone_map = b.child(ToneMap(), "tone_map")
            self._connect(b)
            self.gravity = b.expose(self.pull.strength, "gravity")
            self.drag = b.expose(self.slow.coefficient, "drag")
            self.rate = b.expose(self.emitter.rate, "rate")
            self.particles = b.expose(self.move.out, "particles")
            self.count = b.expose(self.emitter.particles.count, "count")
            self.light = b.expose(self.splat.image, "light")
            self.image = b.expose(self.tone_map.picture, "image")

    def _connect(self, b: BlockBuilder) -> None:
        particles: Port = self.emitter.particles
        count = self.emitter.particles.count
        for step in (self.pull, self.slow, self.move):
            b.connect(particles, step.particles)
            b.connect(count, step.count)
            particles = step.out
        b.connect(particles, self.splat.particles)
        b.connect(count, self.splat.count)
        b.connect(self.splat.image, self.tone_map.light)
        b.connect(b.delay(particles, name="particles_before"), self.emitter.previous)
        b.connect(b.delay(count, name="count_before"), self.emitter.previous_count)
