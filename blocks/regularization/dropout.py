"""Elements and samples that are left out at random."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import vector_threads
from cudagraph.shape import maximum

from ..activation.launch import row_launch
from .noise import Noise, dropped, uniforms, words


class Dropout(Block):
    """y = 0 with probability p, else x / (1 - p), for each element; y = x where not `training`.

    x, y: [...] of one floating-point type (float16, bfloat16, float32, float64); y takes over x's memory. p, seed and
    training are hot. The mask depends on seed, frame (counted from 0 on the device) and element only, so the same seed
    and frame give the same mask on every device; two blocks of one seed draw the same, so give each its own.
    Srivastava et al., JMLR 15 (2014). `DescriptionError` for p outside of 0 to 1.
    """

    def __init__(self, p: float = 0.5, *, training: bool = False, seed: int = 0) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (...,), "T")
            noise = Noise(b, seed, training, p)
            self.p, self.seed, self.training = noise.p, noise.seed, noise.training
            self.y = b.output("y", self.x.shape, "T", inplace=self.x)
            size = self.y.size
            b.kernel("regularization/dropout", elements=vector_threads(size), y=self.y, n=size, **noise.arguments)
            noise.advance(b)

    @staticmethod
    def reference(x: np.ndarray, *, p: float, seed: int, training: bool, frame: int = 0) -> np.ndarray:
        """The same in NumPy, with the same mask, for one frame."""
        if not training:
            return x
        return dropped(x, p, uniforms(seed, frame, x.size).reshape(x.shape) >= np.float32(p))


class DropPath(Block):
    """y = 0 with probability p, else x / (1 - p), for each sample as a whole; y = x where not `training`.

    x, y: [N, ...], N samples of one floating-point type; y takes over x's memory. p, seed and training are hot. With
    scale_by_keep=False what is kept stays as it is. Masks are drawn as for `Dropout`. Also known as stochastic depth:
    Huang et al., arXiv 1603.09382. `DescriptionError` for p outside of 0 to 1.
    """

    def __init__(self, p: float = 0.1, scale_by_keep: bool = True, *, training: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.scale_by_keep = scale_by_keep
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("N", ...), "T")
            noise = Noise(b, seed, training, p)
            self.p, self.seed, self.training = noise.p, noise.seed, noise.training
            self.y = b.output("y", self.x.shape, "T", inplace=self.x)
            rows = self.x.shape[0]
            columns = self.x.size // maximum(1, rows)
            b.kernel(
                "regularization/drop_path",
                define={"SCALED": int(scale_by_keep)},
                y=self.y,
                rows=rows,
                columns=columns,
                **row_launch(rows, columns),
                **noise.arguments,
            )
            noise.advance(b)

    def reference(self, x: np.ndarray, *, p: float, seed: int, training: bool, frame: int = 0) -> np.ndarray:
        """The same in NumPy, with the same mask, for one frame."""
        if not training:
            return x
        kept = words(seed, frame, len(x))[:, 0] >= np.float32(p)
        kept = kept.reshape(-1, *(1,) * (x.ndim - 1))
        return dropped(x, p if self.scale_by_keep else 0.0, kept)
