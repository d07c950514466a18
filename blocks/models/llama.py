"""LLaMA and Mistral."""

from __future__ import annotations

from typing import Any

from cudagraph.builder import BlockBuilder

from ..composition.transformer import TransformerBlock
from ..embedding import rotary_table
from ..normalization import RMSNorm
from .causal import CausalLM
from .config import ACTIVATIONS, Config
from .key_table import KeyTable
from .token_loop import TokenLoop

PREFIX = "model."
KEYS: KeyTable = {
    "embed_tokens.weight": "loop.weight",
    "layers.*.input_layernorm.*": "layers.*.norm1.*",
    "layers.*.self_attn.rotary_emb.inv_freq": None,  # in old files
    "layers.*.self_attn.o_proj.*": "layers.*.self_attn.out_proj.*",
    "layers.*.post_attention_layernorm.*": "layers.*.norm2.*",
    "layers.*.mlp.**": "layers.*.ffn.**",
    "lm_head.weight": "head.weight",
}
SCALINGS = ("default", "linear", "llama3")


class Llama(CausalLM):
    """logits = head(norm(layers(embed_tokens[ids]))): RMSNorm first, rotary positions, grouped queries, SwiGLU.

    ids: [B, T], logits: [B, T, V] of `dtype` (float16, bfloat16, float32). The default is LLaMA-7B. kv_heads: heads of
    keys and values; window: how many tokens each one sees (Mistral's sliding window); rope_scaling: see `rotary_table`;
    tied: whether the head is the embedding's table. Touvron et al. 2023, arXiv 2302.13971; Jiang et al. 2023, arXiv
    2310.06825.
    """

    def __init__(
        self,
        vocab_size: int = 32000,
        hidden_size: int = 4096,
        num_layers: int = 32,
        num_heads: int = 32,
        hidden: int = 11008,
        *,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        activation: str = "silu",
        eps: float = 1e-6,
        rope_theta: float = 10000.0,
        rope_scaling: dict[str, Any] | None = None,
        window: int | None = None,
        attention_bias: bool = False,
        mlp_bias: bool = False,
        tied: bool = False,
        max_length: int = 2048,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.loop = TokenLoop(vocab_size, hidden_size, max_length=max_length, dtype=dtype, seed=seed)
        self.layers = [
            TransformerBlock(
                hidden_size,
                num_heads,
                hidden,
                norm="rms",
                eps=eps,
                gated=True,
                activation=activation,
                attention_bias=attention_bias,
                ffn_bias=mlp_bias,
                kv_heads=kv_heads,
                head_dim=head_dim,
                causal=True,
                window=window,
                rope="port",
                cache=max_length,
                position=self.loop.position,
                dtype=dtype,
                seed=None if seed is None else seed + 10 * (number + 1),
            )
            for number in range(num_layers)
        ]
        dim = head_dim or hidden_size // num_heads
        table = rotary_table(max_length, dim, rope_theta, rope_scaling)
        with BlockBuilder(self) as b:
            self.rope = b.state("rope", table.shape, "float32", table, persistent=False)
            rope = b.view(self.rope, table.shape)
            self._describe(b, RMSNorm(hidden_size, eps=eps, dtype=dtype), tied, dtype, {"rope": rope})


def from_config(config: Config, *, dtype: str, max_length: int | None) -> Llama:
    """The model of a configuration, of LLaMA or of Mistral."""
    mistral = config.values["model_type"] == "mistral"
    config.require(layer_types=None)
    width, heads = config.count("hidden_size", 4096), config.count("num_attention_heads", 32)
    longest = config.count("max_position_embeddings", 131072 if mistral else 2048)
    grouped = 8 if mistral and "num_key_value_heads" not in config.values else heads
    theta, scaling = rope_of(config)
    return Llama(
        config.count("vocab_size", 32000),
        width,
        config.count("num_hidden_layers", 32),
        heads,
        config.count("intermediate_size", 14336 if mistral else 11008),
        kv_heads=config.count("num_key_value_heads", grouped),
        head_dim=config.count("head_dim", width // heads),
        activation=config.choice("hidden_act", ACTIVATIONS, "silu"),
        eps=config.number("rms_norm_eps", 1e-6),
        rope_theta=theta,
        rope_scaling=scaling,
        window=config.count("sliding_window") if mistral and config.values.get("sliding_window") is not None else None,
        attention_bias=config.flag("attention_bias", False),
        mlp_bias=config.flag("mlp_bias", False),
        tied=config.flag("tie_word_embeddings", False),
        max_length=min(longest, max_length or 4096),
        dtype=dtype,
    )


def rope_of(config: Config) -> tuple[float, dict[str, Any] | None]:
    """The base and the scaling of rotary positions, from `rope_parameters`, or `rope_theta` and `rope_scaling`."""
    name = "rope_parameters" if config.values.get("rope_parameters") is not None else "rope_scaling"
    given = config.values.get(name)
    if given is not None and not isinstance(given, dict):
        raise config.error(name, "an object with a rope_type")
    scaling = Config(given or {}, config.path)
    theta = scaling.number("rope_theta", config.number("rope_theta", 10000.0))
    kind = scaling.values.get("rope_type", scaling.values.get("type", "default"))
    if kind not in SCALINGS:
        raise config.error(name, f"a rope_type of {', '.join(SCALINGS)}")
    if scaling.number("partial_rotary_factor", 1.0) != 1.0:
        raise config.error(name, "a partial_rotary_factor of 1")
    return theta, None if kind == "default" else dict(scaling.values)
