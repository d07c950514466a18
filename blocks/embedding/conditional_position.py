"""y = x + depthwise 3 x 3 convolution of x over the grid of tokens."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, minimum

from .table import check_table, normal


class ConditionalPositionEncoding(Block):
    """y = x + bias + conv(x, weight): a depthwise 3 x 3 convolution, padded with zeros, over the grid of tokens.

    x, y: [B, extra + height * width, C], weight: [C, 1, 3, 3], bias: [C], of `dtype` (float16, bfloat16, float32,
    float64); sums are float32 (float64 for float64). The first `extra` tokens, such as a class token, pass unchanged.
    Weights are loaded and stored as "proj.0.weight" and "proj.0.bias", as in timm's PosConv, and start normal.

    Chu et al. 2021, 2102.10882. `DescriptionError` for an empty grid or another type.
    """

    def __init__(
        self,
        dim: int,
        height: int,
        width: int,
        *,
        extra: int = 0,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        check_table("ConditionalPositionEncoding", min(height, width), dim, dtype)
        if extra < 0:
            raise DescriptionError(f"ConditionalPositionEncoding: extra tokens are at least 0, not {extra}")
        tokens = extra + height * width
        self.grid = height, width
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", tokens, dim), dtype)
            self.weight = b.weight("weight", (dim, 1, 3, 3), dtype, normal(seed, 1 / 3))
            self.bias = b.weight("bias", (dim,), dtype)
            b.stored_as(self.weight, "proj.0.weight")
            b.stored_as(self.bias, "proj.0.bias")
            self.y = b.output("y", self.x.shape, dtype)
            threads = minimum(256, 32 * ceil_div(dim, 32))
            b.kernel(
                "embedding/conditional_position",
                threads=threads,
                grid=(ceil_div(dim, threads), tokens, "B"),
                define={"EXTRA": extra},
                x=self.x,
                weight=self.weight,
                bias=self.bias,
                y=self.y,
                height=height,
                width=width,
                channels=dim,
            )

    def reference(self, x: np.ndarray, *, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        height, width = self.grid
        extra = x.shape[1] - height * width
        grid = x[:, extra:].reshape(len(x), height, width, -1)
        padded = np.pad(grid, ((0, 0), (1, 1), (1, 1), (0, 0)))
        added = sum(padded[:, i : i + height, j : j + width] * weight[:, 0, i, j] for i in range(3) for j in range(3))
        y = (grid + added + bias).reshape(len(x), height * width, -1)
        return np.concatenate((x[:, :extra], y), 1)
