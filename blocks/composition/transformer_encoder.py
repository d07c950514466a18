"""torch's encoder layer."""

from __future__ import annotations

from typing import Any

from .transformer import TransformerBlock


class TransformerEncoderBlock(TransformerBlock):
    """y = norm2(h + ffn(h)) of h = norm1(x + attention(x)); with norm_first=True as TransformerBlock.

    torch.nn.TransformerEncoderLayer without dropout: its arguments, and a state dict of its loads. x, y: [B, T, C] of
    `dtype`. activation: "relu", "gelu" (exact), or another of Linear's. `attention` is what SelfAttention takes
    besides: mask="keys" adds the port `mask` [B, T] (True = attend: torch's padding mask inverted). Vaswani et al.
    2017, arXiv 1706.03762.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        *,
        activation: str = "relu",
        layer_norm_eps: float = 1e-5,
        norm_first: bool = False,
        bias: bool = True,
        dtype: str = "float32",
        seed: int | None = None,
        **attention: Any,
    ) -> None:
        super().__init__(
            d_model,
            nhead,
            dim_feedforward,
            norm_first=norm_first,
            eps=layer_norm_eps,
            activation=activation,
            bias=bias,
            dtype=dtype,
            seed=seed,
            **attention,
        )
