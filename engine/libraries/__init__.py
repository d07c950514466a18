"""The library table on the host: how each operation of `cudagraph.library` is computed with NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from .attention import attention
from .convolution import convolution
from .gemm import gemm

HostOperation = Callable[[dict[str, np.ndarray], dict[str, Any]], None]
"""Computes into the output arrays: operands and scalars by name, options by name."""

HOST_LIBRARY: Mapping[str, HostOperation] = MappingProxyType(
    {"cublas.gemm": gemm, "cudnn.convolution": convolution, "cudnn.attention": attention}
)
