"""Tokens, patches and positions as vectors."""

from __future__ import annotations

from .alibi import ALiBi as ALiBi
from .alibi import alibi_slopes as alibi_slopes
from .conditional_position import ConditionalPositionEncoding as ConditionalPositionEncoding
from .embedding import Embedding as Embedding
from .embedding import TokensToEmbedding as TokensToEmbedding
from .patch_embedding import PatchEmbedding as PatchEmbedding
from .positions import LearnedPositionalEmbedding as LearnedPositionalEmbedding
from .positions import PositionalEncoding as PositionalEncoding
from .positions import sinusoidal_table as sinusoidal_table
from .relative_position_bias import RelativePositionBias as RelativePositionBias
from .relative_position_bias import WindowPositionBias as WindowPositionBias
from .rotary import RotaryEmbedding as RotaryEmbedding
from .rotary import rotary_table as rotary_table
from .timestep import DiffusionTimestepEmbed as DiffusionTimestepEmbed
from .timestep import TimestepSinusoid as TimestepSinusoid
from .token_position import TokenPositionEmbedding as TokenPositionEmbedding

__all__ = [
    "ALiBi",
    "ConditionalPositionEncoding",
    "DiffusionTimestepEmbed",
    "Embedding",
    "LearnedPositionalEmbedding",
    "PatchEmbedding",
    "PositionalEncoding",
    "RelativePositionBias",
    "RotaryEmbedding",
    "TimestepSinusoid",
    "TokenPositionEmbedding",
    "TokensToEmbedding",
    "WindowPositionBias",
    "alibi_slopes",
    "rotary_table",
    "sinusoidal_table",
]
