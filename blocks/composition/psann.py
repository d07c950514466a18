"""psann's residual block: sines instead of rectifiers."""

from __future__ import annotations

from typing import Any

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from ..activation import SineParam
from ..channel_mixing.linear import Linear
from ..normalization import LayerNorm, RMSNorm
from ..regularization import DropPath

NORMS = ("rms", "layer", "none")


class ResidualPSANNBlock(Block):
    """y = x + alpha * drop(act2(fc2(act1(fc1(norm(x)))))), act1 and act2 sines with parameters of their own.

    x, y: [..., C] of `dtype` (float16, bfloat16, float32). Names as in psann: norm, fc1, act1, fc2, act2. activation:
    "psann" (SineParam, `sine` its arguments), "relu" or "tanh" (part of the layer); norm: "rms" (eps 1e-8), "layer",
    "none". alpha: [1] float32. `drop_path` above 0 puts a DropPath in, which acts while its `training` is 1.
    `DescriptionError` for another norm.
    """

    def __init__(
        self,
        dim: int,
        *,
        activation: str = "psann",
        norm: str = "rms",
        drop_path: float = 0.0,
        alpha: float = 0.0,
        sine: dict[str, Any] | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise DescriptionError(f"ResidualPSANNBlock: the norm is one of {', '.join(NORMS)}, not {norm!r}")
        sines = activation == "psann"
        inside = "none" if sines else activation
        self.norm = _norm(norm, dim, dtype)
        self.fc1 = Linear(dim, dim, activation=inside, dtype=dtype, seed=seed)
        self.act1 = SineParam(dim, **sine or {}) if sines else None
        self.fc2 = Linear(dim, dim, activation=inside, dtype=dtype, seed=None if seed is None else seed + 1)
        self.act2 = SineParam(dim, **sine or {}) if sines else None
        self.drop_path = DropPath(drop_path, seed=seed or 0) if drop_path > 0 else None
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("N", ..., dim), dtype)
            f = self.x
            for child in (self.norm, self.fc1, self.act1, self.fc2, self.act2, self.drop_path):
                f = f if child is None else b.apply(child, f)
            self.alpha = b.weight("alpha", (1,), init=alpha)
            self.y = b.output("y", self.x.shape, dtype)
            b.elementwise("y = x + alpha * f", x=self.x, f=f, alpha=self.alpha, y=self.y)


def _norm(kind: str, dim: int, dtype: str) -> RMSNorm | LayerNorm | None:
    if kind == "rms":
        return RMSNorm(dim, 1e-8, dtype=dtype)
    return LayerNorm(dim, dtype=dtype) if kind == "layer" else None
