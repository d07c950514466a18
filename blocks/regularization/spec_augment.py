"""Bands of frequencies and stretches of time that are left out of a spectrogram."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from ..activation.launch import row_launch
from .noise import Noise, words


class SpecAugment(Block):
    """y = 0 where the frequency or the time lies in one of a sample's masks, else x; y = x where not `training`.

    x, y: [N, F, T], spectrograms of one floating-point type; y takes over x's memory. Each sample has `frequency_masks`
    masks of floor(u frequency_mask) lines and `time_masks` of floor(u min(time_mask, time_ratio T)) frames, u uniform
    in [0, 1), at uniform places. All of these, seed and training are hot. Masks are drawn as for `Dropout`. Park et
    al., arXiv 1904.08779, without time warping. `DescriptionError` for numbers below 0, or more than 16 masks.
    """

    def __init__(
        self,
        frequency_mask: int = 27,
        time_mask: int = 100,
        frequency_masks: int = 2,
        time_masks: int = 2,
        *,
        time_ratio: float = 1.0,
        training: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("N", "F", "T"), "T")
            self.frequency_mask = b.parameter("frequency_mask", frequency_mask, "int32", low=0)
            self.time_mask = b.parameter("time_mask", time_mask, "int32", low=0)
            self.frequency_masks = b.parameter("frequency_masks", frequency_masks, "int32", low=0, high=16)
            self.time_masks = b.parameter("time_masks", time_masks, "int32", low=0, high=16)
            self.time_ratio = b.parameter("time_ratio", time_ratio, low=0.0, high=1.0)
            noise = Noise(b, seed, training)
            self.seed, self.training = noise.seed, noise.training
            self.y = b.output("y", self.x.shape, "T", inplace=self.x)
            b.kernel(
                "regularization/spec_augment",
                y=self.y,
                frequency_mask=self.frequency_mask,
                time_mask=self.time_mask,
                frequency_masks=self.frequency_masks,
                time_masks=self.time_masks,
                time_ratio=self.time_ratio,
                rows=self.x.rows,
                frequencies=self.x.shape[1],
                times=self.x.shape[2],
                **row_launch(self.x.rows, self.x.shape[2]),
                **noise.arguments,
            )
            noise.advance(b)

    @staticmethod
    def reference(
        x: np.ndarray,
        *,
        frequency_mask: int,
        time_mask: int,
        frequency_masks: int,
        time_masks: int,
        time_ratio: float,
        seed: int,
        training: bool,
        frame: int = 0,
    ) -> np.ndarray:
        """The same in NumPy, with the same masks, for one frame."""
        if not training:
            return x
        samples, frequencies, times = x.shape
        limit = min(time_mask, int(np.float32(time_ratio) * np.float32(times)))
        masked = np.zeros(x.shape, bool)
        for i in range(frequency_masks):
            masked |= _lines(words(seed, frame, samples, i), frequency_mask, frequencies)[:, :, None]
        for i in range(time_masks):
            masked |= _lines(words(seed, frame, samples, 256 + i), limit, times)[:, None, :]
        return np.where(masked, x.dtype.type(0), x)


def _lines(drawn: np.ndarray, limit: int, length: int) -> np.ndarray:
    """Which of `length` lines a mask holds, for every sample. bool[samples, length]."""
    u, v = drawn[:, :2].astype(np.float32).T
    width = np.minimum(length, (u * np.float32(limit)).astype(np.int32))
    first = (v * (length - width).astype(np.float32)).astype(np.int32)
    lines = np.arange(length)
    return (lines >= first[:, None]) & (lines < (first + width)[:, None])
