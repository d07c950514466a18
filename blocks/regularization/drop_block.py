"""Squares of a picture that are left out at random."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.shape import ceil_div, maximum, minimum

from ..activation.launch import row_launch
from .noise import Noise, uniforms, whole


class DropBlock(Block):
    """y = x * m * n / sum(m), where m is 0 in squares of block_size around random places; y = x where not `training`.

    x, y: [N, C, H, W] of one floating-point type; y takes over x's memory. A square begins at each place where it fits
    with probability p H W / (S S (H - S + 1) (W - S + 1)), S = min(block_size, H, W); n is the number of elements of m.
    Each channel has its own squares, or with per_channel=False a sample's channels share them. p, seed, training: hot.
    Drawn as for `Dropout`. Ghiasi et al., arXiv 1810.12890. `DescriptionError` for p outside of 0 to 1, or no block.
    """

    def __init__(
        self,
        p: float = 0.1,
        block_size: int = 7,
        *,
        per_channel: bool = True,
        training: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.block_size, self.per_channel = whole("DropBlock", "block_size", block_size), per_channel
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("N", "C", "H", "W"), "T")
            noise = Noise(b, seed, training, p)
            self.p, self.seed, self.training = noise.p, noise.seed, noise.training
            self.y = b.output("y", self.x.shape, "T", inplace=self.x)
            self._describe(b, noise)

    def _describe(self, b: BlockBuilder, noise: Noise) -> None:
        samples, channels, height, width = (self.x.shape[axis] for axis in range(4))
        size = minimum(self.block_size, minimum(height, width))
        places = (height - size + 1) * (width - size + 1)
        planes = samples * channels if self.per_channel else samples
        seeds = b.scratch((planes * places,), "uint8", name="seeds")
        mask = b.scratch((planes, height, width), "uint8", name="mask")
        kept = b.scratch((), "uint32", name="kept")
        b.kernel(
            "regularization/drop_block_seeds",
            elements=maximum(1, ceil_div(planes * places, 4)),
            seeds=seeds,
            kept=kept,
            n=planes * places,
            area=height * width,
            divisor=size * size * places,
            **noise.arguments,
        )
        noise.advance(b)
        rows = planes * height
        sizes = {"rows": rows, "height": height, "width": width, "size": size}
        b.kernel(
            "regularization/drop_block_mask",
            elements=rows,
            seeds=seeds,
            mask=mask,
            kept=kept,
            training=noise.training,
            **sizes,
        )
        b.kernel(
            "regularization/drop_block",
            y=self.y,
            mask=mask,
            kept=kept,
            training=noise.training,
            rows=samples * channels,
            columns=height * width,
            share=1 if self.per_channel else channels,
            **row_launch(samples * channels, height * width),
        )

    def reference(self, x: np.ndarray, *, p: float, seed: int, training: bool, frame: int = 0) -> np.ndarray:
        """The same in NumPy, with the same mask, for one frame."""
        if not training:
            return x
        samples, channels, height, width = x.shape
        size = min(self.block_size, height, width)
        shape = (samples, channels if self.per_channel else 1, height - size + 1, width - size + 1)
        places = shape[2] * shape[3]
        gamma = np.float32(p) * np.float32(height * width) / np.float32(size * size * places)
        seeds = uniforms(seed, frame, shape[0] * shape[1] * places).reshape(shape) < gamma
        mask = np.ones((*shape[:2], height, width), bool)
        for i in range(size):
            for j in range(size):
                mask[:, :, i : i + shape[2], j : j + shape[3]] &= ~seeds
        return np.where(mask, x * (mask.size / (1e-6 + mask.sum())), 0).astype(x.dtype)
