"""The value of the last frame."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder


class Delay(Block):
    """y = x of the last frame; `init` (scalar or array) in the first. It lets wires run in a circle.

    x, y: [...] of `dtype`, or of the shape and type of `init` when that is an array. Where a circle has no other input
    that decides the shape, give it: `Delay(shape=(480, 640))`.
    """

    def __init__(self, init: Any = 0, *, shape: tuple[Any, ...] | None = None, dtype: object = None) -> None:
        super().__init__()
        known = np.asarray(init)
        if shape is None:
            shape = known.shape if known.ndim else (...,)
        if dtype is None:
            dtype = known.dtype if known.ndim else "T"
        with BlockBuilder(self) as b:
            self.x = b.input("x", shape, dtype)
            self.y = b.delay(self.x, init, name="y")
