"""How blocks are put together."""

from __future__ import annotations

from .delay import Delay as Delay
from .highway import HighwayConnection as HighwayConnection
from .lora import Adapter as Adapter
from .lora import LoRA as LoRA
from .merge import Merge as Merge
from .parallel import DenseConnection as DenseConnection
from .parallel import Parallel as Parallel
from .psann import ResidualPSANNBlock as ResidualPSANNBlock
from .residual import PostNormResidual as PostNormResidual
from .residual import PreNormResidual as PreNormResidual
from .residual import Residual as Residual
from .sequential import Sequential as Sequential
from .transformer import TransformerBlock as TransformerBlock
from .transformer_decoder import TransformerDecoderBlock as TransformerDecoderBlock
from .transformer_encoder import TransformerEncoderBlock as TransformerEncoderBlock
from .transformer_stack import TransformerStack as TransformerStack
from .transformer_vit import ViTBlock as ViTBlock
from .wiring import HiddenBlock as HiddenBlock
from .wiring import InputBlock as InputBlock
from .wiring import OutputBlock as OutputBlock
from .wiring import ResidualWiring as ResidualWiring
from .wiring import SequentialWiring as SequentialWiring
from .wiring import Wiring as Wiring

__all__ = [
    "Adapter",
    "Delay",
    "DenseConnection",
    "HiddenBlock",
    "HighwayConnection",
    "InputBlock",
    "LoRA",
    "Merge",
    "OutputBlock",
    "Parallel",
    "PostNormResidual",
    "PreNormResidual",
    "Residual",
    "ResidualPSANNBlock",
    "ResidualWiring",
    "Sequential",
    "SequentialWiring",
    "TransformerBlock",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "TransformerStack",
    "ViTBlock",
    "Wiring",
]
