"""The blocks of residual networks: y = relu(f(x) + shortcut(x))."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.port import Port

from ..composition.sequential import Sequential
from ..normalization.batch_norm import BatchNorm2d
from .composed import computed
from .conv import Conv2d
from .frozen_batch_norm import FrozenBatchNorm2d


class Residual(Block):
    """What the blocks y = relu(f(x) + shortcut(x)) share."""

    x: Port
    downsample: Sequential | None

    def train(self, mode: bool = True) -> None:
        """Normalise with the statistics of each batch and track them, from the next frame on; or with the stored ones.

        The same as `training` of every normalisation. Nothing happens where all of them are frozen.
        """
        for name, parameter in self.parameters.items():
            if name.rpartition("/")[2] == "training":
                parameter.value = int(mode)

    def _finish(self, b: BlockBuilder, norm: Block, inner: Port) -> Port:
        """relu(norm(inner) + shortcut(x)), where the normalisation stands last."""
        around = self.x if self.downsample is None else b.apply(self.downsample, self.x)
        if isinstance(norm, FrozenBatchNorm2d):
            return b.expose(b.apply(norm, inner, around))
        self.add = AddReLU()
        return b.expose(b.apply(self.add, b.apply(norm, inner), around))

    def _finished(self, norm: Block, inner: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        around = x if self.downsample is None else computed(self.downsample, x)
        if isinstance(norm, FrozenBatchNorm2d):
            return computed(norm, inner, around)
        return np.maximum(computed(norm, inner) + around, 0)


class AddReLU(Block):
    """y = max(a + b, 0). a, b, y: [...] of one type; NaN stays NaN."""

    def __init__(self) -> None:
        super().__init__()
        with BlockBuilder(self) as b:
            self.a = b.input("a", (...,), "T")
            self.b = b.input("b", (...,), "T")
            self.y = b.output("y", (...,), "T")
            b.elementwise("y = a + b < T(0) ? T(0) : T(a + b)", a=self.a, b=self.b, y=self.y)


class ResNetBlock(Residual):
    """y = relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)): the basic block, 3x3 convolutions.

    x: [..., I, H, W], y: [..., O, H', W'], H' = (H - 1) // stride + 1. The shortcut is x, or where its shape changes
    (or with `downsample=True`) a 1x1 convolution and its normalisation. Names as in torchvision: conv1, bn1, conv2,
    bn2, downsample.0, downsample.1. Normalisation uses the stored statistics, in one pass with activation and addition.
    With `frozen=False` the normalisations are `BatchNorm2d`s, which can use and track those of the batch: `train()`,
    and `training` and `momentum` of each are hot; the addition is a kernel more. Types, `library`: see `Conv1d`.
    He et al. 2015, arXiv 1512.03385.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        downsample: bool | None = None,
        eps: float = 1e-5,
        frozen: bool = True,
        library: str | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        changes = stride != 1 or in_channels != out_channels
        options: dict[str, Any] = {"bias": False, "library": library, "dtype": dtype, "seed": seed}
        self.conv1 = Conv2d(in_channels, out_channels, 3, stride, 1, **options)
        self.bn1 = normalisation(out_channels, eps, frozen, dtype, "relu")
        self.conv2 = Conv2d(out_channels, out_channels, 3, 1, 1, **options)
        self.bn2 = normalisation(out_channels, eps, frozen, dtype, "relu", last=True)
        self.downsample = (
            shortcut(in_channels, out_channels, stride, eps, frozen, options)
            if (changes if downsample is None else downsample)
            else None
        )
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., in_channels, "H", "W"), dtype)
            inner = b.apply(self.conv2, b.apply(self.bn1, b.apply(self.conv1, self.x)))
            self.y = self._finish(b, self.bn2, inner)

    def reference(self, x: np.ndarray, **_: Any) -> np.ndarray:
        """The same in NumPy with the weights that the block has, in the precision of x."""
        inner = computed(self.conv2, computed(self.bn1, computed(self.conv1, x)))
        return self._finished(self.bn2, inner, x)


class BottleneckBlock(Residual):
    """y = relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x)): 1x1, 3x3, 1x1 convolutions.

    x: [..., I, H, W], y: [..., 4 P, H', W'] for P = `planes`; the 3x3 convolution has P base_width / 64 * groups
    channels in `groups`, and the stride (as torchvision; the paper strides in the first). The shortcut, names, types,
    library and normalisation are those of `ResNetBlock`, with conv3 and bn3. He et al. 2015, arXiv 1512.03385.
    """

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int = 1,
        *,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        downsample: bool | None = None,
        eps: float = 1e-5,
        frozen: bool = True,
        library: str | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        width, out_channels = int(planes * (base_width / 64)) * groups, 4 * planes
        changes = stride != 1 or in_channels != out_channels
        options: dict[str, Any] = {"bias": False, "library": library, "dtype": dtype, "seed": seed}
        self.conv1 = Conv2d(in_channels, width, 1, **options)
        self.bn1 = normalisation(width, eps, frozen, dtype, "relu")
        self.conv2 = Conv2d(width, width, 3, stride, dilation, dilation, groups, **options)
        self.bn2 = normalisation(width, eps, frozen, dtype, "relu")
        self.conv3 = Conv2d(width, out_channels, 1, **options)
        self.bn3 = normalisation(out_channels, eps, frozen, dtype, "relu", last=True)
        self.downsample = (
            shortcut(in_channels, out_channels, stride, eps, frozen, options)
            if (changes if downsample is None else downsample)
            else None
        )
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., in_channels, "H", "W"), dtype)
            first = b.apply(self.bn1, b.apply(self.conv1, self.x))
            second = b.apply(self.bn2, b.apply(self.conv2, first))
            self.y = self._finish(b, self.bn3, b.apply(self.conv3, second))

    def reference(self, x: np.ndarray, **_: Any) -> np.ndarray:
        """The same in NumPy with the weights that the block has, in the precision of x."""
        inner = computed(self.bn2, computed(self.conv2, computed(self.bn1, computed(self.conv1, x))))
        return self._finished(self.bn3, computed(self.conv3, inner), x)


class ResNeXtBlock(BottleneckBlock):
    """y = relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x)), the 3x3 convolution in many groups.

    A `BottleneckBlock` with 32 groups of 4 channels (for 64 planes) unless told otherwise. Xie et al. 2016,
    arXiv 1611.05431.
    """

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int = 1,
        *,
        groups: int = 32,
        base_width: int = 4,
        downsample: bool | None = None,
        eps: float = 1e-5,
        frozen: bool = True,
        library: str | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__(
            in_channels, planes, stride, groups=groups, base_width=base_width, downsample=downsample,
            eps=eps, frozen=frozen, library=library, dtype=dtype, seed=seed,
        )  # fmt: skip


def normalisation(
    features: int, eps: float, frozen: bool, dtype: str, activation: str = "none", *, last: bool = False
) -> FrozenBatchNorm2d | BatchNorm2d:
    """A batch normalisation, frozen or not. The `last` one of a block has an addition before its activation."""
    if frozen:
        return FrozenBatchNorm2d(features, eps, activation=activation, residual=last, dtype=dtype)
    return BatchNorm2d(features, eps, activation="none" if last else activation, dtype=dtype)


def shortcut(
    in_channels: int, out_channels: int, stride: int, eps: float, frozen: bool, options: dict[str, Any]
) -> Sequential:
    """A 1x1 convolution and its normalisation, which give x the shape of the result."""
    return Sequential(
        Conv2d(in_channels, out_channels, 1, stride, **options),
        normalisation(out_channels, eps, frozen, options["dtype"]),
    )
