"""Arithmetic on tensors: elementwise with broadcasting, reductions, products."""

from __future__ import annotations

from .add import Add as Add
from .scale import Scale as Scale
from .sgemm import Sgemm as Sgemm
from .vector_add import VectorAdd as VectorAdd

__all__ = ["Add", "Scale", "Sgemm", "VectorAdd"]
