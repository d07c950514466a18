"""From light to a picture."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import vector_threads


class ToneMap(Block):
    """picture = 255 * sqrt(v) with v = exposure * light / (1 + exposure * light): any light fits a screen.

    light: float32[...], not negative. picture: uint8[...]. exposure: hot.
    """

    def __init__(self, exposure: float = 1.0) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.light = b.input("light", (...,))
            self.exposure = b.parameter("exposure", exposure, low=0.0)
            self.picture = b.output("picture", self.light.shape, "uint8")
            b.kernel(
                "particles/tone_map",
                elements=vector_threads(self.light.size),
                light=self.light,
                picture=self.picture,
                exposure=self.exposure,
                n=self.light.size,
            )

    @staticmethod
    def reference(light: np.ndarray, *, exposure: float) -> np.ndarray:
        """The same in NumPy; float32 throughout, so that rounding to bytes agrees."""
        v = np.float32(exposure) * light.astype(np.float32)
        return np.rint(np.float32(255) * np.sqrt(v / (1 + v))).astype(np.uint8)
