"""Dense networks to compare geo-sparse ones with, at as many parameters."""

from __future__ import annotations

from typing import Any

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from ..activation.adapter import activation_of
from ..channel_mixing.linear import Linear
from ..normalization import LayerNorm, RMSNorm
from .parameters import NORM_PER_FEATURE


class DenseResNet(Block):
    """y = head(block(... block(in_proj(x)))), block(h) = h + alpha fc2(act(fc1(norm(h)))), all layers dense.

    x: [..., I], y: [..., O] of `dtype` (float16, bfloat16, float32). norm: "rms" (eps 1e-6), "layer" or "none";
    activation: a name of `ActivationAdapter`, with its `activation_config`. Weights: in_proj.weight,
    blocks.0.fc1.weight, blocks.0.alpha, ..., head.weight. `DescriptionError` for another norm or no blocks.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_dim: int,
        depth: int = 4,
        *,
        activation_type: str = "relu",
        activation_config: Any = None,
        norm: str = "rms",
        residual_alpha_init: float = 0.0,
        bias: bool = True,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        _check_depth("DenseResNet", depth)
        self.in_proj = Linear(input_dim, hidden_dim, dtype=dtype, seed=seed)
        self.blocks = [
            DenseResBlock(
                hidden_dim,
                activation_type=activation_type,
                activation_config=activation_config,
                norm=norm,
                residual_alpha_init=residual_alpha_init,
                bias=bias,
                dtype=dtype,
                seed=_seed(seed, 2 * i + 1),
            )
            for i in range(depth)
        ]
        self.head = Linear(hidden_dim, output_dim, dtype=dtype, seed=_seed(seed, 2 * depth + 1))
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., input_dim), dtype)
            y = self.x
            for layer in (self.in_proj, *self.blocks, self.head):
                y = b.apply(layer, y)
            self.y = b.expose(y)


class DenseResBlock(Block):
    """y = x + alpha fc2(act(fc1(norm(x)))), both layers dense: a `GeoSparseResidualBlock` without a grid.

    x, y: [..., C] of `dtype` (float16, bfloat16, float32); alpha: [1] float32. Settings as for `DenseResNet`.
    """

    def __init__(
        self,
        features: int,
        *,
        activation_type: str = "relu",
        activation_config: Any = None,
        norm: str = "rms",
        residual_alpha_init: float = 0.0,
        bias: bool = True,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if norm not in NORM_PER_FEATURE:
            raise DescriptionError(f"DenseResBlock: the norm is one of {', '.join(NORM_PER_FEATURE)}, not {norm!r}")
        plain = str(activation_type).lower() in ("relu", "tanh", "gelu")  # part of the layer's last pass
        self.norm = None
        if norm != "none":
            self.norm = RMSNorm(features, 1e-6, dtype=dtype) if norm == "rms" else LayerNorm(features, dtype=dtype)
        inside = str(activation_type).lower() if plain else "none"
        self.fc1 = Linear(features, features, bias, activation=inside, dtype=dtype, seed=seed)
        self.act = None if plain else activation_of(features, activation_type, activation_config)
        self.fc2 = Linear(features, features, bias, dtype=dtype, seed=_seed(seed, 1))
        with BlockBuilder(self) as b:
            self.x = b.input("x", (..., features), dtype)
            f = self.x
            for child in (self.norm, self.fc1, self.act, self.fc2):
                f = f if child is None else b.apply(child, f)
            self.alpha = b.weight("alpha", (1,), init=residual_alpha_init)
            self.y = b.output("y", self.x.shape, dtype)
            b.elementwise("y = x + alpha * f", x=self.x, f=f, alpha=self.alpha, y=self.y)


def _check_depth(kind: str, depth: int) -> None:
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise DescriptionError(f"{kind}: depth is an int of at least 1, not {depth!r}")


def _seed(seed: int | None, more: int) -> int | None:
    return None if seed is None else seed + more
