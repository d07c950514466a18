"""Damped sines with an amplitude, a frequency, a decay and a phase per feature: psann's activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.parameter import Parameter

from .launch import checked_axis, feature_launch, with_axis

Bounds = Mapping[str, tuple[float | None, float | None]]
DECAY_MODES = ("none", "abs", "relu")
_SMALLEST = float(np.finfo(np.float32).eps)


class SineParam(Block):
    """y = A exp(-d g(x)) sin(f x), with A, f and d per feature: psann's sine activation.

    A = softplus(_A), f = softplus(_f) + 1e-6, d = softplus(_d), then clamped to the hot float2 parameters
    amplitude_bounds, frequency_bounds and decay_bounds. g(x) is |x|, max(x, 0) or 0 for decay_mode "abs", "relu",
    "none". x, y: [..., C, ...], features along `feature_dim`, of one floating-point type; _A, _f, _d: [C] float32. The
    *_init are values after softplus: a number or one per feature. `DescriptionError` for another mode, number or name
    of bounds.
    """

    phased = False

    def __init__(
        self,
        out_features: int,
        *,
        amplitude_init: float | Sequence[float] = 1.0,
        frequency_init: float | Sequence[float] = 1.0,
        decay_init: float | Sequence[float] = 0.1,
        decay_mode: str = "abs",
        bounds: Bounds | None = None,
        feature_dim: int = -1,
    ) -> None:
        super().__init__()
        self._describe(out_features, amplitude_init, frequency_init, decay_init, 0.0, decay_mode, bounds, feature_dim)

    def _describe(
        self,
        features: int,
        amplitude: float | Sequence[float],
        frequency: float | Sequence[float],
        decay: float | Sequence[float],
        phase: float | Sequence[float],
        mode: str,
        bounds: Bounds | None,
        axis: int,
    ) -> None:
        kind = type(self).__name__
        if features < 1 or mode not in DECAY_MODES:
            raise DescriptionError(
                f"{kind}: there is at least 1 feature, and the decay mode is one of {', '.join(DECAY_MODES)}; "
                f"not {features} and {mode!r}"
            )
        self.feature_dim, self.decay_mode = checked_axis(kind, axis, "feature_dim"), mode
        limits = limits_of(kind, bounds or {})
        with BlockBuilder(self) as b:
            self.x = b.input("x", with_axis(axis, features), "T")
            self.amplitude = b.weight("_A", (features,), init=raw_values(kind, amplitude, features))
            self.frequency = b.weight("_f", (features,), init=raw_values(kind, frequency, features))
            self.decay = b.weight("_d", (features,), init=raw_values(kind, decay, features))
            self.phase = b.weight("_phi", (features,), init=_phase(phase)) if self.phased else None
            clamps: dict[str, Parameter[Any]] = {
                f"{name}_bounds": b.parameter(f"{name}_bounds", limits[name], "float2") for name in limits
            }
            self.y = b.output("y", self.x.shape, "T")
            self._describe_kernels(b, features, clamps)

    def _describe_kernels(self, b: BlockBuilder, features: int, clamps: Mapping[str, Any]) -> None:
        ready = b.scratch((3, features))
        b.kernel(
            "activation/sine_parameters",
            elements=features,
            amplitude=self.amplitude,
            frequency=self.frequency,
            decay=self.decay,
            ready=ready,
            features=features,
            **clamps,
        )
        b.kernel(
            "activation/sine",
            define={"DECAY": DECAY_MODES.index(self.decay_mode), "PHASE": int(self.phased)},
            x=self.x,
            ready=ready,
            phase=self.phase or self.amplitude,
            y=self.y,
            **feature_launch(self.x, features, self.feature_dim),
        )

    def reference(
        self,
        x: np.ndarray,
        *,
        _A: np.ndarray,  # noqa: N803
        _f: np.ndarray,
        _d: np.ndarray,
        amplitude_bounds: Sequence[float],
        frequency_bounds: Sequence[float],
        decay_bounds: Sequence[float],
        _phi: np.ndarray | None = None,
    ) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        axis = self.feature_dim % x.ndim
        amplitude = clamped(np.logaddexp(_A, 0), amplitude_bounds)
        frequency = clamped(np.logaddexp(_f, 0) + 1e-6, frequency_bounds)
        decay = clamped(np.logaddexp(_d, 0), decay_bounds)
        phase = np.zeros_like(_A) if _phi is None else _phi
        a, f, d, phi = (
            value.reshape(-1, *(1,) * (x.ndim - 1 - axis)) for value in (amplitude, frequency, decay, phase)
        )
        damped = {"abs": np.abs(x), "relu": np.maximum(x, 0), "none": np.zeros_like(x)}[self.decay_mode]
        return a * np.exp(-d * damped) * np.sin(f * x + phi)


class PhaseSineParam(SineParam):
    """y = A exp(-d g(x)) sin(f x + _phi): `SineParam` with a phase per feature, `phase_init` at first.

    x, y: [..., C, ...], features along `feature_dim`, of one floating-point type; _A, _f, _d, _phi: [C] float32.
    Bounds, modes and errors as for `SineParam`.
    """

    phased = True

    def __init__(
        self,
        out_features: int,
        *,
        amplitude_init: float | Sequence[float] = 1.0,
        frequency_init: float | Sequence[float] = 1.0,
        decay_init: float | Sequence[float] = 0.1,
        phase_init: float | Sequence[float] = 0.0,
        decay_mode: str = "abs",
        bounds: Bounds | None = None,
        feature_dim: int = -1,
    ) -> None:
        Block.__init__(self)
        self._describe(
            out_features, amplitude_init, frequency_init, decay_init, phase_init, decay_mode, bounds, feature_dim
        )


def limits_of(kind: str, bounds: Bounds) -> dict[str, tuple[float, float]]:
    """Both ends of every value's range; what is not bounded ends at infinity."""
    known = ("amplitude", "frequency", "decay")
    if not set(bounds) <= set(known):
        raise DescriptionError(f"{kind}: bounds are for {', '.join(known)}, not {', '.join(set(bounds) - set(known))}")
    ends = {name: bounds.get(name, (None, None)) for name in known}
    return {
        name: (-np.inf if low is None else float(low), np.inf if high is None else float(high))
        for name, (low, high) in ends.items()
    }


def clamped(values: np.ndarray, bounds: Sequence[float]) -> np.ndarray:
    """The values between the two bounds."""
    return np.minimum(np.maximum(values, bounds[0]), bounds[1])


def raw_values(kind: str, init: float | Sequence[float] | np.ndarray, features: int) -> np.ndarray:
    """What softplus turns into `init`, as psann computes it."""
    values = np.asarray(init, np.float32).ravel()
    if values.size not in (1, features):
        raise DescriptionError(f"{kind}: an initial value is a number or {features} of them, not {values.size}")
    positive = np.maximum(np.broadcast_to(values, features), np.float32(_SMALLEST))
    return np.log(np.maximum(np.expm1(positive), np.float32(_SMALLEST)))


def _phase(init: float | Sequence[float]) -> Any:
    values = np.asarray(init, np.float32)
    return values.item() if values.size == 1 else values
