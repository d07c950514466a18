"""y = softmax(scale * q k^T + bias) v, for each head."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import Dim

from .attention_kernel import MASKS, Attention, Lines, Sight, Sizes, check_library, mask_fits, mask_strides
from .attention_reference import attention_reference

_ALIGNED = ("first", "last")


class ScaledDotProductAttention(Block):
    """y = softmax(scale * q @ k^T + bias) @ v: torch's `scaled_dot_product_attention`, scores never in memory.

    q: [B, H, T, D], k: [B, K, S, D], v: [B, K, S, E], y: [B, H, T, E] of one floating-point type (float16, bfloat16,
    float32, float64), with H = group * K: query head h uses head h // group of k and v. Sums are float32 (float64 for
    float64). `scale`, hot; 0 (None) means 1 / sqrt(D).

    causal: query i sees keys j <= i; with aligned="last" the last query meets the last key, as in a cache. window=w:
    only keys less than w places away. mask="bool" adds the port `mask`, True where a key is seen, and "additive" one of
    the operands' type that is added to the scaled scores: [B or 1, H or 1, T, S]. alibi=True adds `slopes`, float32
    [H]: slopes[h] * |i - j| is subtracted. softcap=c: scores become c * tanh(score / c). prefix=True adds the hot
    parameter `prefix`: the first so many keys are seen by every query. A query that sees no key gives zeros, as in
    torch.

    library="cudnn" computes with cuDNN 9.21 or newer instead of a kernel of ours: float16 and bfloat16, D and E
    multiples of 8, masks "additive" or none, no softcap, alibi or prefix, and every query has to see a key.

    Vaswani et al. 2017, 1706.03762; Dao et al. 2022, 2205.14135. `DescriptionError` for an unknown mask, alignment or
    library.
    """

    def __init__(
        self,
        causal: bool = False,
        *,
        mask: str | None = None,
        scale: float | None = None,
        group: int = 1,
        window: int | None = None,
        aligned: str = "first",
        alibi: bool = False,
        softcap: float | None = None,
        prefix: int | None = None,
        library: str | None = None,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        _check(kind, mask, group, aligned)
        self._aligned = aligned
        seen: dict[str, Any] = {"causal": causal, "window": window, "softcap": softcap}
        self._options = seen | {"mask": mask, "alibi": alibi}
        heads, groups, queries, keys = Dim("K") * group, Dim("K"), Dim("T"), Dim("S")
        length, width = Dim("D"), Dim("E")
        with BlockBuilder(self) as b:
            self.q = b.input("q", ("B", heads, "T", "D"), "T")
            self.k = b.input("k", ("B", "K", "S", "D"), "T")
            self.v = b.input("v", ("B", "K", "S", "E"), "T")
            self.mask = None
            if mask is not None:
                self.mask = b.input("mask", ("MB", "MH", "T", "S"), "bool" if mask == "bool" else "T")
            self.slopes = b.input("slopes", (heads,), "float32") if alibi else None
            self.scale = b.parameter("scale", 0.0 if scale is None else scale)
            self.prefix = None if prefix is None else b.parameter("prefix", prefix, "int32", low=0)
            self.y = b.output("y", ("B", heads, "T", "E"), "T")
            sight = Sight(
                **seen,
                aligned=aligned,
                prefix=self.prefix,
                mask=self.mask,
                mask_kind=mask,
                mask_strides=mask_strides(queries, keys) if mask else (0, 0, 0),
                slopes=self.slopes,
            )
            sight.check(kind)
            check_library(kind, library, sight)
            Attention(
                q=_separate(self.q, heads, queries, length),
                k=_separate(self.k, groups, keys, length),
                v=_separate(self.v, groups, keys, width),
                o=_separate(self.y, heads, queries, width),
                sizes=Sizes(Dim("B"), heads, group, queries, keys),
                scale=self.scale,
                sight=sight,
                fits=mask_fits(Dim("B"), heads) if mask else 1,
                library=library,
            ).describe(b)

    def reference(
        self, q: np.ndarray, k: np.ndarray, v: np.ndarray, *extra: np.ndarray, scale: float = 0.0, prefix: int = 0
    ) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs; `extra` are the mask and the slopes, where there are."""
        offset = k.shape[2] - q.shape[2] if self._aligned == "last" else 0
        return attention_reference(q, k, v, *extra, scale=scale, prefix=prefix, offset=offset, **self._options)


class FlashAttention(ScaledDotProductAttention):
    """y = softmax(scale * q @ k^T + bias) @ v: the memory-efficient algorithm by its name.

    The same block as `ScaledDotProductAttention`, whose kernel is this algorithm: tiles of keys, a running maximum and
    sum, O(T) memory. Ports, options and types are the same. Dao et al. 2022, 2205.14135.
    """


def _separate(operand: Any, heads: Any, tokens: Any, length: Any) -> Lines:
    return Lines(operand, (heads * tokens * length, tokens * length, length), length)


def _check(kind: str, mask: str | None, group: int, aligned: str) -> None:
    if mask not in MASKS:
        raise DescriptionError(f"{kind}: mask is None, 'bool' or 'additive', not {mask!r}")
    if isinstance(group, bool) or not isinstance(group, int) or group < 1:
        raise DescriptionError(f"{kind}: group is the number of query heads to a key head, at least 1, not {group!r}")
    if aligned not in _ALIGNED:
        raise DescriptionError(f"{kind}: aligned is 'first' or 'last', not {aligned!r}")
