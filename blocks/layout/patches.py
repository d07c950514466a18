"""Images as rows of patches, and back."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port
from cudagraph.shape import PortSpan

from .box import Extent, copy_box
from .limits import Limited


class ImageToPatches(Block):
    """y = the patches of an image, row by row: [..., C, H, W] -> [..., patches, C * p * p], for any type.

    Inside a patch the order is (C, p, p), as torch's unfold and Conv2d have it, or (p, p, C) with channels_last=True.
    With a `stride` below p the patches overlap; what does not fill a patch is left out. One kernel. `DescriptionError`
    for a size or stride below 1, `ShapeError` for an image smaller than a patch.
    """

    def __init__(
        self, patch: int | tuple[int, int], stride: int | tuple[int, int] | None = None, *, channels_last: bool = False
    ) -> None:
        super().__init__()
        self.patch = _pair("patch", patch)
        self.stride = _pair("stride", patch if stride is None else stride)
        self.channels_last = channels_last
        (tall, wide), (down, right) = self.patch, self.stride
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., "C", "H", "W"), "T")
            channels: Any = self.x.shape[-3]
            rows, columns = _count(self.x.shape[-2], tall, down), _count(self.x.shape[-1], wide, right)
            self.y = b.output("y", (..., rows * columns, channels * (tall * wide)), "T")
            dims, run = image_extents(self.x, (rows, columns), self.patch, self.stride, channels_last)
            copy_box(b, self.x, self.y, run, dims)

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        seen = np.lib.stride_tricks.sliding_window_view(x, self.patch, (-2, -1))
        seen = np.moveaxis(seen[..., :: self.stride[0], :: self.stride[1], :, :], -5, -3)
        if self.channels_last:
            seen = np.moveaxis(seen, -3, -1)
        return seen.reshape(*x.shape[:-3], seen.shape[-5] * seen.shape[-4], -1)


class PatchesToImage(Block):
    """y = the image of patches that do not overlap, the reverse of `ImageToPatches`.

    x: [..., patches, C * p * p] of any type, y: [..., C, height, width]; patches have the order (C, p, p), or
    (p, p, C) with channels_last=True. One kernel. `DescriptionError` when the patches do not fill the image.
    """

    def __init__(
        self, patch: int | tuple[int, int], channels: int, height: int, width: int, *, channels_last: bool = False
    ) -> None:
        super().__init__()
        self.patch, self.image, self.channels_last = _pair("patch", patch), (channels, height, width), channels_last
        tall, wide = self.patch
        if min(self.image) < 1 or height % tall or width % wide:
            raise DescriptionError(
                f"PatchesToImage: patches of {tall} x {wide} do not fill {channels} x {height} x {width}"
            )
        counts = height // tall, width // wide
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., counts[0] * counts[1], channels * tall * wide), "T")
            self.y = b.output("y", (..., channels, height, width), "T")
            dims, run = image_extents(self.y, counts, self.patch, self.patch, channels_last)
            copy_box(b, self.x, self.y, run, [(length, of_y, of_x) for length, of_x, of_y in dims])

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        (channels, height, width), (tall, wide) = self.image, self.patch
        inner = (tall, wide, channels) if self.channels_last else (channels, tall, wide)
        seen = x.reshape(*x.shape[:-2], height // tall, width // wide, *inner)
        seen = seen if self.channels_last else np.moveaxis(seen, -3, -1)
        return np.moveaxis(seen.swapaxes(-4, -3), -1, -5).reshape(*x.shape[:-2], channels, height, width)


def image_extents(
    image: Port, counts: tuple[Any, Any], patch: tuple[int, int], stride: tuple[int, int], channels_last: bool
) -> tuple[list[Extent], Any]:
    """The box that takes an image's patches apart (strides in the image, then in the patches), and its run."""
    channels, height, width = (cast(Any, image.shape[axis]) for axis in (-3, -2, -1))
    (tall, wide), (rows, columns) = patch, counts
    size = channels * (tall * wide)
    dims: list[Extent] = [
        (PortSpan(image, None, -3), channels * height * width, rows * columns * size),
        (rows, width * stride[0], columns * size),
        (columns, stride[1], size),
    ]
    if channels_last:
        within: list[Extent] = [(tall, width, channels * wide), (wide, 1, channels), (channels, height * width, 1)]
        return [*dims, *within], 1
    return [*dims, (channels, height * width, tall * wide), (tall, width, wide)], wide


def _count(length: Any, size: int, stride: int) -> Any:
    return (Limited(length, "a side of the image", size) - size) // stride + 1


def _pair(what: str, value: int | tuple[int, int]) -> tuple[int, int]:
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2 or min(pair) < 1:
        raise DescriptionError(f"patches: a {what} is one or two lengths of at least 1, not {value!r}")
    return pair
