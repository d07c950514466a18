"""y = the patches of an image, each through one linear layer: the input of vision transformers."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port
from cudagraph.shape import maximum

from ..channel_mixing.products import linear_product, uniform
from ..layout.box import copy_box
from ..layout.patches import ImageToPatches, image_extents
from .table import check_table, normal, rows_launch


class PatchEmbedding(Block):
    """y = patches(x) @ weight.T + bias (+ positions): a convolution with its size as stride, as one product.

    x: [B, C, height, width], y: [B, patches, E], weight: [E, C, p, p] as torch's Conv2d has it, bias: [E], of `dtype`
    (float16, bfloat16, float32, float64); sums are float32 (float64 for float64). class_token=True puts the weight
    `cls_token` [1, 1, E] in front, and positions=True adds `pos_embed` [1, tokens, E], both in one kernel more. Weights
    are also loaded as "proj.weight" (timm) and as Hugging Face's ViT embeddings have them.

    Dosovitskiy et al. 2020, 2010.11929. `DescriptionError` when patches do not fill the image, or for another type.
    """

    def __init__(
        self,
        image: int | tuple[int, int],
        patch: int = 16,
        in_channels: int = 3,
        embed_dim: int = 768,
        bias: bool = True,
        *,
        class_token: bool = False,
        positions: bool = False,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        height, width = image if isinstance(image, tuple) else (image, image)
        check_table("PatchEmbedding", in_channels, embed_dim, dtype)
        if patch < 1 or min(height, width) < patch or height % patch or width % patch:
            raise DescriptionError(f"PatchEmbedding: patches of {patch} x {patch} do not fill {height} x {width}")
        self.patch, self.counts = patch, (height // patch, width // patch)
        inner, tokens = in_channels * patch * patch, self.counts[0] * self.counts[1]
        start = uniform(np.random.default_rng(seed), inner**-0.5)
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", in_channels, height, width), dtype)
            self.weight = b.weight("weight", (embed_dim, in_channels, patch, patch), dtype, start)
            self.bias = b.weight("bias", (embed_dim,), dtype, start) if bias else None
            whole = tokens + int(class_token)
            self.cls_token = (
                b.weight("cls_token", (1, 1, embed_dim), dtype, normal(seed, 0.02)) if class_token else None
            )
            self.pos_embed = (
                b.weight("pos_embed", (1, whole, embed_dim), dtype, normal(seed, 0.02)) if positions else None
            )
            self._name_weights(b)
            self.y = b.output("y", ("B", whole, embed_dim), dtype)
            joined = class_token or positions
            rows: Any = b.scratch(("B", tokens, embed_dim), dtype) if joined else self.y
            self._project(b, rows, inner)
            if joined:
                self._join(b, rows, tokens)

    def _name_weights(self, b: BlockBuilder) -> None:
        names = {
            self.weight: ("proj.weight", "patch_embeddings.projection.weight"),
            self.bias: ("proj.bias", "patch_embeddings.projection.bias"),
            self.pos_embed: ("pos_embed", "position_embeddings"),
        }
        for weight, others in names.items():
            for name in others:
                if weight is not None:
                    b.stored_as(weight, name)

    def _project(self, b: BlockBuilder, y: Port, inner: int) -> None:
        patches = b.scratch(("B", self.counts[0] * self.counts[1], inner), self.y.dtype)
        dims, run = image_extents(self.x, self.counts, (self.patch, self.patch), (self.patch, self.patch), False)
        copy_box(b, self.x, patches, run, dims)
        matrix = b.view(self.weight, (self.weight.shape[0], inner))
        linear_product(b, patches, matrix, y, bias=self.bias)

    def _join(self, b: BlockBuilder, rows: Any, tokens: int) -> None:
        columns: Any = self.y.shape[-1]
        b.kernel(
            "embedding/class_token",
            **rows_launch(self.y.rows, columns),
            define={"EXTRA": int(self.cls_token is not None), "POSITIONS": int(self.pos_embed is not None)},
            x=rows,
            token=rows if self.cls_token is None else self.cls_token,
            positions=rows if self.pos_embed is None else self.pos_embed,
            y=self.y,
            rows=self.y.rows,
            tokens=maximum(1, tokens),
            columns=columns,
        )

    def reference(
        self,
        x: np.ndarray,
        *,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        cls_token: np.ndarray | None = None,
        pos_embed: np.ndarray | None = None,
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        y = ImageToPatches(self.patch).reference(x) @ weight.reshape(len(weight), -1).T
        y = y if bias is None else y + bias
        if cls_token is not None:
            y = np.concatenate((np.broadcast_to(cls_token, (len(y), *cls_token.shape[1:])), y), 1)
        return y if pos_embed is None else y + pos_embed
