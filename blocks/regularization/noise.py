"""Seeded random masks: what their blocks have in common, and the same masks in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.parameter import Parameter
from cudagraph.tensor import State

from ..particles.philox import philox, uniform


class Noise:
    """The hot parameters of a random mask (p, seed, training), and the number of the frame that it is drawn for."""

    def __init__(self, b: BlockBuilder, seed: int, training: bool, p: float | None = None) -> None:
        self.p: Parameter[Any] | None = None if p is None else b.parameter("p", p, low=0.0, high=1.0)
        self.seed = b.parameter("seed", seed, "uint32")
        self.training = b.parameter("training", training, "bool")
        self.frame: State = b.state("frame", (), "uint32", persistent=False)

    @property
    def arguments(self) -> dict[str, Any]:
        """What every kernel that draws takes."""
        known = {"seed": self.seed, "training": self.training, "frame": self.frame}
        return known if self.p is None else {**known, "p": self.p}

    def advance(self, b: BlockBuilder) -> None:
        """Count the frame, after everything that reads its number."""
        b.kernel("regularization/advance", grid=1, threads=1, frame=self.frame)


def words(seed: int, frame: int, elements: int, stream: int = 0) -> np.ndarray:
    """Four uniform numbers in [0, 1) for each element, as `kernels/philox.cuh` draws them. float64[elements, 4]."""
    counter = np.zeros((elements, 4), np.uint32)
    counter[:, 0] = np.arange(elements, dtype=np.uint32)
    counter[:, 1] = frame
    counter[:, 2] = stream
    return uniform(philox(counter, (seed, 0)))


def uniforms(seed: int, frame: int, count: int) -> np.ndarray:
    """A uniform number in [0, 1) for each of `count` elements: four neighbours share a counter. float64[count]."""
    return words(seed, frame, -(-count // 4)).ravel()[:count]


def dropped(x: np.ndarray, p: float, kept: np.ndarray) -> np.ndarray:
    """x / (1 - p) where kept, else 0."""
    scale = 1 / (1 - p) if p < 1 else 0.0
    return np.where(kept, x * scale, 0).astype(x.dtype)


def whole(block: str, name: str, value: int) -> int:
    """A number of things, at least 1, or `DescriptionError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DescriptionError(f"{block}: {name} is a whole number, at least 1, not {value!r}")
    return value
