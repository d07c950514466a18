"""Particles as points of light in an image."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from .particle import PARTICLE, alive


class Splat(Block):
    """image[pixel] += brightness * colour(age): every particle adds light to the pixel where it is seen.

    particles: Particle[N], of which the first `count` (uint32) are drawn. image: float32[height, width, 3]. The camera
    looks along -z from (0, eye_height, distance). brightness, distance (m), eye_height (m), zoom (1 = 53 degrees): hot.
    """

    def __init__(
        self,
        width: int = 640,
        height: int = 360,
        *,
        brightness: float = 0.5,
        distance: float = 7.0,
        eye_height: float = 2.0,
        zoom: float = 1.0,
    ) -> None:
        super().__init__()
        self._size = (height, width)
        with BlockBuilder(self) as b:
            self.particles = b.input("particles", ("N",), PARTICLE)
            self.count = b.input("count", (), "uint32")
            self.brightness = b.parameter("brightness", brightness, low=0.0)
            self.distance = b.parameter("distance", distance)
            self.eye_height = b.parameter("eye_height", eye_height)
            self.zoom = b.parameter("zoom", zoom, low=0.0)
            self.image = b.output("image", (height, width, 3))
            b.fill(self.image, 0)
            b.kernel(
                "particles/splat",
                elements="N",
                particles=self.particles,
                count=self.count,
                image=self.image,
                brightness=self.brightness,
                distance=self.distance,
                eye_height=self.eye_height,
                zoom=self.zoom,
                width=width,
                height=height,
                capacity="N",
            )

    def reference(
        self,
        particles: np.ndarray,
        count: np.ndarray,
        *,
        brightness: float,
        distance: float,
        eye_height: float,
        zoom: float,
    ) -> np.ndarray:
        """The same in NumPy."""
        height, width = self._size
        image = np.zeros((height, width, 3))
        seen = particles[: alive(particles, count)]
        x, y, z = seen["position"].T
        depth = np.float32(distance) - z
        seen, x, y, depth = (item[depth >= 0.1] for item in (seen, x, y, depth))
        scale = np.float32(zoom) * np.float32(height) / depth
        column = np.floor(np.float32(0.5 * width) + scale * x)
        row = np.floor(np.float32(0.5 * height) - scale * (y - np.float32(eye_height)))
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        old = np.minimum(seen["age"] / seen["lifetime"], 1)[inside].astype(np.float64)
        light = brightness * (1 - old * old)
        colour = np.stack([light * (1 - 0.8 * old), light * (0.5 - 0.4 * old), light * (0.15 + 0.85 * old)], axis=1)
        np.add.at(image, (row[inside].astype(int), column[inside].astype(int)), colour)
        return image
