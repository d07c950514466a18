"""Activation functions."""

from __future__ import annotations

from .relu import ReLU as ReLU
from .softmax import Softmax as Softmax

__all__ = ["ReLU", "Softmax"]
