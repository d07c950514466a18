"""y_i = phi(q_i) S / (phi(q_i) z + eps): attention in linear time."""

from __future__ import annotations

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.shape import Dim, ceil_div, maximum


class LinearAttention(Block):
    """y_i = phi(q_i) S / (phi(q_i) z + eps), S = sum_j phi(k_j) v_j^T, z = sum_j phi(k_j), phi(x) = elu(x) + 1.

    q: [B, H, T, D], k: [B, H, S, D], v: [B, H, S, E], y: [B, H, T, E] of one floating-point type (float16, bfloat16,
    float32, float64), D up to about 128; sums are float32 (float64 for float64). causal=True: sums over j <= i. `eps`,
    hot.

    Katharopoulos et al. 2020, 2006.16236.
    """

    def __init__(self, causal: bool = False, eps: float = 1e-6) -> None:
        super().__init__()
        self._causal = causal
        with BlockBuilder(self) as b:
            self.q = b.input("q", ("B", "H", "T", "D"), "T")
            self.k = b.input("k", ("B", "H", "S", "D"), "T")
            self.v = b.input("v", ("B", "H", "S", "E"), "T")
            self.eps = b.parameter("eps", eps, low=0.0)
            self.y = b.output("y", ("B", "H", "T", "E"), "T")
            b.kernel(
                "sequence_mixing/linear_attention",
                threads=64,
                grid=(maximum(1, ceil_div(Dim("E"), 64)), Dim("B") * Dim("H")),
                define={"HEAD": Dim("D"), "CAUSAL": int(causal)},
                q=self.q,
                k=self.k,
                v=self.v,
                o=self.y,
                eps=self.eps,
                queries=Dim("T"),
                keys=Dim("S"),
                width=Dim("E"),
            )

    def reference(self, q: np.ndarray, k: np.ndarray, v: np.ndarray, *, eps: float) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        query, key = (np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))) for x in (q, k))
        weights = query @ key.swapaxes(-1, -2)
        if self._causal:
            weights = np.tril(weights)
        return weights @ v / (weights.sum(axis=-1, keepdims=True) + eps)
