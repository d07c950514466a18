"""Vision transformer."""

from __future__ import annotations

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder

from ..composition.transformer_stack import in_a_row
from ..composition.transformer_vit import ViTBlock
from ..normalization import LayerNorm
from .config import ACTIVATIONS, Config
from .key_table import KeyTable
from .patch_tokens import PatchTokens

PREFIX = "vit."
KEYS: KeyTable = {
    "embeddings.cls_token": "tokens.cls_token",
    "embeddings.position_embeddings": "tokens.positions",
    "embeddings.mask_token": None,
    "embeddings.patch_embeddings.projection.*": "tokens.*",
    "encoder.layer.*.layernorm_before.*": "layers.*.norm1.*",
    "encoder.layer.*.attention.attention.*.*": "layers.*.self_attn.*.*",
    "encoder.layer.*.attention.output.dense.*": "layers.*.self_attn.out_proj.*",
    "encoder.layer.*.layernorm_after.*": "layers.*.norm2.*",
    "encoder.layer.*.intermediate.dense.*": "layers.*.linear1.*",
    "encoder.layer.*.output.dense.*": "layers.*.linear2.*",
    "layernorm.*": "norm.*",
    "pooler.**": None,
    "classifier.**": None,  # heads of other tasks
    "decoder.**": None,
}


class ViT(Block):
    """last_hidden_state = norm(layers([cls_token; patches(pixels)] + positions)).

    pixels: [B, I, H, W], last_hidden_state: [B, N + 1, C] of `dtype` (float16, bfloat16, float32), N patches.
    `library` of the attention: see `SelfAttention`. The default is ViT-B/16 for images of 224 x 224. Dosovitskiy et al.
    2020, arXiv 2010.11929.
    """

    def __init__(
        self,
        image_size: tuple[int, int] = (224, 224),
        patch_size: tuple[int, int] = (16, 16),
        num_channels: int = 3,
        hidden_size: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        hidden: int = 3072,
        *,
        activation: str = "gelu",
        qkv_bias: bool = True,
        eps: float = 1e-12,
        library: str | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.tokens = PatchTokens(image_size, patch_size, num_channels, hidden_size, dtype=dtype, seed=seed)
        self.layers = [
            ViTBlock(
                hidden_size,
                num_heads,
                hidden / hidden_size,
                eps=eps,
                qkv_bias=qkv_bias,
                activation=activation,
                library=library,
                dtype=dtype,
                seed=None if seed is None else seed + 10 * (number + 1),
            )
            for number in range(num_layers)
        ]
        self.norm = LayerNorm(hidden_size, eps=eps, dtype=dtype)
        with BlockBuilder(self) as b:
            b.child(self.tokens)
            self.pixels = b.expose(self.tokens.x, "pixels")
            x = in_a_row(b, self.layers, self.tokens.y, {})
            self.last_hidden_state = b.expose(b.apply(self.norm, x), "last_hidden_state")


def from_config(config: Config, *, dtype: str, max_length: int | None, library: str | None = None) -> ViT:
    """The model of a configuration."""
    return ViT(
        config.pair("image_size", 224),
        config.pair("patch_size", 16),
        config.count("num_channels", 3),
        config.count("hidden_size", 768),
        config.count("num_hidden_layers", 12),
        config.count("num_attention_heads", 12),
        config.count("intermediate_size", 3072),
        activation=config.choice("hidden_act", ACTIVATIONS, "gelu"),
        qkv_bias=config.flag("qkv_bias", True),
        eps=config.number("layer_norm_eps", 1e-12),
        library=library,
        dtype=dtype,
    )
