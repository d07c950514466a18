"""GPT-2."""

from __future__ import annotations

from cudagraph.builder import BlockBuilder

from ..composition.transformer import TransformerBlock
from ..normalization import LayerNorm
from .causal import CausalLM
from .config import ACTIVATIONS, Config
from .key_table import Transposed
from .token_loop import TokenLoop

PREFIX = "transformer."
KEYS = {
    "wte.weight": "loop.weight",
    "wpe.weight": "loop.positions",
    "h.*.ln_1.*": "layers.*.norm1.*",
    "h.*.attn.c_attn.weight": Transposed("layers.*.self_attn.qkv.weight"),  # GPT-2 keeps its weights [in, out]
    "h.*.attn.c_attn.bias": "layers.*.self_attn.qkv.bias",
    "h.*.attn.c_proj.weight": Transposed("layers.*.self_attn.out_proj.weight"),
    "h.*.attn.c_proj.bias": "layers.*.self_attn.out_proj.bias",
    "h.*.attn.bias": None,  # the causal mask, in old files
    "h.*.attn.masked_bias": None,
    "h.*.ln_2.*": "layers.*.norm2.*",
    "h.*.mlp.c_fc.weight": Transposed("layers.*.linear1.weight"),
    "h.*.mlp.c_fc.bias": "layers.*.linear1.bias",
    "h.*.mlp.c_proj.weight": Transposed("layers.*.linear2.weight"),
    "h.*.mlp.c_proj.bias": "layers.*.linear2.bias",
    "ln_f.*": "norm.*",
    "lm_head.weight": "head.weight",
}


class GPT2(CausalLM):
    """logits = ln_f(layers(wte[ids] + wpe[positions])) @ wte.T, with norm-first layers and the tanh form of GELU.

    ids: [B, T], logits: [B, T, V] of `dtype` (float16, bfloat16, float32). The default is GPT-2 small (124M). Radford
    et al. 2019, "Language models are unsupervised multitask learners".
    """

    def __init__(
        self,
        vocab_size: int = 50257,
        n_positions: int = 1024,
        n_embd: int = 768,
        n_layer: int = 12,
        n_head: int = 12,
        *,
        n_inner: int | None = None,
        activation: str = "gelu_tanh",
        eps: float = 1e-5,
        scaled: bool = True,
        tied: bool = True,
        max_length: int | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        length = min(n_positions, max_length or n_positions)
        self.loop = TokenLoop(vocab_size, n_embd, max_length=length, positions=n_positions, dtype=dtype, seed=seed)
        self.layers = [
            TransformerBlock(
                n_embd,
                n_head,
                n_inner,
                eps=eps,
                activation=activation,
                causal=True,
                scale=None if scaled else 1.0,
                cache=length,
                position=self.loop.position,
                dtype=dtype,
                seed=None if seed is None else seed + 10 * (number + 1),
            )
            for number in range(n_layer)
        ]
        with BlockBuilder(self) as b:
            self._describe(b, LayerNorm(n_embd, eps=eps, dtype=dtype), tied, dtype)


def from_config(config: Config, *, dtype: str, max_length: int | None) -> GPT2:
    """The model of a configuration."""
    config.require(scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    return GPT2(
        config.count("vocab_size", 50257),
        config.count("n_positions", 1024),
        config.count("n_embd", 768),
        config.count("n_layer", 12),
        config.count("n_head", 12),
        n_inner=config.count("n_inner", 4 * config.count("n_embd", 768)),
        activation=config.choice("activation_function", ACTIVATIONS, "gelu_new"),
        eps=config.number("layer_norm_epsilon", 1e-5),
        scaled=config.flag("scale_attn_weights", True),
        tied=config.flag("tie_word_embeddings", True),
        max_length=max_length,
        dtype=dtype,
    )
