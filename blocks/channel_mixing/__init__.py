"""What mixes the features of one position: linear layers and feed-forward networks."""

from __future__ import annotations

from .dense_mlp import DenseMLP as DenseMLP
from .embedding_to_logits import EmbeddingToLogits as EmbeddingToLogits
from .ffn import FFN as FFN
from .gated_ffn import Expert as Expert
from .gated_ffn import GatedFFN as GatedFFN
from .gated_ffn import GeGLU as GeGLU
from .gated_ffn import SwiGLU as SwiGLU
from .gated_linear import GatedLinear as GatedLinear
from .linear import Linear as Linear
from .mlp_block import MLPBlock as MLPBlock
from .projection import Projection as Projection

__all__ = [
    "FFN",
    "DenseMLP",
    "EmbeddingToLogits",
    "Expert",
    "GatedFFN",
    "GatedLinear",
    "GeGLU",
    "Linear",
    "MLPBlock",
    "Projection",
    "SwiGLU",
]
