"""The layer of a vision transformer."""

from __future__ import annotations

from typing import Any

from cudagraph.builder import BlockBuilder

from .transformer import TransformerBlock


class ViTBlock(TransformerBlock):
    """h = x + attention(norm1(x)), y = h + linear2(gelu(linear1(norm2(h)))): TransformerBlock as in ViT.

    x, y: [B, T, C] of `dtype` (float16, bfloat16, float32). eps is 1e-6 as in the original and timm (1e-12 in
    transformers); hidden is mlp_ratio * C; GELU is exact. A state dict of timm's Block loads too. Dosovitskiy et al.
    2020, arXiv 2010.11929.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        *,
        eps: float = 1e-6,
        qkv_bias: bool = True,
        activation: str = "gelu",
        dtype: str = "float32",
        seed: int | None = None,
        **attention: Any,
    ) -> None:
        options: dict[str, Any] = {"out_bias": True, **attention}
        super().__init__(
            embed_dim,
            num_heads,
            round(embed_dim * mlp_ratio),
            eps=eps,
            activation=activation,
            attention_bias=qkv_bias,
            dtype=dtype,
            seed=seed,
            **options,
        )

    def _name_weights(self, b: BlockBuilder) -> None:
        parts = {
            "attn.qkv": self.self_attn.qkv,
            "attn.proj": self.self_attn.out_proj,
            "mlp.fc1": self.linear1,
            "mlp.fc2": self.linear2,
        }
        for name, linear in parts.items():
            for weight in linear.weights.values():
                b.stored_as(weight, f"{name}.{weight.name}")
