"""torch's decoder layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.state_dict import Layout

from ..sequence_mixing import CrossAttention, SelfAttention
from .transformer import around, feed_forward, norm_of, two_products


class TransformerDecoderBlock(Block):
    """h = norm1(x + attention(x)), g = norm2(h + attention(h, memory)), y = norm3(g + ffn(g)).

    torch.nn.TransformerDecoderLayer without dropout: its arguments, and a state dict of its loads. x, y: [B, T, C],
    memory: [B, S, C] of `dtype` (float16, bfloat16, float32). With norm_first the norms are before the parts, inside
    of the residuals. Causal unless causal=False; `attention` is what SelfAttention takes besides. Vaswani et al. 2017,
    arXiv 1706.03762.
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
        causal: bool = True,
        dtype: str = "float32",
        seed: int | None = None,
        **attention: Any,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"bias": bias, "dtype": dtype, "residual": True, "seed": seed}
        with BlockBuilder(self) as b:
            self.self_attn = b.child(SelfAttention(d_model, nhead, causal=causal, **options, **attention))
            self.multihead_attn = b.child(CrossAttention(d_model, nhead, **options))
            norms = [b.child(norm_of("layer", d_model, layer_norm_eps, bias, dtype)) for _ in range(3)]
            self.norm1, self.norm2, self.norm3 = norms
            self.linear1, self.linear2 = feed_forward(d_model, dim_feedforward, activation, bias, dtype, seed)
            self.x = b.input("x", ("B", "T", d_model), dtype)
            self.memory = b.expose(self.multihead_attn.context, "memory")
            more = [port for port in self.self_attn.inputs if port.name not in ("x", "residual")]
            self.more = tuple(b.expose(port) for port in more)
            h = around(b, self.x, self.self_attn, self.norm1, norm_first)
            g = around(b, h, self.multihead_attn, self.norm2, norm_first)
            self.y = b.expose(two_products(b, g, self.linear1, self.linear2, self.norm3, norm_first), "y")
            self._name_weights(b, d_model)

    def _name_weights(self, b: BlockBuilder, rows: int) -> None:
        """torch packs the products of queries, keys and values into one array, also where they have other inputs."""
        for linear, names, start in (
            (self.multihead_attn.q_proj, ("q_proj",), 0),
            (self.multihead_attn.kv_proj, ("k_proj", "v_proj"), rows),
        ):
            for kind, weight in linear.weights.items():
                b.stored_as(weight, {f"multihead_attn.{name}.{kind}": rows for name in names})
                b.stored_as(weight, _Rows(weight, ((f"multihead_attn.in_proj_{kind}", -1),), start=start))


@dataclass(frozen=True)
class _Rows(Layout):
    """The tensor is what a larger array holds from the row `start` on."""

    start: int = 0

    def join(self, mapping: Mapping[str, Any]) -> Any:
        """Those rows; fewer where the array ends, which does not fit."""
        array = np.asarray(mapping[self.names[0]])
        return array[self.start : self.start + self.tensor.shape[0]]
