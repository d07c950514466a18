"""Sparse layers on grids."""

from __future__ import annotations

from .config import GeoSparseConfig as GeoSparseConfig
from .connectivity import GeoConnectivity as GeoConnectivity
from .dense import DenseResBlock as DenseResBlock
from .dense import DenseResNet as DenseResNet
from .geo_sparse_block import GeoSparseResidualBlock as GeoSparseResidualBlock
from .geo_sparse_block import GeoSparseStack as GeoSparseStack
from .geo_sparse_linear import GeoSparseLinear as GeoSparseLinear
from .geo_sparse_net import GeoSparseNet as GeoSparseNet

__all__ = [
    "DenseResBlock",
    "DenseResNet",
    "GeoConnectivity",
    "GeoSparseConfig",
    "GeoSparseLinear",
    "GeoSparseNet",
    "GeoSparseResidualBlock",
    "GeoSparseStack",
]
