"""An image as tokens: its patches, and one that stands for the whole."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum

from ..layout import ImageToPatches


class PatchTokens(Block):
    """y = [cls_token; patches(x) @ weight.T + bias] + positions: the input of a vision transformer.

    x: [B, I, H, W] of image_size, weight: [C, I, h, w] as of a convolution, bias: [C], cls_token: [1, 1, C],
    positions: [1, N + 1, C], y: [B, N + 1, C], N = H / h * W / w, of `dtype` (float16, bfloat16, float32). Three
    nodes: patches as rows, one product, and the rest. `DescriptionError` for an image smaller than a patch.
    Dosovitskiy et al. 2020, arXiv 2010.11929.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        patch_size: tuple[int, int],
        channels: int,
        embed_dim: int,
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        (height, width), (tall, wide) = image_size, patch_size
        count = height // tall * (width // wide) if min(patch_size) > 0 else 0
        if min(count, channels, embed_dim) < 1:
            raise DescriptionError(
                f"PatchTokens: an image of {height} x {width} x {channels} has no patches of {tall} x {wide} "
                f"in {embed_dim} features"
            )
        random = np.random.default_rng(seed)
        self.patches = ImageToPatches(patch_size)

        def small(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
            return random.normal(0, 0.02, shape).astype(dtype)

        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", channels, height, width), dtype)
            self.weight = b.weight("weight", (embed_dim, channels, tall, wide), dtype, small)
            self.bias = b.weight("bias", (embed_dim,), dtype)
            self.cls_token = b.weight("cls_token", (1, 1, embed_dim), dtype, small)
            self.positions = b.weight("positions", (1, count + 1, embed_dim), dtype, small)
            self.y = b.output("y", ("B", count + 1, embed_dim), dtype)
            patches = b.apply(self.patches, self.x)
            matrix = b.view(self.weight, (embed_dim, channels * tall * wide))
            product = b.scratch(("B", count, embed_dim), dtype)
            b.library("cublas.gemm", a=patches, b=matrix, c=product, transpose_b=True, bias=self.bias)
            threads = min(128, 32 * ceil_div(embed_dim, 128))
            b.kernel(
                "models/class_token",
                threads=threads,
                grid=(ceil_div(embed_dim, 4 * threads), count + 1, maximum(1, self.x.shape[0])),
                x=product,
                first=self.cls_token,
                positions=self.positions,
                y=self.y,
                columns=embed_dim,
            )

    @staticmethod
    def reference(
        x: np.ndarray, *, weight: np.ndarray, bias: np.ndarray, cls_token: np.ndarray, positions: np.ndarray
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        tall, wide = weight.shape[2:]
        seen = np.lib.stride_tricks.sliding_window_view(x, (tall, wide), (2, 3))[:, :, ::tall, ::wide]
        patches = np.einsum("bihwpq,oipq->bhwo", seen, weight).reshape(len(x), -1, len(weight)) + bias
        return np.concatenate([np.broadcast_to(cls_token, (len(x), 1, len(weight))), patches], 1) + positions
