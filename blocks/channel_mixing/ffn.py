"""y = fc2(activation(fc1(x)))."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from .linear import Linear
from .products import inside, next_seed


class FFN(Block):
    """y = fc2(activation(fc1(x))) (+ residual): a feed-forward network of two linear layers, as in a transformer.

    x: [..., I], y: [..., O] (O = I unless said), of `dtype` (float16, bfloat16, float32, float64); `hidden` features in
    between, 4 I unless said. activation: a name of `ACTIVATIONS`; "gelu" (erf) unless said, and changeable live as that
    of `Linear`. `residual=True` adds an input `residual`: [..., O]. `names` are the children's, such as ("c_fc",
    "c_proj"); `transposed` is for state dicts with weights as [I, O]. `DescriptionError` as for Linear.

    Vaswani et al. 2017, arXiv:1706.03762.
    """

    def __init__(
        self,
        features: int,
        hidden: int | None = None,
        out_features: int | None = None,
        bias: bool = True,
        *,
        activation: str = "gelu",
        residual: bool = False,
        names: tuple[str, str] = ("fc1", "fc2"),
        transposed: bool = False,
        dtype: str = "float32",
        library: bool = True,
        seed: int | None = None,
        **norm: Any,
    ) -> None:
        super().__init__()
        hidden = 4 * features if hidden is None else hidden
        out = features if out_features is None else out_features
        shared: dict[str, Any] = {"transposed": transposed, "dtype": dtype, "library": library}
        self.names = names
        with BlockBuilder(self) as b:
            first = Linear(features, hidden, bias, activation=activation, seed=seed, **shared, **norm)
            second = Linear(hidden, out, bias, residual=residual, seed=next_seed(seed), **shared)
            self.fc1, self.fc2 = b.child(first, names[0]), b.child(second, names[1])
            b.connect(first.y, second.x)
            self.x = b.expose(first.x)
            self.residual = b.expose(second.residual) if second.residual is not None else None
            self.y = b.expose(second.y)

    def reference(self, x: np.ndarray, residual: np.ndarray | None = None, **values: Any) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs; `values` by path."""
        first, second = (inside(values, name) for name in self.names)
        return self.fc2.reference(self.fc1.reference(x, **first), residual, **second)
