"""A diffusion timestep as a vector: sines and cosines, then two linear layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div

from ..channel_mixing.linear import Linear
from .table import FLOATING


class TimestepSinusoid(Block):
    """y = [cos(t w), sin(t w)], w_i = max_period^(-i / (C / 2 - shift)): a time as C features.

    t: [B] float32, y: [B, C] of `dtype` (float16, bfloat16, float32, float64); an odd last feature is 0.
    cos_first=False has the sines first, as DDPM does, together with shift=1. The float32 `frequencies` are hot.

    Ho et al. 2020, 2006.11239. `DescriptionError` for fewer than 2 channels, a shift that leaves none, another type.
    """

    def __init__(
        self,
        channels: int,
        *,
        cos_first: bool = True,
        shift: float = 0.0,
        max_period: float = 10000.0,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        if channels < 2 or dtype not in FLOATING:
            raise DescriptionError(
                f"TimestepSinusoid has at least 2 channels of {', '.join(FLOATING)}, not {channels} of {dtype!r}"
            )
        frequencies = timestep_frequencies(channels, shift, max_period)
        self.channels, self.cos_first = channels, cos_first
        with BlockBuilder(self) as b:
            self.t = b.input("t", ("B",))
            self.frequencies = b.state("frequencies", frequencies.shape, "float32", frequencies, persistent=False)
            self.y = b.output("y", ("B", channels), dtype)
            b.kernel(
                "embedding/timestep",
                threads=128,
                grid=(ceil_div(channels // 2, 128), "B"),
                define={"COS_FIRST": int(cos_first)},
                t=self.t,
                frequencies=self.frequencies,
                y=self.y,
                rows="B",
                channels=channels,
            )

    def reference(self, t: np.ndarray) -> np.ndarray:
        """The same in NumPy; angles are rounded to float32, as the kernel has them."""
        angles = (t.astype(np.float32)[:, None] * self.frequencies.value).astype(t.dtype)
        parts = [np.cos(angles), np.sin(angles)] if self.cos_first else [np.sin(angles), np.cos(angles)]
        return np.concatenate([*parts, np.zeros((len(t), self.channels % 2))], 1)


class DiffusionTimestepEmbed(Block):
    """y = linear_2(silu(linear_1(e))), e = [cos(t w), sin(t w)]: how diffusion models are told the time.

    t: [B] float32, y: [B, hidden] of `dtype` (float16, bfloat16, float32, float64), hidden = 4 * channels unless said.
    The sinusoid and its options are those of `TimestepSinusoid`; the linear layers are named as in diffusers.
    """

    def __init__(
        self,
        channels: int,
        hidden: int | None = None,
        *,
        cos_first: bool = True,
        shift: float = 0.0,
        max_period: float = 10000.0,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        wide = hidden or 4 * channels
        with BlockBuilder(self) as b:
            self.sinusoid = TimestepSinusoid(
                channels, cos_first=cos_first, shift=shift, max_period=max_period, dtype=dtype
            )
            self.linear_1 = Linear(channels, wide, activation="silu", dtype=dtype, seed=seed)
            self.linear_2 = Linear(wide, wide, dtype=dtype, seed=None if seed is None else seed + 1)
            features = b.apply(self.sinusoid, b.input("t", ("B",)))
            self.y = b.expose(b.apply(self.linear_2, b.apply(self.linear_1, features)), "y")
        self.t = self.ports["t"]

    def reference(self, t: np.ndarray, **weights: Any) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        first, second = ({name: weights[f"linear_{k}/{name}"] for name in ("weight", "bias")} for k in (1, 2))
        hidden = self.linear_1.reference(self.sinusoid.reference(t), **first, activation="silu")
        return self.linear_2.reference(hidden, **second)


def timestep_frequencies(channels: int, shift: float = 0.0, max_period: float = 10000.0) -> np.ndarray:
    """w_i = max_period^(-i / (channels / 2 - shift)), computed in float64: float32 [channels / 2]."""
    half = channels // 2
    if half - shift <= 0:
        raise DescriptionError(f"timesteps: a shift of {shift} leaves nothing of {half} frequencies")
    return np.exp(-math.log(max_period) / (half - shift) * np.arange(half)).astype(np.float32)
