"""y = residual + softmax(scale * q k^T + bias) v W_o, with q, k, v = x W_qkv."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.parameter import Parameter
from cudagraph.port import Port
from cudagraph.shape import Dim

from ..channel_mixing.linear import Linear
from ..channel_mixing.products import inside
from .attention_kernel import Attention, Lines, Sight, Sizes, check_library, mask_fits, mask_strides, packed
from .attention_reference import as_type_of, attention_reference, heads_of, joined, linear, normalised, rotated
from .heads import check_choice, checked_heads, next_seed
from .projections import store_output, store_packed
from .turning import Turning, describe_cached

MASKS = (None, "bool", "additive", "keys")
NORMS = (None, "rms")


class SelfAttention(Block):
    """y = softmax(scale * q k^T + bias) v @ out_proj^T, with q, k and v from one product x @ qkv^T.

    x, y: [B, T, C] of `dtype` (float16, bfloat16, float32, float64), C = embed_dim; `num_heads` query heads and
    `kv_heads` (num_heads unless said) heads of keys and values, of `head_dim` elements (C / num_heads). Head h uses
    keys h // (num_heads / kv_heads). Weights: qkv.weight [(h + 2 hk) d, C], qkv.bias, out_proj.weight [C, h d],
    out_proj.bias; q_proj, k_proj, v_proj, in_proj_weight and c_attn (transposed) load too. projection=False leaves out
    the last product.

    causal, window, softcap, library, scale (hot; 0 means 1 / sqrt(d)): as in `ScaledDotProductAttention`. mask: "bool"
    and "additive" add the port `mask`, [B or 1, H or 1, T, S]; "keys" adds one of bool [B, S], True where one is seen.
    prefix=n: every token sees the first n keys, hot (prefix language models). residual=True adds `residual`, [B, T, C],
    to y. norm, norm_eps, norm_bias: a norm of x in front of the first product, as for `Linear`; the residual is not
    normalised. qk_norm="rms" normalises queries and keys per head (q_norm.weight, k_norm.weight [d]). rope: the cosines
    and sines of `rotary_table`, or "port" for an input `rope` that layers share.

    cache=n keeps keys and values of up to n tokens per sequence in states. The hot int32 `position` is the place of the
    frame's first token: token t goes to row position + t and, causal, sees the rows up to it. `position` may be a
    parameter of the enclosing block, or "port". A cache that is full counts as the fault `full`; nothing is written
    beyond it.

    Vaswani et al. 2017, 1706.03762; Su et al. 2021, 2104.09864. `DescriptionError` for heads that do not divide.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        out_bias: bool | None = None,
        causal: bool = False,
        window: int | None = None,
        scale: float | None = None,
        softcap: float | None = None,
        qk_norm: str | None = None,
        qk_eps: float = 1e-6,
        mask: str | None = None,
        prefix: int | None = None,
        rope: np.ndarray | str | None = None,
        interleaved: bool = False,
        rotary_dim: int | None = None,
        cache: int | None = None,
        position: Parameter[Any] | str | None = None,
        residual: bool = False,
        projection: bool = True,
        library: str | None = None,
        norm: str | None = None,
        norm_eps: float = 1e-5,
        norm_bias: bool = True,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        heads = self._heads = checked_heads(kind, embed_dim, num_heads, kv_heads, head_dim)
        _check(kind, mask, qk_norm, cache, residual and not projection)
        random = np.random.default_rng(seed)
        before: dict[str, Any] = {"norm": norm, "norm_eps": norm_eps, "norm_bias": norm_bias}
        self.qkv = Linear(embed_dim, heads.width, bias, dtype=dtype, seed=next_seed(random, seed), **before)
        self.out_proj = None
        if projection:
            after: dict[str, Any] = {"residual": residual, "dtype": dtype, "seed": next_seed(random, seed)}
            self.out_proj = Linear(heads.widths[0], embed_dim, bias if out_bias is None else out_bias, **after)
        self._cache, self._interleaved, self._eps = cache, interleaved, qk_eps
        self._options = {"causal": causal, "window": window, "softcap": softcap}
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", "T", embed_dim), dtype)
            self.residual = b.input("residual", ("B", "T", embed_dim), dtype) if residual else None
            self.mask = self._mask_port(b, mask, dtype)
            self._describe_rope(b, rope, rotary_dim)
            self._describe_position(b, position)
            self.scale = b.parameter("scale", 0.0 if scale is None else scale)
            self.prefix = None if prefix is None else b.parameter("prefix", prefix, "int32", low=0)
            self._describe_norms(b, qk_norm, dtype)
            b.child(self.qkv, "qkv")
            b.connect(self.x, self.qkv.x)
            store_packed(b, self.qkv, heads.widths)
            sight = self._sight(causal, window, softcap, mask)
            sight.check(kind)
            self._describe_attention(b, sight, mask, library, dtype)
            self._describe_projection(b, dtype)

    def reference(
        self, x: np.ndarray, *extra: np.ndarray, position: int = 0, scale: float = 0.0, prefix: int = 0, **weights: Any
    ) -> np.ndarray:
        """A first frame in NumPy, in the precision of the inputs; `extra` are the other inputs in their order."""
        heads, rest, counts = self._heads, list(extra), (self._heads.queries, self._heads.keys, self._heads.keys)
        residual = rest.pop(0) if self.residual is not None else 0
        masks = [] if self.mask is None else [as_type_of(self.mask, rest.pop(0))]
        qkv = heads_of(self.qkv.reference(x, **inside(weights, "qkv")), heads.length)
        q, k, v = np.split(qkv, np.cumsum(counts)[:-1], axis=1)
        if self.q_norm is not None:
            q = normalised(q, weights["q_norm"], self._eps)
            k = normalised(k, weights["k_norm"], self._eps)
        if self.rope is not None:
            table = rest.pop(0) if isinstance(self.rope, Port) else np.asarray(self.rope.value)
            q, k = (rotated(part, table[position:], self._interleaved) for part in (q, k))
        if self._cache:
            room = ((0, 0), (0, 0), (position, self._cache - position - x.shape[1]), (0, 0))
            k, v = np.pad(k, room), np.pad(v, room)
            masks.append((np.arange(self._cache) < position + x.shape[1])[None, None, None, :])
        masks = [mask[:, None, None, :] if mask.ndim == 2 else mask for mask in masks]
        options = self._options | {"scale": scale, "prefix": prefix, "offset": position if self._cache else 0}
        mixed = joined(attention_reference(q, k, v, *masks, **options))
        return mixed if self.out_proj is None else linear(mixed, weights, "out_proj") + residual

    def _mask_port(self, b: BlockBuilder, mask: str | None, dtype: str) -> Port | None:
        keys = self._cache or "T"
        if mask == "keys":
            return b.input("mask", ("B", keys), "bool")
        return b.input("mask", ("MB", "MH", "T", keys), "bool" if mask == "bool" else dtype) if mask else None

    def _describe_rope(self, b: BlockBuilder, rope: np.ndarray | str | None, rotary_dim: int | None) -> None:
        """The table, its rows, and how many elements of a head turn."""
        self.rope: Any = None
        self._rotary, self._rows = 0, 0
        if rope is None:
            return
        if isinstance(rope, str):
            self._rotary = rotary_dim or self._heads.length
            self.rope = b.input("rope", ("positions", self._rotary // 2, 2), "float32")
            self._rows = self.rope.shape[0]
        else:
            table = np.asarray(rope, np.float32)
            if table.ndim != 3 or table.shape[2] != 2:
                raise DescriptionError(
                    f"{type(self).__name__}: rope is a rotary_table, [positions, dim / 2, 2], not {table.shape}"
                )
            self._rows, self._rotary = table.shape[0], 2 * table.shape[1]
            self.rope = b.state("rope", table.shape, "float32", table, persistent=False)
        if self._rotary % 2 or not 0 < self._rotary <= self._heads.length:
            raise DescriptionError(
                f"{type(self).__name__}: an even number of elements, up to {self._heads.length}, can be rotated, "
                f"not {self._rotary}"
            )

    def _describe_position(self, b: BlockBuilder, position: Parameter[Any] | str | None) -> None:
        self.position: Any = None
        if not self._cache and self.rope is None:
            return
        if isinstance(position, Parameter):
            self.position = position
        elif position == "port":
            self.position = b.input("position", (), "int32")
        else:
            self.position = b.parameter("position", 0, "int32", low=0)

    def _describe_norms(self, b: BlockBuilder, qk_norm: str | None, dtype: str) -> None:
        self.q_norm = self.k_norm = None
        if qk_norm is not None:
            shape = (self._heads.length,)
            self.q_norm = b.weight("q_norm", shape, dtype, 1.0)
            self.k_norm = b.weight("k_norm", shape, dtype, 1.0)
            b.stored_as(self.q_norm, "q_norm.weight")
            b.stored_as(self.k_norm, "k_norm.weight")

    def _sight(self, causal: bool, window: int | None, softcap: float | None, mask: str | None) -> Sight:
        keys: Any = self._cache or Dim("T")
        return Sight(
            causal=causal,
            window=window,
            aligned="position" if self._cache else "first",
            position=self.position if self._cache else None,
            prefix=self.prefix,
            mask=None if mask == "keys" else self.mask,
            mask_kind=None if mask == "keys" else mask,
            mask_strides=mask_strides(Dim("T"), keys) if mask in ("bool", "additive") else (0, 0, 0),
            key_mask=self.mask if mask == "keys" else None,
            key_mask_kind="bool" if mask == "keys" else None,
            key_mask_batch=keys if mask == "keys" else 0,
            softcap=softcap,
        )

    def _describe_attention(
        self, b: BlockBuilder, sight: Sight, mask: str | None, library: str | None, dtype: str
    ) -> None:
        heads, tokens, batch = self._heads, Dim("T"), Dim("B")
        check_library(type(self).__name__, library, sight, dtype, heads.length)
        shape = ("B", "T", heads.queries * heads.length)
        self._mixed: Any = b.output("y", shape, dtype) if self.out_proj is None else b.scratch(shape, dtype)
        self._turning: Turning | None = None
        q, k, v = self._operands(b, dtype)
        fits: Any = 1
        if mask in ("bool", "additive"):
            fits = mask_fits(batch, heads.queries)
        attention = Attention(
            q=q,
            k=k,
            v=v,
            o=packed(self._mixed, heads.queries, tokens, heads.length),
            sizes=Sizes(batch, heads.queries, heads.group, tokens, self._cache or tokens),
            scale=self.scale,
            sight=sight,
            fits=fits,
            library=library,
        )
        if self._turning is not None and self._cache:
            describe_cached(b, attention, self._turning, self.x.dtype)
            return
        if self._turning is not None:
            self._turning.describe(b)
        attention.describe(b)

    def _operands(self, b: BlockBuilder, dtype: str) -> tuple[Lines, Lines, Lines]:
        """Queries, keys and values: as they lie in the product, or where they are put after they turned."""
        heads, length, tokens, qkv = self._heads, self._heads.length, Dim("T"), self.qkv.y
        strides = (heads.width * tokens, length, heads.width)
        starts = (heads.queries * length, (heads.queries + heads.keys) * length)
        turned = self.rope is not None or self.q_norm is not None
        q = Lines(qkv, strides, length)
        if not turned and not self._cache:
            return q, Lines(qkv, strides, length, starts[0]), Lines(qkv, strides, length, starts[1])
        rows: Any = self._cache or tokens
        kept = ("B", heads.keys, rows, length)
        kept_strides = (heads.keys * rows * length, rows * length, length)
        queries: Any = None
        if turned:
            queries = b.scratch(("B", "T", heads.queries * length), dtype, name="queries")
            q = packed(queries, heads.queries, tokens, length)
        if self._cache:
            self.k_cache: Any = b.state("k_cache", kept, dtype, persistent=False)
            self.v_cache: Any = b.state("v_cache", kept, dtype, persistent=False)
            keys, values = self.k_cache, self.v_cache
            v = Lines(values, kept_strides, length)
        else:
            keys, values = b.scratch(kept, dtype, name="keys"), None
            v = Lines(qkv, strides, length, starts[1])
        self._turning = self._turning_of(b, queries, keys, values, rows)
        return q, Lines(keys, kept_strides, length), v

    def _turning_of(self, b: BlockBuilder, queries: Any, keys: Any, values: Any, rows: Any) -> Turning:
        return Turning(
            qkv=self.qkv.y,
            heads=self._heads,
            queries=queries,
            keys=keys,
            values=values,
            rows=rows,
            rope=self.rope,
            positions=self._rows,
            rotary=self._rotary,
            interleaved=self._interleaved,
            position=self.position,
            norms=None if self.q_norm is None or self.k_norm is None else (self.q_norm, self.k_norm),
            eps=self._eps,
            full=b.fault("full", "the cache or the table of angles has no row for a token: position is too large"),
        )

    def _describe_projection(self, b: BlockBuilder, dtype: str) -> None:
        if self.out_proj is None:
            self.y = self._mixed
            return
        b.child(self.out_proj, "out_proj")
        mixed = b.view(self._mixed, ("B", "T", self._heads.queries * self._heads.length))
        b.connect(mixed, self.out_proj.x)
        if self.residual is not None and self.out_proj.residual is not None:
            b.connect(self.residual, self.out_proj.residual)
        store_output(b, self.out_proj)
        self.y = b.expose(self.out_proj.y, "y")


def _check(kind: str, mask: str | None, qk_norm: str | None, cache: int | None, lost: bool) -> None:
    check_choice(kind, "mask", mask, MASKS)
    check_choice(kind, "qk_norm", qk_norm, NORMS)
    if cache is not None and (isinstance(cache, bool) or cache < 1):
        raise DescriptionError(f"{kind}: cache is a number of tokens, at least 1, not {cache!r}")
    if lost:
        raise DescriptionError(f"{kind}: residual is added by the output projection, which projection=False leaves out")
