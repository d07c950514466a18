"""y = x * sigmoid(fc2(relu(fc1(mean of x)))): channels weighed by what the whole image holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum

from .adaptive_pooling import GlobalAvgPool
from .composed import computed
from .conv import uniform
from .window import check_dtype


class SEBlock(Block):
    """y = x * s, s = sigmoid(fc2(relu(fc1(mean of x over H and W)))), one factor per channel.

    x, y: [..., C, H, W] of `dtype` (float16, bfloat16, float32, float64); weights as in torchvision and timm:
    fc1.weight [R, C, 1, 1], fc1.bias [R], fc2.weight [C, R, 1, 1], fc2.bias [C], R = `squeeze_channels`, by default
    C // 16, at least 1 (timm rounds to multiples of 8: give its number). Two kernels and two products.
    `DescriptionError` for no channels. Hu et al. 2017, arXiv 1709.01507.
    """

    def __init__(
        self, channels: int, squeeze_channels: int | None = None, *, dtype: str = "float32", seed: int | None = None
    ) -> None:
        super().__init__()
        inner = max(1, channels // 16) if squeeze_channels is None else squeeze_channels
        if channels < 1 or inner < 1:
            raise DescriptionError(f"a SEBlock has at least one channel, also inside, not {channels} and {inner}")
        check_dtype("a SEBlock", dtype)
        random = np.random.default_rng(seed)
        self.pool, self.gate = GlobalAvgPool(), ChannelGate()
        self.fc1 = _Pointwise(channels, inner, "relu", dtype, random)
        self.fc2 = _Pointwise(inner, channels, "none", dtype, random)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., channels, "H", "W"), dtype)
            gate = b.apply(self.fc2, b.apply(self.fc1, b.apply(self.pool, self.x)))
            self.y = b.expose(b.apply(self.gate, self.x, gate))

    def reference(self, x: np.ndarray, **_: Any) -> np.ndarray:
        """The same in NumPy with the weights that the block has, in the precision of x."""
        return computed(self.gate, x, computed(self.fc2, computed(self.fc1, computed(self.pool, x))))


class ChannelGate(Block):
    """y = x * sigmoid(gate): a plane of x is multiplied by one factor between 0 and 1.

    x, y: [..., H, W], gate: [...], of one floating-point type (float16, bfloat16, float32, float64); computed in
    float32 (float64 for float64).
    """

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., "H", "W"), "T")
            self.gate = b.input("gate", (...,), "T")
            self.y = b.output("y", self.x.shape, "T")
            positions = self.x.shape[-2] * self.x.shape[-1]
            strips = ceil_div(positions, 4 * 256)
            b.kernel(
                "convolution/channel_gate",
                grid=maximum(1, strips * self.gate.size),
                x=self.x,
                gate=self.gate,
                y=self.y,
                planes=self.gate.size,
                positions=positions,
                strips=strips,
            )

    @staticmethod
    def reference(x: np.ndarray, gate: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return x / (1 + np.exp(-gate))[..., None, None]


class _Pointwise(Block):
    """y = activation(x @ weight.T + bias), the weight stored as that of a 1x1 convolution: [O, I, 1, 1]."""

    def __init__(self, inputs: int, outputs: int, activation: str, dtype: str, random: np.random.Generator) -> None:
        super().__init__()
        self.activation = activation
        start = uniform(random, inputs**-0.5)
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., inputs), dtype)
            self.weight = b.weight("weight", (outputs, inputs, 1, 1), dtype, start)
            self.bias = b.weight("bias", (outputs,), dtype, start)
            self.y = b.output("y", (*self.x.shape[:-1], outputs), dtype)
            matrix = b.view(self.weight, (outputs, inputs))
            b.library(
                "cublas.gemm", a=self.x, b=matrix, c=self.y, bias=self.bias, transpose_b=True, epilogue=activation
            )

    def reference(self, x: np.ndarray, *, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        y = x @ weight.reshape(weight.shape[:2]).T + bias
        return np.maximum(y, 0) if self.activation == "relu" else y
