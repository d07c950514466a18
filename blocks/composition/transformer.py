"""One layer of a transformer: attention, then a feed-forward network, each with a residual and a norm."""

from __future__ import annotations

from typing import Any

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port

from ..channel_mixing import GatedFFN, Linear
from ..channel_mixing.normed import store_norm
from ..normalization import LayerNorm, RMSNorm
from ..sequence_mixing import SelfAttention

NORMS = {"layer": LayerNorm, "rms": RMSNorm}


class TransformerBlock(Block):
    """h = x + attention(norm1(x)), y = h + ffn(norm2(h)); with norm_first=False h = norm1(x + attention(x)) and so on.

    x, y: [B, T, C] of `dtype` (float16, bfloat16, float32), and the ports that the attention's options add, in the
    order mask, rope, position. norm: "layer" (LayerNorm) or "rms" (RMSNorm). The feed-forward network is
    linear2(activation(linear1(x))) with `hidden` features (4C unless said), or with `gated=True` the GatedFFN `ffn`.
    `attention` is what SelfAttention takes: causal, window, kv_heads, rope, cache, position, mask, ... Residuals, most
    activations and, for one to eight tokens in all, the norms are part of the products: five nodes, or seven.
    `DescriptionError` for another norm, and for what the parts refuse. Vaswani et al. 2017, arXiv 1706.03762; norm
    first: Xiong et al. 2020, arXiv 2002.04745.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        hidden: int | None = None,
        *,
        norm: str = "layer",
        norm_first: bool = True,
        eps: float = 1e-5,
        gated: bool = False,
        activation: str = "gelu",
        bias: bool = True,
        attention_bias: bool | None = None,
        ffn_bias: bool | None = None,
        dtype: str = "float32",
        seed: int | None = None,
        **attention: Any,
    ) -> None:
        super().__init__()
        hidden = 4 * embed_dim if hidden is None else hidden
        ffn_bias = bias if ffn_bias is None else ffn_bias
        attention_bias = bias if attention_bias is None else attention_bias
        options = {"bias": attention_bias, "dtype": dtype, "seed": seed} | attention
        first = {"norm": norm, "norm_eps": eps, "norm_bias": bias} if norm_first else {}
        self.norm_first = norm_first
        with BlockBuilder(self) as b:
            self.self_attn = b.child(SelfAttention(embed_dim, num_heads, residual=True, **options, **first))
            self.norm1 = None if norm_first else b.child(norm_of(norm, embed_dim, eps, bias, dtype))
            self.norm2 = None if norm_first else b.child(norm_of(norm, embed_dim, eps, bias, dtype))
            self.x = b.input("x", ("B", "T", embed_dim), dtype)
            more = [port for port in self.self_attn.inputs if port.name not in ("x", "residual")]
            self.more = tuple(b.expose(port) for port in more)
            h = around(b, self.x, self.self_attn, self.norm1, norm_first)
            if gated:
                shared: dict[str, Any] = {"activation": activation, "bias": ffn_bias, "dtype": dtype, "seed": seed}
                self.ffn = b.child(GatedFFN(embed_dim, hidden, residual=True, **shared, **first))
                self.y = b.expose(around(b, h, self.ffn, self.norm2, norm_first), "y")
                into = self.ffn.gate_up_proj
            else:
                self.linear1, self.linear2 = feed_forward(embed_dim, hidden, activation, ffn_bias, dtype, seed, **first)
                self.y = b.expose(two_products(b, h, self.linear1, self.linear2, self.norm2, norm_first), "y")
                into = self.linear1
            store_norm(b, self.self_attn.qkv.norm, "norm1")
            store_norm(b, into.norm, "norm2")
            self._name_weights(b)

    def _name_weights(self, b: BlockBuilder) -> None:
        """Other names under which checkpoints hold the weights."""


def norm_of(kind: str, embed_dim: int, eps: float, bias: bool, dtype: str) -> LayerNorm | RMSNorm:
    """A norm over the last dimension, by name."""
    if kind not in NORMS:
        raise DescriptionError(f"a transformer's norm is one of {', '.join(NORMS)}, not {kind!r}")
    if kind == "rms":
        return RMSNorm(embed_dim, eps=eps, dtype=dtype)
    return LayerNorm(embed_dim, eps=eps, bias=bias, dtype=dtype)


def around(b: BlockBuilder, x: Port, part: Block, norm: Block | None, norm_first: bool) -> Port:
    """The residual and the norm around a child that adds its own residual; None where it normalises x itself."""
    b.connect(through(b, norm, x) if norm_first else x, part.ports["x"])
    b.connect(x, part.ports["residual"])
    return part.ports["y"] if norm_first else through(b, norm, part.ports["y"])


def feed_forward(
    embed_dim: int, hidden: int, activation: str, bias: bool, dtype: str, seed: int | None, **norm: Any
) -> tuple[Linear, Linear]:
    """The two products of a feed-forward network; the first one may normalise, the second one adds the residual."""
    later = None if seed is None else seed + 1
    first = Linear(embed_dim, hidden, bias, activation=activation, dtype=dtype, seed=seed, **norm)
    return first, Linear(hidden, embed_dim, bias, residual=True, dtype=dtype, seed=later)


def two_products(b: BlockBuilder, x: Port, first: Linear, second: Linear, norm: Block | None, norm_first: bool) -> Port:
    """The residual and the norm around a feed-forward network of two linear layers, as for `around`."""
    hidden = b.apply(first, through(b, norm, x) if norm_first else x)
    y = b.apply(second, hidden, x)
    return y if norm_first else through(b, norm, y)


def through(b: BlockBuilder, child: Block | None, x: Port) -> Port:
    """A child's output for this input; the input itself without a child."""
    if child is None:
        return x
    b.connect(x, child.ports["x"])
    return child.ports["y"]
