"""Linear layers with an activation between them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from .linear import Linear
from .products import inside, next_seed


class DenseMLP(Block):
    """y = 2n(activation(...activation(0(x)))): `depth` hidden layers of one width, then a linear one.

    x: [..., I], y: [..., O] of `dtype` (float16, bfloat16, float32, float64). activation: a name of `ACTIVATIONS`,
    "relu" unless said, changeable live as that of `Linear`. With `parameters=` instead of `hidden=`, the width is the
    one whose number of weights comes closest. Children are named "0", "2", "4", ..., as in torch's Sequential with
    activations in between. `DescriptionError` for no layer, for both or neither of hidden and parameters, and as for
    Linear.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: int | None = None,
        depth: int = 2,
        bias: bool = True,
        *,
        parameters: int | None = None,
        activation: str = "relu",
        dtype: str = "float32",
        library: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if depth < 1 or (hidden is None) == (parameters is None):
            raise DescriptionError(
                f"a DenseMLP has at least one hidden layer, and either hidden= features or a number of parameters=; "
                f"given were depth={depth}, hidden={hidden}, parameters={parameters}"
            )
        if hidden is None:
            hidden = matching_width(parameters or 0, in_features, out_features, depth, bias)
        self.hidden, self.depth = hidden, depth
        widths = [in_features, *(hidden,) * depth, out_features]
        shared: dict[str, Any] = {"dtype": dtype, "library": library}
        with BlockBuilder(self) as b:
            layers = []
            for number, (before, after) in enumerate(pairwise(widths)):
                last = number == depth
                layer = Linear(before, after, bias, activation="none" if last else activation, seed=seed, **shared)
                layers.append(b.child(layer, str(2 * number)))
                seed = next_seed(seed)
            for earlier, later in pairwise(layers):
                b.connect(earlier.y, later.x)
            self.layers = tuple(layers)
            self.x = b.expose(layers[0].x)
            self.y = b.expose(layers[-1].y)

    def reference(self, x: np.ndarray, **values: Any) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs; `values` by path."""
        for number, layer in enumerate(self.layers):
            x = layer.reference(x, **inside(values, str(2 * number)))
        return x


def matching_width(parameters: int, in_features: int, out_features: int, depth: int, bias: bool = True) -> int:
    """The width of a `DenseMLP` (1 to 8192) with the number of weights nearest to `parameters`; the smaller of two."""
    ones = int(bias)

    def count(width: int) -> int:
        inner = (depth - 1) * width * (width + ones)
        return width * (in_features + ones) + inner + out_features * (width + ones)

    return min(range(1, 8193), key=lambda width: abs(count(width) - parameters))
