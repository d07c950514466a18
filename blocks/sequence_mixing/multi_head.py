"""y = softmax(q k^T / sqrt(d)) v W_o of projected queries, keys and values: torch's nn.MultiheadAttention."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.port import Port
from cudagraph.shape import Dim

from ..channel_mixing.linear import Linear
from ..channel_mixing.products import linear_product
from .attention_kernel import Attention, Sight, Sizes, check_library, mask_fits, mask_strides, packed
from .attention_reference import as_type_of, attention_reference, heads_of, joined, linear
from .heads import check_choice, checked_heads, next_seed

MASKS = (None, "bool", "additive")
_PARTS = ("q", "k", "v")


class MultiHeadAttention(Block):
    """y = softmax(scale * q @ k^T + mask) @ v @ out_proj^T per head, q, k, v = query @ Wq^T, key @ Wk^T, value @ Wv^T.

    torch's `nn.MultiheadAttention(batch_first=True)`, names included. query, y: [B, T, C], key: [B, S, kdim], value:
    [B, S, vdim], all of `dtype` (float16, bfloat16, float32, float64), C = embed_dim = kdim = vdim unless said.
    Weights: in_proj_weight [3 C, C] (or q_proj_weight, k_proj_weight, v_proj_weight where kdim or vdim differ),
    in_proj_bias [3 C], out_proj.weight [C, C], out_proj.bias. attn_mask="bool" adds the port `attn_mask`, [B or 1, H or
    1, T, S]; as in torch, and unlike `ScaledDotProductAttention`, True hides a key. "additive": numbers that are added
    to scaled scores. key_padding_mask=True adds the port of that name, bool [B, S], True where a key is padding.
    `scale`, hot; 0 means 1 / sqrt(C / H). A query that sees no key attends to nothing: zeros. Where query, key and
    value are the same, `SelfAttention` takes one product instead of three. library="cudnn": see
    `ScaledDotProductAttention`.

    Vaswani et al. 2017, 1706.03762. `DescriptionError` for heads that do not divide C, or an unknown mask.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        attn_mask: str | None = None,
        key_padding_mask: bool = False,
        scale: float | None = None,
        library: str | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        self._heads = checked_heads(kind, embed_dim, num_heads, None, None)
        check_choice(kind, "attn_mask", attn_mask, MASKS)
        random = np.random.default_rng(seed)
        widths = (embed_dim, kdim or embed_dim, vdim or embed_dim)
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype, seed=next_seed(random, seed))
        queries, keys, length = Dim("T"), Dim("S"), self._heads.length
        with BlockBuilder(self) as b:
            self.query = b.input("query", ("B", "T", widths[0]), dtype)
            self.key = b.input("key", ("B", "S", widths[1]), dtype)
            self.value = b.input("value", ("B", "S", widths[2]), dtype)
            self.attn_mask = None
            if attn_mask is not None:
                self.attn_mask = b.input("attn_mask", ("MB", "MH", "T", "S"), "bool" if attn_mask == "bool" else dtype)
            self.key_padding_mask = b.input("key_padding_mask", ("B", "S"), "bool") if key_padding_mask else None
            self.scale = b.parameter("scale", 0.0 if scale is None else scale)
            sight = self._sight(attn_mask)
            check_library(kind, library, sight, dtype, length)
            sources = (self.query, self.key, self.value)
            q, k, v = self._project(b, sources, widths, bias, dtype, random)
            mixed = b.scratch(("B", "T", embed_dim), dtype)
            Attention(
                q=packed(q, num_heads, queries, length),
                k=packed(k, num_heads, keys, length),
                v=packed(v, num_heads, keys, length),
                o=packed(mixed, num_heads, queries, length),
                sizes=Sizes(Dim("B"), num_heads, 1, queries, keys),
                scale=self.scale,
                sight=sight,
                fits=mask_fits(Dim("B"), num_heads) if attn_mask else 1,
                library=library,
            ).describe(b)
            self.y = b.expose(b.apply(self.out_proj, b.view(mixed, ("B", "T", embed_dim))), "y")

    def _project(
        self, b: BlockBuilder, sources: tuple[Port, ...], widths: tuple[int, ...], bias: bool, dtype: str, random: Any
    ) -> list[Any]:
        wide = widths[0]
        parts = self._weights(b, widths, dtype, random)
        self.in_proj_bias = b.weight("in_proj_bias", (3 * wide,), dtype) if bias else None
        made = []
        for number, (name, source, weight) in enumerate(zip(_PARTS, sources, parts, strict=True)):
            y: Any = b.scratch((*source.shape[:-1], wide), dtype, name=f"{name}_projected")
            offset = None if self.in_proj_bias is None else b.view(self.in_proj_bias, (wide,), offset=number * wide)
            linear_product(b, source, weight, y, bias=offset)
            made.append(y)
        return made

    def _weights(self, b: BlockBuilder, widths: tuple[int, ...], dtype: str, random: Any) -> list[Any]:
        """The projections: one packed weight, or three where the widths differ."""
        wide = widths[0]
        start = _xavier(random)
        if widths == (wide, wide, wide):
            self.in_proj_weight = b.weight("in_proj_weight", (3 * wide, wide), dtype, start)
            return [b.view(self.in_proj_weight, (wide, wide), offset=part * wide * wide) for part in range(3)]
        named = zip(_PARTS, widths, strict=True)
        return [b.weight(f"{name}_proj_weight", (wide, width), dtype, start) for name, width in named]

    def _sight(self, attn_mask: str | None) -> Sight:
        kind = "hidden" if attn_mask == "bool" else attn_mask
        padding = self.key_padding_mask
        return Sight(
            mask=self.attn_mask,
            mask_kind=kind,
            mask_strides=mask_strides(Dim("T"), Dim("S")) if attn_mask else (0, 0, 0),
            key_mask=padding,
            key_mask_kind=None if padding is None else "hidden",
            key_mask_batch=0 if padding is None else Dim("S"),
        )

    def reference(
        self, query: np.ndarray, key: np.ndarray, value: np.ndarray, *masks: np.ndarray, scale: float, **weights: Any
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs; `masks` are those of the ports."""
        packed_weight = weights.get("in_proj_weight")
        parts = [weights[f"{n}_proj_weight"] for n in _PARTS] if packed_weight is None else np.split(packed_weight, 3)
        biases = np.split(weights.get("in_proj_bias", np.zeros(3)), 3)
        q, k, v = (
            heads_of(x @ weight.T + bias, self._heads.length)
            for x, weight, bias in zip((query, key, value), parts, biases, strict=True)
        )
        ports = [port for port in (self.attn_mask, self.key_padding_mask) if port is not None]
        typed = [as_type_of(port, mask) for port, mask in zip(ports, masks, strict=True)]
        seen = [~mask if mask.dtype == np.bool_ else mask for mask in typed]
        seen = [mask[:, None, None, :] if mask.ndim == 2 else mask for mask in seen]
        return linear(joined(attention_reference(q, k, v, *seen, scale=scale)), weights, "out_proj")


def _xavier(random: np.random.Generator) -> Any:
    """torch's start of the projections: uniform in +-sqrt(6 / (rows + columns))."""

    def start(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        bound = (6 / sum(shape)) ** 0.5
        return random.uniform(-bound, bound, shape).astype(dtype)

    return start
