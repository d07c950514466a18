"""y = x + mlp(norm(x))."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from .ffn import FFN
from .gated_ffn import GatedFFN
from .normed import NORMS, store_norm
from .products import inside


class MLPBlock(Block):
    """y = x + mlp(norm(x)): a feed-forward network with the norm before it and the residual around it.

    x, y: [..., C] of `dtype` (float16, bfloat16, float32). norm: "layer" (LayerNorm) or "rms" (RMSNorm) with `eps`. The
    mlp is an `FFN`, or with `gated=True` a `GatedFFN`, of `hidden` features (4 C unless said); further options are its
    own. The residual is part of its last product. `DescriptionError` for another norm, and as for the parts.
    """

    def __init__(
        self,
        features: int,
        hidden: int | None = None,
        *,
        norm: str = "layer",
        eps: float = 1e-5,
        gated: bool = False,
        dtype: str = "float32",
        **options: Any,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise DescriptionError(f"an MLPBlock's norm is one of {', '.join(NORMS)}, not {norm!r}")
        options |= {"residual": True, "dtype": dtype, "norm": norm, "norm_eps": eps}
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., features), dtype)
            self.mlp = (GatedFFN if gated else FFN)(features, hidden, **options)
            self.norm = (self.mlp.gate_up_proj if isinstance(self.mlp, GatedFFN) else self.mlp.fc1).norm
            self.y = b.expose(b.apply(self.mlp, self.x, self.x), "y")
            store_norm(b, self.norm, "norm")

    def reference(self, x: np.ndarray, **values: Any) -> np.ndarray:
        """The same in NumPy, in the precision of the input; `values` by path."""
        return self.mlp.reference(x, x, **inside(values, "mlp"))
