"""y = x * factor."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.iteration import Iteration, vector_threads
from cudagraph.parameter import Parameter
from cudagraph.tensor import Weight

from .broadcasting import channel_shape, channel_spans, check_channels, launch_rows, spread


class Scale(Block):
    """y = x * factor: one number for all elements, or one per channel (LayerScale, arXiv 2103.17239).

    A number makes factor a hot float32, and x, y: [...] of one floating-point type (float16, bfloat16, float32,
    float64); any other type is a `CompileError`. With `features`, or a vector, factor is a weight [C], and x, y are
    [..., C] of `dtype` with C along `axis` (-1, the last; 1 for [N, C, H, W]). `DescriptionError` for another dtype.
    """

    factor: Parameter[float] | Weight

    def __init__(
        self,
        factor: float | np.ndarray = 1.0,
        features: int | None = None,
        *,
        axis: int = -1,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.axis = axis
        with BlockBuilder(self) as b:
            if features is None and np.ndim(factor) == 0:
                self._describe_number(b, factor)
            else:
                self._describe_channels(b, factor, np.size(factor) if features is None else features, dtype)

    def _describe_number(self, b: BlockBuilder, factor: Any) -> None:
        self.x = b.input("x", (...,), "T")
        self.factor = b.parameter("factor", factor)
        self.y = b.output("y", self.x.shape, "T")
        size = self.y.size
        b.kernel("math/scale", elements=vector_threads(size), x=self.x, y=self.y, factor=self.factor, n=size)

    def _describe_channels(self, b: BlockBuilder, factor: Any, features: int, dtype: str) -> None:
        check_channels("a Scale", features, dtype)
        self.x = b.input("x", channel_shape(features, self.axis), dtype)
        self.factor = b.weight("factor", (features,), dtype, factor)
        self.y = b.output("y", self.x.shape, dtype)
        spans = channel_spans(self.x, features, self.axis)
        iteration = Iteration(self.path, spans, {"a": spans, "b": (features, 1)})
        define, tensors = {"OPERATION": "product"}, {"a": self.x, "b": self.factor, "c": self.y}
        launch_rows(b, "math/binary_broadcast", iteration, ("a", "b"), define, **tensors)

    def reference(self, x: np.ndarray, *, factor: Any) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return x * (factor if np.ndim(factor) == 0 else spread(factor, x.ndim, self.axis))
