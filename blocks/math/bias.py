"""y = x + bias."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import Iteration

from .broadcasting import channel_shape, channel_spans, check_channels, launch_rows, spread


class Bias(Block):
    """y = x + bias, one number per channel.

    x, y: [..., C] with C = `features` along `axis` (-1, the last; 1 for [N, C, H, W]); bias: [C], zeros at first. All
    of `dtype` (float16, bfloat16, float32, float64), added in float32 (float64 for float64). `DescriptionError` for
    another type or no features.
    """

    def __init__(self, features: int, axis: int = -1, *, dtype: str = "float32") -> None:
        super().__init__()
        check_channels("a Bias", features, dtype)
        self.axis = axis
        with BlockBuilder(self) as b:
            self.x = b.input("x", channel_shape(features, axis), dtype)
            self.bias = b.weight("bias", (features,), dtype)
            self.y = b.output("y", self.x.shape, dtype)
            spans = channel_spans(self.x, features, axis)
            iteration = Iteration(self.path, spans, {"a": spans, "b": (features, 1)})
            define = {"OPERATION": "sum"}
            launch_rows(b, "math/binary_broadcast", iteration, ("a", "b"), define, a=self.x, b=self.bias, c=self.y)

    def reference(self, x: np.ndarray, *, bias: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return x + spread(bias, x.ndim, self.axis)
