"""A linear layer whose weights are left out at random."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import vector_threads

from ..channel_mixing.products import check_features, uniform
from .noise import Noise, dropped, uniforms


class DropConnect(Block):
    """y = x @ (m * weight / (1 - p)).T + bias, where each weight has its own m: 0 with probability p, else 1.

    x: [..., I], weight: [O, I], bias: [O], y: [..., O], all of `dtype` (float16, bfloat16, float32, float64). One mask
    a frame, drawn as for `Dropout`; the plain weight where not `training`. p, seed, training: hot. Wan et al., ICML
    2013, with the scale that keeps the mean. `DescriptionError` for another type, no features, or p outside of 0 to 1.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        p: float = 0.5,
        training: bool = False,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_features("a DropConnect", in_features, out_features, dtype)
        start = uniform(np.random.default_rng(seed), in_features**-0.5)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., in_features), dtype)
            self.weight = b.weight("weight", (out_features, in_features), dtype, start)
            self.bias = b.weight("bias", (out_features,), dtype, start) if bias else None
            noise = Noise(b, seed, training, p)
            self.p, self.seed, self.training = noise.p, noise.seed, noise.training
            self.y = b.output("y", (*self.x.shape[:-1], out_features), dtype)
            masked = b.scratch((out_features, in_features), dtype)
            n = in_features * out_features
            values = {"x": self.weight, "y": masked, "n": n, **noise.arguments}
            b.kernel("regularization/drop_connect", elements=vector_threads(n), **values)
            noise.advance(b)
            biased = {} if self.bias is None else {"bias": self.bias}
            b.library("cublas.gemm", a=self.x, b=masked, c=self.y, transpose_b=True, **biased)

    @staticmethod
    def reference(
        x: np.ndarray,
        *,
        weight: np.ndarray,
        p: float,
        seed: int,
        training: bool,
        bias: np.ndarray | None = None,
        frame: int = 0,
    ) -> np.ndarray:
        """The same in NumPy, with the same mask, for one frame."""
        if training:
            weight = dropped(weight, p, uniforms(seed, frame, weight.size).reshape(weight.shape) >= np.float32(p))
        y = x @ weight.T
        return y if bias is None else y + bias
