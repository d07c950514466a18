"""The particle system with whole arrays: one text for NumPy, CuPy and torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, pi
from typing import Any, NamedTuple


class State(NamedTuple):
    """Particles that are alive: position and velocity [N, 3], age and lifetime [N]."""

    position: Any
    velocity: Any
    age: Any
    lifetime: Any


@dataclass(frozen=True)
class Settings:
    """The values that `ParticleSystem` begins with."""

    capacity: int
    width: int
    height: int
    gravity: float = 4.0
    drag: float = 0.15
    lifetime: float = 4.0
    speed: float = 4.5
    radius: float = 0.25
    dt: float = 1 / 60
    bounce: float = 0.7
    brightness: float = 0.5
    distance: float = 7.0
    eye_height: float = 2.0

    @property
    def rate(self) -> float:
        """Particles made in a second."""
        return self.capacity / self.lifetime


class Fountain:
    """One frame per `step()`; `xp` is numpy, cupy or torch, and `uniform(*shape)` draws from 0 to 1."""

    def __init__(self, xp: Any, uniform: Callable[..., Any], state: State, settings: Settings) -> None:
        self._xp, self._uniform, self._settings = xp, uniform, settings
        self.state = state
        self._owed = 0.0
        self.image: Any = None

    def step(self) -> Any:
        """Emit, pull, slow down, move, draw: the picture."""
        s, set_ = self.state, self._settings
        state = self._emitted(s, set_)
        position, velocity, age = state.position, state.velocity, state.age
        velocity[:, 1] -= set_.gravity * set_.dt
        velocity *= exp(-set_.drag * set_.dt)
        position += velocity * set_.dt
        age += set_.dt
        below = position[:, 1] < 0
        bounced = self._xp.where(below, -set_.bounce, 1.0)
        position[:, 1] *= bounced
        velocity[:, 1] *= bounced
        self.state = state
        self.image = self._picture(self._light(state))
        return self.image

    def _emitted(self, s: State, set_: Settings) -> State:
        xp = self._xp
        self._owed += set_.rate * set_.dt
        made = int(self._owed)
        self._owed -= made
        u, v, pace, life = self._uniform(4, made)
        z = 2 * u - 1
        flat = xp.sqrt((1 - z * z).clip(0, 1))
        out = xp.stack([flat * xp.cos(2 * pi * v), flat * xp.sin(2 * pi * v), z], 1)
        start = set_.radius * out
        start[:, 1] += 1.5
        living = s.age < s.lifetime
        new = (start, out * (set_.speed * (0.5 + 0.5 * pace))[:, None], life * 0, set_.lifetime * (0.75 + 0.25 * life))
        return State(
            *(xp.concatenate([old[living], fresh])[: set_.capacity] for old, fresh in zip(s, new, strict=True))
        )

    def _light(self, s: State) -> Any:
        xp, set_ = self._xp, self._settings
        depth = set_.distance - s.position[:, 2]
        scale = set_.height / depth
        column = xp.floor(0.5 * set_.width + scale * s.position[:, 0])
        row = xp.floor(0.5 * set_.height - scale * (s.position[:, 1] - set_.eye_height))
        seen = (depth >= 0.1) & (column >= 0) & (column < set_.width) & (row >= 0) & (row < set_.height)
        pixel = (row[seen] * set_.width + column[seen]) + 0.5
        pixel = pixel.long() if hasattr(pixel, "long") else pixel.astype("int64")
        old = (s.age / s.lifetime)[seen].clip(0, 1)
        light = set_.brightness * (1 - old * old)
        size = set_.width * set_.height
        colours = (light * (1 - 0.8 * old), light * (0.5 - 0.4 * old), light * (0.15 + 0.85 * old))
        return xp.stack([xp.bincount(pixel, colour, size) for colour in colours], 1)

    def _picture(self, light: Any) -> Any:
        shown = self._xp.round(255 * self._xp.sqrt(light / (1 + light)))
        return shown.byte() if hasattr(shown, "byte") else shown.astype("uint8")
