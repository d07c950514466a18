"""ResNet."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from ..composition.sequential import Sequential
from ..convolution import BottleneckBlock, Conv2d, FrozenBatchNorm2d, MaxPool2d, ResNetBlock
from .config import Config
from .key_table import KeyTable

PREFIX = "resnet."
_LAYER = "encoder.stages.*.layers.*"
KEYS: KeyTable = {
    "embedder.embedder.convolution.*": "stem.0.*",
    "embedder.embedder.normalization.*": "stem.1.*",
    **{f"{_LAYER}.layer.{i}.convolution.*": f"stages.*.*.conv{i + 1}.*" for i in range(3)},
    **{f"{_LAYER}.layer.{i}.normalization.*": f"stages.*.*.bn{i + 1}.*" for i in range(3)},
    f"{_LAYER}.shortcut.convolution.*": "stages.*.*.downsample.0.*",
    f"{_LAYER}.shortcut.normalization.*": "stages.*.*.downsample.1.*",
    "classifier.**": None,
}


class ResNet(Block):
    """last_hidden_state = stages(pool(relu(norm(conv(pixels))))): convolutions with residuals, in stages.

    pixels: [B, I, H, W], last_hidden_state: [B, C, H / 32, W / 32] of `dtype` (float16, bfloat16, float32) for four
    stages. layer_type: "bottleneck" or "basic". `library` of the convolutions: see `Conv2d`. The default is ResNet-50.
    He et al. 2015, arXiv 1512.03385.
    """

    def __init__(
        self,
        num_channels: int = 3,
        embedding_size: int = 64,
        hidden_sizes: tuple[int, ...] = (256, 512, 1024, 2048),
        depths: tuple[int, ...] = (3, 4, 6, 3),
        *,
        layer_type: str = "bottleneck",
        downsample_in_first_stage: bool = False,
        library: str | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"library": library, "dtype": dtype, "seed": seed}
        self.stem = Sequential(
            Conv2d(num_channels, embedding_size, 7, 2, 3, bias=False, **options),
            FrozenBatchNorm2d(embedding_size, activation="relu", dtype=dtype),
            MaxPool2d(3, 2, 1),
        )
        strides = (2 if downsample_in_first_stage else 1, *(2,) * (len(depths) - 1))
        sizes = pairwise((embedding_size, *hidden_sizes))
        self.stages = [
            Sequential(
                *(
                    _layer(layer_type, before if number == 0 else after, after, 1 if number else stride, options)
                    for number in range(depth)
                )
            )
            for (before, after), depth, stride in zip(sizes, depths, strides, strict=True)
        ]
        with BlockBuilder(self) as b:
            b.child(self.stem)
            self.pixels = b.expose(self.stem.x, "pixels")
            x = self.stem.y
            for stage in self.stages:
                x = b.apply(stage, x)
            self.last_hidden_state = b.expose(x, "last_hidden_state")


def _layer(kind: str, before: int, after: int, stride: int, options: dict[str, Any]) -> Block:
    if kind == "basic":
        return ResNetBlock(before, after, stride, **options)
    return BottleneckBlock(before, after // 4, stride, **options)


def from_config(config: Config, *, dtype: str, max_length: int | None, library: str | None = None) -> ResNet:
    """The model of a configuration."""
    config.require(hidden_act="relu", downsample_in_bottleneck=False)
    sizes, depths = config.counts("hidden_sizes"), config.counts("depths")
    if len(sizes) != len(depths):
        raise config.error("depths", f"a list of {len(sizes)} numbers, as many as hidden_sizes")
    kind = config.choice("layer_type", {"basic": "basic", "bottleneck": "bottleneck"}, "bottleneck")
    if kind == "bottleneck" and any(size % 4 for size in sizes):
        raise config.error("hidden_sizes", "a list of multiples of 4")
    return ResNet(
        config.count("num_channels", 3),
        config.count("embedding_size", 64),
        sizes,
        depths,
        layer_type=kind,
        downsample_in_first_stage=config.flag("downsample_in_first_stage", False),
        library=library,
        dtype=dtype,
    )
