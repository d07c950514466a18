"""y = (x - mean) / std."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import Iteration

from .broadcasting import channel_shape, channel_spans, check_channels, launch_rows, spread


class Normalizer(Block):
    """y = (x - mean) / std, with stored statistics of every channel, as scikit-learn's StandardScaler.

    x, y: [..., C] with C = `features` along `axis` (-1, the last; 1 for [N, C, H, W]); mean, std: [C], 0 and 1 at
    first, whose contents are hot. A minimum and maximum make a min-max scaler: mean = low, std = high - low. All of
    `dtype` (float16, bfloat16, float32, float64), computed in float32 (float64 for float64). `DescriptionError` for
    another type or no features.
    """

    def __init__(
        self,
        features: int,
        mean: np.ndarray | float = 0.0,
        std: np.ndarray | float = 1.0,
        *,
        axis: int = -1,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        check_channels("a Normalizer", features, dtype)
        self.axis = axis
        with BlockBuilder(self) as b:
            self.x = b.input("x", channel_shape(features, axis), dtype)
            self.mean = b.weight("mean", (features,), dtype, mean)
            self.std = b.weight("std", (features,), dtype, std)
            self.y = b.output("y", self.x.shape, dtype)
            iteration = Iteration(self.path, channel_spans(self.x, features, axis), {"c": (features, 1)})
            tensors = {"x": self.x, "mean": self.mean, "std": self.std, "y": self.y}
            launch_rows(b, "math/normalizer", iteration, ("c",), {}, **tensors)

    def reference(self, x: np.ndarray, *, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return (x - spread(mean, x.ndim, self.axis)) / spread(std, x.ndim, self.axis)
