"""Normalisation."""

from __future__ import annotations

from .adaptive_norm import AdaptiveLayerNorm as AdaptiveLayerNorm
from .adaptive_norm import ConditionalLayerNorm as ConditionalLayerNorm
from .adaptive_norm import ModulatedLayerNorm as ModulatedLayerNorm
from .batch_norm import BatchNorm1d as BatchNorm1d
from .batch_norm import BatchNorm2d as BatchNorm2d
from .batch_norm import BatchNorm3d as BatchNorm3d
from .group_norm import GroupNorm as GroupNorm
from .group_norm import InstanceNorm1d as InstanceNorm1d
from .group_norm import InstanceNorm2d as InstanceNorm2d
from .layer_norm import LayerNorm as LayerNorm
from .layer_norm import RMSNorm as RMSNorm
from .weight_norm import SpectralNorm as SpectralNorm
from .weight_norm import WeightNorm as WeightNorm

__all__ = [
    "AdaptiveLayerNorm",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "ConditionalLayerNorm",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "ModulatedLayerNorm",
    "RMSNorm",
    "SpectralNorm",
    "WeightNorm",
]
