"""What mixes positions: attention."""

from __future__ import annotations

from .cross_attention import CrossAttention as CrossAttention
from .forms import CausalAttention as CausalAttention
from .forms import GroupedQueryAttention as GroupedQueryAttention
from .forms import MultiQueryAttention as MultiQueryAttention
from .forms import SlidingWindowAttention as SlidingWindowAttention
from .linear_attention import LinearAttention as LinearAttention
from .multi_head import MultiHeadAttention as MultiHeadAttention
from .scaled_dot_product import FlashAttention as FlashAttention
from .scaled_dot_product import ScaledDotProductAttention as ScaledDotProductAttention
from .self_attention import SelfAttention as SelfAttention

__all__ = [
    "CausalAttention",
    "CrossAttention",
    "FlashAttention",
    "GroupedQueryAttention",
    "LinearAttention",
    "MultiHeadAttention",
    "MultiQueryAttention",
    "ScaledDotProductAttention",
    "SelfAttention",
    "SlidingWindowAttention",
]
