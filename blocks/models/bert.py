"""BERT."""

from __future__ import annotations

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from ..composition.transformer_encoder import TransformerEncoderBlock
from ..composition.transformer_stack import in_a_row
from ..embedding import TokenPositionEmbedding
from ..normalization import LayerNorm
from .config import ACTIVATIONS, Config
from .key_table import KeyTable

PREFIX = "bert."
_NORMS = {
    "embeddings.LayerNorm": "norm",
    "encoder.layer.*.attention.output.LayerNorm": "layers.*.norm1",
    "encoder.layer.*.output.LayerNorm": "layers.*.norm2",
}
_NORM_NAMES = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}  # gamma and beta in old files
KEYS: KeyTable = {
    "embeddings.word_embeddings.weight": "embedding.tokens",
    "embeddings.position_embeddings.weight": "embedding.positions",
    "embeddings.token_type_embeddings.weight": "embedding.types",
    "embeddings.position_ids": None,
    **{f"{name}.{theirs}": f"{norm}.{ours}" for name, norm in _NORMS.items() for theirs, ours in _NORM_NAMES.items()},
    "encoder.layer.*.attention.self.*.*": "layers.*.self_attn.*.*",
    "encoder.layer.*.attention.output.dense.*": "layers.*.self_attn.out_proj.*",
    "encoder.layer.*.intermediate.dense.*": "layers.*.linear1.*",
    "encoder.layer.*.output.dense.*": "layers.*.linear2.*",
    "pooler.**": None,
    "cls.**": None,  # heads of other tasks
    "qa_outputs.**": None,
    "classifier.**": None,
}


class BERT(Block):
    """last_hidden_state = layers(norm(words[ids] + positions[t] + types[token_types])), norms after the residuals.

    ids, token_types: [B, T] int32 or int64, mask: [B, T] bool, True where there is a token (transformers'
    attention_mask), last_hidden_state: [B, T, C] of `dtype` (float16, bfloat16, float32). The default is BERT base.
    Devlin et al. 2018, arXiv 1810.04805.
    """

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        hidden: int = 3072,
        *,
        positions: int = 512,
        token_types: int = 2,
        activation: str = "gelu",
        eps: float = 1e-12,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.embedding = TokenPositionEmbedding(
            vocab_size, positions, hidden_size, types=token_types, dtype=dtype, seed=seed
        )
        self.layers = [
            TransformerEncoderBlock(
                hidden_size,
                num_heads,
                hidden,
                activation=activation,
                layer_norm_eps=eps,
                mask="keys",
                dtype=dtype,
                seed=None if seed is None else seed + 10 * (number + 1),
            )
            for number in range(num_layers)
        ]
        self.norm = LayerNorm(hidden_size, eps=eps, dtype=dtype)
        with BlockBuilder(self) as b:
            self.ids = b.input("ids", ("B", "T"), "I")
            self.token_types = b.input("token_types", ("B", "T"), "I")
            self.mask = b.input("mask", ("B", "T"), "bool")
            x = b.apply(self.norm, b.apply(self.embedding, self.ids, self.token_types))
            self.last_hidden_state = b.expose(in_a_row(b, self.layers, x, {"mask": self.mask}), "last_hidden_state")


def from_config(config: Config, *, dtype: str, max_length: int | None) -> BERT:
    """The model of a configuration."""
    config.require(position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    return BERT(
        config.count("vocab_size", 30522),
        config.count("hidden_size", 768),
        config.count("num_hidden_layers", 12),
        config.count("num_attention_heads", 12),
        config.count("intermediate_size", 3072),
        positions=config.count("max_position_embeddings", 512),
        token_types=config.count("type_vocab_size", 2),
        activation=config.choice("hidden_act", ACTIVATIONS, "gelu"),
        eps=config.number("layer_norm_eps", 1e-12),
        dtype=dtype,
    )
