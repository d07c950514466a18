"""The activation functions by name, in NumPy: what `kernels/activation/activation.cuh` computes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Formula = Callable[[np.ndarray], np.ndarray]


def activate(x: np.ndarray, activation: str) -> np.ndarray:
    """x after the activation of that name (one of `ACTIVATIONS`), in the precision of x. NaN stays NaN."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return FORMULAS[activation](x)


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0)."""
    return np.maximum(x, 0)


def relu6(x: np.ndarray) -> np.ndarray:
    """min(max(x, 0), 6)."""
    return np.clip(x, 0, 6)


def leaky_relu(x: np.ndarray, slope: float = 0.01) -> np.ndarray:
    """x, or slope * x below 0."""
    return np.where(x < 0, slope * x, x)


def elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    """x, or alpha * (exp(x) - 1) below 0."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def silu(x: np.ndarray, beta: float = 1.0) -> np.ndarray:
    """x * sigmoid(beta * x)."""
    return x / (1 + np.exp(-beta * x))


def quick_gelu(x: np.ndarray) -> np.ndarray:
    """x * sigmoid(1.702 x), as in CLIP."""
    return silu(x, 1.702)


def gelu(x: np.ndarray) -> np.ndarray:
    """x * (1 + erf(x / sqrt 2)) / 2: torch's default."""
    return x * (0.5 * (1 + np.asarray(_erf(x * math.sqrt(0.5)), x.dtype)))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as in GPT-2 and as cuBLASLt computes it."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def softplus(x: np.ndarray, beta: float = 1.0, threshold: float = 20.0) -> np.ndarray:
    """log(1 + exp(beta x)) / beta, or x where beta x > threshold."""
    return np.where(beta * x > threshold, x, np.logaddexp(beta * x, x.dtype.type(0)) / beta)


def mish(x: np.ndarray) -> np.ndarray:
    """x * tanh(log(1 + exp(x)))."""
    return x * np.tanh(np.logaddexp(x, x.dtype.type(0)))


def hardsigmoid(x: np.ndarray) -> np.ndarray:
    """relu6(x + 3) / 6."""
    return relu6(x + 3) / 6


def hardswish(x: np.ndarray) -> np.ndarray:
    """x * relu6(x + 3) / 6."""
    return x * hardsigmoid(x)


_erf = np.frompyfunc(math.erf, 1, 1)  # NumPy has none

FORMULAS: dict[str, Formula] = {
    "none": lambda x: x,
    "relu": relu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "silu": silu,
    "mish": mish,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "relu6": relu6,
    "hardswish": hardswish,
    "hardsigmoid": hardsigmoid,
    "elu": elu,
    "leaky_relu": leaky_relu,
}
ACTIVATIONS = tuple(FORMULAS)
"""The names that kernels and blocks take for their `activation`."""
