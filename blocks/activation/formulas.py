"""The activations that `Linear` fuses, in NumPy."""

from __future__ import annotations

import numpy as np

ACTIVATIONS = ("none", "relu", "gelu")


def activate(x: np.ndarray, activation: str) -> np.ndarray:
    """x after "none", "relu" or "gelu" (the tanh approximation, as cuBLAS computes it)."""
    if activation == "relu":
        return np.where(x < 0, x.dtype.type(0), x)
    if activation == "gelu":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x
