"""Tensors of constant or random numbers that are made on the device, by the laws of `initialisers`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import vector_threads
from cudagraph.parameter import Parameter
from cudagraph.port import Port

from ..initialisers import fan, fans, gain_of
from .noise import uniforms, words


class ConstantInit(Block):
    """y = value. y: [...] of the given shape and dtype (float16, bfloat16, float32, float64); value is hot."""

    def __init__(self, shape: Sequence[int], value: float = 0.0, *, dtype: str = "float32") -> None:
        super().__init__()
        self.shape = tuple(shape)
        with BlockBuilder(self) as b:
            self.value = b.parameter("value", value)
            self.y = b.output("y", self.shape, dtype)
            _fill(b, self.y, 0, shift=self.value)

    def reference(self, *, value: float) -> np.ndarray:
        """The same in NumPy, float64."""
        return np.full(self.shape, value)


class NormalInit(Block):
    """y = mean + std z, z standard normal numbers of `seed`, the same in every frame and on every device.

    y: [...] of the given shape and dtype (float16, bfloat16, float32, float64). mean, std and seed are hot.
    """

    def __init__(
        self, shape: Sequence[int], mean: float = 0.0, std: float = 0.02, *, seed: int = 0, dtype: str = "float32"
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        with BlockBuilder(self) as b:
            self.mean = b.parameter("mean", mean)
            self.std = b.parameter("std", std)
            self.seed = b.parameter("seed", seed, "uint32")
            self.y = b.output("y", self.shape, dtype)
            _fill(b, self.y, 2, shift=self.mean, scale=self.std, seed=self.seed)

    def reference(self, *, mean: float, std: float, seed: int) -> np.ndarray:
        """The same in NumPy, float64."""
        return mean + std * _normal(seed, self.shape)


class XavierUniform(Block):
    """y = gain sqrt(6 / (fan_in + fan_out)) u, u uniform in [-1, 1), of `seed`, the same in every frame.

    y: [O, I, ...] of the given shape and dtype (float16, bfloat16, float32, float64). gain and seed are hot. Glorot and
    Bengio, AISTATS 2010. `DescriptionError` for fewer than 2 dimensions.
    """

    def __init__(self, shape: Sequence[int], gain: float = 1.0, *, seed: int = 0, dtype: str = "float32") -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.factor = math.sqrt(6 / sum(fans(self.shape)))
        with BlockBuilder(self) as b:
            self.gain = b.parameter("gain", gain)
            self.seed = b.parameter("seed", seed, "uint32")
            self.y = b.output("y", self.shape, dtype)
            _fill(b, self.y, 1, scale=self.gain, factor=self.factor, seed=self.seed)

    def reference(self, *, gain: float, seed: int) -> np.ndarray:
        """The same in NumPy, float64."""
        drawn = uniforms(seed, 0, math.prod(self.shape)).reshape(self.shape)
        return gain * self.factor * (2 * drawn - 1)


class KaimingNormal(Block):
    """y = gain / sqrt(fan) z, z standard normal numbers of `seed`, the same in every frame.

    y: [O, I, ...] of the given shape and dtype (float16, bfloat16, float32, float64); mode "fan_in" or "fan_out". The
    gain follows from nonlinearity and a, as in `initialisers.kaiming_normal`; gain and seed are hot. He et al., arXiv
    1502.01852. `DescriptionError` for another name, or fewer than 2 dimensions.
    """

    def __init__(
        self,
        shape: Sequence[int],
        a: float = 0.0,
        mode: str = "fan_in",
        nonlinearity: str = "leaky_relu",
        *,
        seed: int = 0,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.factor = 1 / math.sqrt(fan(self.shape, mode))
        with BlockBuilder(self) as b:
            self.gain = b.parameter("gain", gain_of(nonlinearity, a))
            self.seed = b.parameter("seed", seed, "uint32")
            self.y = b.output("y", self.shape, dtype)
            _fill(b, self.y, 2, scale=self.gain, factor=self.factor, seed=self.seed)

    def reference(self, *, gain: float, seed: int) -> np.ndarray:
        """The same in NumPy, float64."""
        return gain * self.factor * _normal(seed, self.shape)


def _fill(
    b: BlockBuilder,
    y: Port,
    law: int,
    *,
    shift: Parameter[Any] | float = 0.0,
    scale: Parameter[Any] | float = 1.0,
    factor: float = 1.0,
    seed: Parameter[Any] | int = 0,
) -> None:
    values = {"shift": shift, "scale": scale, "factor": factor, "seed": seed}
    b.kernel("regularization/fill", elements=vector_threads(y.size), define={"LAW": law}, y=y, n=y.size, **values)


def _normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Pairs by Box and Muller, as the kernel makes them."""
    count = math.prod(shape)
    drawn = words(seed, 0, -(-count // 4)).reshape(-1, 2)
    radius = np.sqrt(-2 * np.log(drawn[:, 0] + 2.0**-24))
    angle = 2 * np.pi * drawn[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()[:count].reshape(shape)
