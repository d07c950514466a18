"""y = softmax(scale * q k^T) v W_o, with q from x, and k and v from a context."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.shape import Dim

from ..channel_mixing.linear import Linear
from .attention_kernel import Attention, Lines, Sight, Sizes, check_library, mask_fits, mask_strides, packed
from .attention_reference import as_type_of, attention_reference, heads_of, joined, linear
from .heads import check_choice, checked_heads, next_seed
from .projections import store_output, store_packed
from .self_attention import MASKS


class CrossAttention(Block):
    """y = softmax(scale * q @ k^T) @ v @ out_proj^T, with q = x @ q_proj^T, and k, v = context @ kv_proj^T.

    x, y: [B, T, C], context: [B, S, Cc], all of `dtype` (float16, bfloat16, float32, float64); C = embed_dim, Cc =
    context_dim (C). Weights: q_proj.weight [h d, C], kv_proj.weight [2 hk d, Cc], out_proj.weight [C, h d] and their
    biases; k_proj and v_proj load too. mask: "bool" and "additive" add the port `mask`, [B or 1, H or 1, T, S], "keys"
    one of bool [B, S], True where a key is seen. residual=True adds the port `residual`, [B, T, C]. `scale`, hot; 0
    means 1 / sqrt(d). library="cudnn": see `ScaledDotProductAttention`.

    Vaswani et al. 2017, 1706.03762. `DescriptionError` for heads that do not divide, or an unknown mask.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        context_dim: int | None = None,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        out_bias: bool | None = None,
        scale: float | None = None,
        mask: str | None = None,
        residual: bool = False,
        library: str | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        check_choice(kind, "mask", mask, MASKS)
        heads = checked_heads(kind, embed_dim, num_heads, kv_heads, head_dim)
        length, wide, narrow = heads.length, heads.queries * heads.length, heads.keys * heads.length
        random, source = np.random.default_rng(seed), context_dim or embed_dim
        seeds = [next_seed(random, seed) for _ in range(3)]
        self.q_proj = Linear(embed_dim, wide, bias, dtype=dtype, seed=seeds[0])
        self.kv_proj = Linear(source, 2 * narrow, bias, dtype=dtype, seed=seeds[1])
        ending = bias if out_bias is None else out_bias
        self.out_proj = Linear(wide, embed_dim, ending, residual=residual, dtype=dtype, seed=seeds[2])
        tokens, keys = Dim("T"), Dim("S")
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", "T", embed_dim), dtype)
            self.context = b.input("context", ("B", "S", source), dtype)
            self.residual = b.input("residual", ("B", "T", embed_dim), dtype) if residual else None
            self.mask = _mask_port(b, mask, dtype)
            self.scale = b.parameter("scale", 0.0 if scale is None else scale)
            sight = _sight(self.mask, mask)
            check_library(kind, library, sight, dtype, length)
            q = b.apply(self.q_proj, self.x)
            kv = b.apply(self.kv_proj, self.context)
            store_packed(b, self.kv_proj, (0, narrow, narrow), skip=1)
            mixed = b.scratch(("B", "T", wide), dtype)
            strides = (2 * narrow * keys, length, 2 * narrow)
            Attention(
                q=packed(q, heads.queries, tokens, length),
                k=Lines(kv, strides, length),
                v=Lines(kv, strides, length, narrow),
                o=packed(mixed, heads.queries, tokens, length),
                sizes=Sizes(Dim("B"), heads.queries, heads.group, tokens, keys),
                scale=self.scale,
                sight=sight,
                fits=mask_fits(Dim("B"), heads.queries) if mask in ("bool", "additive") else 1,
                library=library,
            ).describe(b)
            extra = () if self.residual is None else (self.residual,)
            self.y = b.expose(b.apply(self.out_proj, b.view(mixed, ("B", "T", wide)), *extra), "y")
            store_output(b, self.out_proj)
        self._heads = heads

    def reference(
        self, x: np.ndarray, context: np.ndarray, *extra: np.ndarray, scale: float, **weights: Any
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs; `extra` are the residual and the mask, where there are."""
        heads = self._heads
        rest = list(extra)
        residual = rest.pop(0) if self.residual is not None else 0
        q = heads_of(linear(x, weights, "q_proj"), heads.length)
        k, v = np.split(heads_of(linear(context, weights, "kv_proj"), heads.length), 2, axis=1)
        masks = [] if self.mask is None else [as_type_of(self.mask, rest.pop(0))]
        masks = [mask[:, None, None, :] if mask.ndim == 2 else mask for mask in masks]
        mixed = joined(attention_reference(q, k, v, *masks, scale=scale))
        return linear(mixed, weights, "out_proj") + residual


def _mask_port(b: BlockBuilder, mask: str | None, dtype: str) -> Any:
    if mask == "keys":
        return b.input("mask", ("B", "S"), "bool")
    return b.input("mask", ("MB", "MH", "T", "S"), "bool" if mask == "bool" else dtype) if mask else None


def _sight(port: Any, mask: str | None) -> Sight:
    if mask == "keys":
        return Sight(key_mask=port, key_mask_kind="bool", key_mask_batch=Dim("S"))
    if mask is None:
        return Sight()
    return Sight(mask=port, mask_kind=mask, mask_strides=mask_strides(Dim("T"), Dim("S")))
