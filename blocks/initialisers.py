"""First values of weights: `b.weight("weight", shape, init=initialisers.xavier_uniform(seed=0))`.

Every function here returns a callable that makes an array from a shape and a dtype, as torch.nn.init fills one.
Its numbers come from one generator, so an initialiser that serves several weights gives each its own. The first two
dimensions of a weight are outputs and inputs; further ones are a receptive field.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cudagraph.errors import DescriptionError

Initialiser = Callable[[tuple[int, ...], "np.dtype[Any]"], np.ndarray]

GAINS = {"linear": 1.0, "conv": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
_MODES = ("fan_in", "fan_out")


def constant(value: float) -> Initialiser:
    """Every element is `value`."""
    return lambda shape, dtype: np.full(shape, value, dtype)


def zeros() -> Initialiser:
    """Every element is 0."""
    return constant(0.0)


def ones() -> Initialiser:
    """Every element is 1."""
    return constant(1.0)


def uniform(low: float = 0.0, high: float = 1.0, *, seed: int | None = None) -> Initialiser:
    """Uniform between `low` and `high`."""
    random = np.random.default_rng(seed)
    return lambda shape, dtype: random.uniform(low, high, shape).astype(dtype)


def normal(mean: float = 0.0, std: float = 1.0, *, seed: int | None = None) -> Initialiser:
    """Normal with this mean and standard deviation."""
    random = np.random.default_rng(seed)
    return lambda shape, dtype: random.normal(mean, std, shape).astype(dtype)


def trunc_normal(
    mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0, *, seed: int | None = None
) -> Initialiser:
    """Normal, drawn anew where it is not between `low` and `high`. `DescriptionError` where hardly anything is."""
    share = _below((high - mean) / std) - _below((low - mean) / std)
    if not share > 1e-3:
        raise DescriptionError(
            f"trunc_normal: fewer than 1 in 1000 numbers of mean {mean} and deviation {std} are in {low} to {high}"
        )
    random = np.random.default_rng(seed)

    def make(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        values = random.normal(mean, std, math.prod(shape))
        outside = np.flatnonzero((values < low) | (values > high))
        while outside.size:
            values[outside] = random.normal(mean, std, outside.size)
            again = values[outside]
            outside = outside[(again < low) | (again > high)]
        return values.reshape(shape).astype(dtype)

    return make


def xavier_uniform(gain: float = 1.0, *, seed: int | None = None) -> Initialiser:
    """Uniform in +-gain sqrt(6 / (fan_in + fan_out)): Glorot and Bengio, AISTATS 2010."""
    return _scaled(lambda shape: gain * math.sqrt(2 / sum(fans(shape))), True, seed)


def xavier_normal(gain: float = 1.0, *, seed: int | None = None) -> Initialiser:
    """Normal with deviation gain sqrt(2 / (fan_in + fan_out)): Glorot and Bengio, AISTATS 2010."""
    return _scaled(lambda shape: gain * math.sqrt(2 / sum(fans(shape))), False, seed)


def kaiming_uniform(
    a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, seed: int | None = None
) -> Initialiser:
    """Uniform in +-gain sqrt(3 / fan), as `kaiming_normal` otherwise: He et al., arXiv 1502.01852."""
    return _scaled(_kaiming(a, mode, nonlinearity), True, seed)


def kaiming_normal(
    a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, seed: int | None = None
) -> Initialiser:
    """Normal with deviation gain / sqrt(fan): He et al., arXiv 1502.01852.

    `mode` is "fan_in" or "fan_out"; `a` is the slope below 0 for "leaky_relu". `DescriptionError` for other names.
    """
    return _scaled(_kaiming(a, mode, nonlinearity), False, seed)


def orthogonal(gain: float = 1.0, *, seed: int | None = None) -> Initialiser:
    """Rows (or columns, where there are more rows) orthogonal, of length `gain`: Saxe et al., arXiv 1312.6120."""
    random = np.random.default_rng(seed)

    def make(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        rows, columns = _matrix("orthogonal", shape)
        q, r = np.linalg.qr(random.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # or the result would not be uniform over all rotations
        return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)

    return make


def gain_of(nonlinearity: str, a: float = 0.0) -> float:
    """By what the deviation grows to make up for a nonlinearity, as torch.nn.init.calculate_gain. `a`: leaky slope."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + a * a))
    if nonlinearity not in GAINS:
        known = ", ".join((*GAINS, "leaky_relu"))
        raise DescriptionError(f"there is no gain for the nonlinearity {nonlinearity!r}; there are {known}")
    return GAINS[nonlinearity]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs an output of the layer sees, and how many outputs an input reaches."""
    if len(shape) < 2:
        raise DescriptionError(f"the fans of a weight need at least 2 dimensions, [out, in, ...]; its shape is {shape}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def fan(shape: tuple[int, ...], mode: str) -> int:
    """One of the `fans`: "fan_in" or "fan_out". `DescriptionError` for another mode."""
    _check_mode(mode)
    return fans(shape)[_MODES.index(mode)]


def _kaiming(a: float, mode: str, nonlinearity: str) -> Callable[[tuple[int, ...]], float]:
    gain = gain_of(nonlinearity, a)
    _check_mode(mode)
    return lambda shape: gain / math.sqrt(fan(shape, mode))


def _check_mode(mode: str) -> None:
    if mode not in _MODES:
        raise DescriptionError(f"the mode is one of {', '.join(_MODES)}, not {mode!r}")


def _scaled(deviation: Callable[[tuple[int, ...]], float], even: bool, seed: int | None) -> Initialiser:
    """Of a deviation that depends on the fans; uniform where `even`, else normal."""
    random = np.random.default_rng(seed)

    def make(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        std = deviation(shape)
        if even:
            return random.uniform(-math.sqrt(3) * std, math.sqrt(3) * std, shape).astype(dtype)
        return random.normal(0.0, std, shape).astype(dtype)

    return make


def _matrix(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2:
        raise DescriptionError(f"{name} needs at least 2 dimensions, not the shape {shape}")
    return shape[0], math.prod(shape[1:])


def _below(x: float) -> float:
    """The share of a standard normal variable below x."""
    return 0.5 * math.erfc(-x / math.sqrt(2))
