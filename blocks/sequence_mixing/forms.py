"""Self-attention under the names of its usual forms: the same block with some arguments given."""

from __future__ import annotations

from typing import Any

from .self_attention import SelfAttention


class CausalAttention(SelfAttention):
    """y = softmax(scale * q k^T, j <= i) v @ out_proj^T: a token sees itself and what came before.

    `SelfAttention` with causal=True; ports [B, T, C], weights, types and other options are the same. GPT-2's c_attn and
    c_proj load. Radford et al. 2019.
    """

    def __init__(self, embed_dim: int, num_heads: int, **options: Any) -> None:
        super().__init__(embed_dim, num_heads, **{"causal": True, **options})


class GroupedQueryAttention(SelfAttention):
    """y = softmax(scale * q k^T) v @ out_proj^T; num_heads / kv_heads query heads share one head of keys and values.

    Query head h reads the keys h // (num_heads / kv_heads). `SelfAttention` otherwise: ports [B, T, C], weights, types,
    options. Ainslie et al. 2023, 2305.13245. `DescriptionError` for heads that do not divide.
    """

    def __init__(self, embed_dim: int, num_heads: int, kv_heads: int, **options: Any) -> None:
        super().__init__(embed_dim, num_heads, kv_heads=kv_heads, **options)


class MultiQueryAttention(SelfAttention):
    """y = softmax(scale * q k^T) v @ out_proj^T, where all query heads share one head of keys and values.

    `SelfAttention` with kv_heads=1: ports [B, T, C], weights, types, options. Shazeer 2019, 1911.02150.
    """

    def __init__(self, embed_dim: int, num_heads: int, **options: Any) -> None:
        super().__init__(embed_dim, num_heads, **{"kv_heads": 1, **options})


class SlidingWindowAttention(SelfAttention):
    """y = softmax(scale * q k^T, 0 <= i - j < window) v @ out_proj^T: a token sees itself and the `window` - 1 before.

    `SelfAttention` with causal=True and a window; tiles of keys outside of it are not visited. Ports [B, T, C],
    weights, types and options are the same. Beltagy et al. 2020, 2004.05150; Jiang et al. 2023, 2310.06825.
    """

    def __init__(self, embed_dim: int, num_heads: int, window: int, **options: Any) -> None:
        super().__init__(embed_dim, num_heads, window=window, **{"causal": True, **options})
