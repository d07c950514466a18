"""psann's activations of several parts: a rectified sigmoid with a sine, and a kind for each feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.tensor import Weight

from .formulas import activate
from .launch import checked_axis, feature_launch, with_axis
from .settings import MIXED_KINDS, SINES, as_settings, checked_mix, mix_of, sine_settings
from .sine import DECAY_MODES, Bounds, clamped, limits_of, raw_values

Init = float | Sequence[float]
_PARTS = {"_A": "amplitude_init", "_f": "frequency_init", "_d": "decay_init"}
_DEFAULTS = {"amplitude_init": 1.0, "frequency_init": 1.0, "decay_init": 0.1, "phase_init": 0.0, "slope_init": 1.0}


class MixedActivation(Block):
    """y = the activation of its feature's kind, applied to x: psann's mix of activations.

    activation_types: different ones of relu, tanh, gelu, psann, phase_psann, relu_sigmoid_psann, or aliases;
    activation_ratios: the share of each, equal unless said. layout="contiguous" gives them consecutive features,
    "random" those of `np.random.default_rng(seed or 0).permutation(out_features)`, which is not torch's: `index` gives
    the features of each kind instead, and may be assigned live with another partition of the same counts. `settings`
    are those of `ActivationAdapter`, for the kinds with sines; initial values per feature are of all features.

    x, y: [..., C, ...], features along `feature_dim`, of one floating-point type. Weights are named as in psann
    (`acts.psann._A`, ...), one per feature of the kind, in the order of its features in `index`. Hot: the float2
    amplitude_bounds, frequency_bounds, decay_bounds, and clip_max. `DescriptionError` for what is no mix.
    """

    def __init__(
        self,
        out_features: int,
        activation_types: Sequence[str] = (),
        activation_ratios: Sequence[float] | None = None,
        *,
        ratio_sum_tol: float = 1e-3,
        seed: int | None = None,
        layout: str = "random",
        feature_dim: int = -1,
        index: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if index is None:
            tolerance = ratio_sum_tol
            index = mix_of(
                out_features, activation_types, activation_ratios, ratio_sum_tol=tolerance, layout=layout, seed=seed
            )
        said = sine_settings(as_settings("MixedActivation", settings), out_features, np.random.default_rng(seed))
        self._describe(out_features, checked_mix(out_features, index), {**said, "feature_dim": feature_dim})

    def _describe(self, features: int, index: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> None:
        kind, self._features = type(self).__name__, features
        self.feature_dim = checked_axis(kind, settings.get("feature_dim", -1), "feature_dim")
        self.decay_mode = settings.get("decay_mode", "abs")
        if features < 1 or self.decay_mode not in DECAY_MODES:
            raise DescriptionError(
                f"{kind}: there is at least 1 feature, and the decay mode is one of {', '.join(DECAY_MODES)}; "
                f"not {features} and {self.decay_mode!r}"
            )
        clip_max = settings.get("clip_max", 1.0)
        if not clip_max > 0:
            raise DescriptionError(f"{kind}: clip_max is above 0, not {clip_max}")
        self._index = {name: of for name, of in index.items() if len(of)}
        self._counts = {name: len(self._index.get(name, ())) for name in SINES}
        with BlockBuilder(self) as b:
            self.x = b.input("x", with_axis(self.feature_dim, features), "T")
            self.y = b.output("y", self.x.shape, "T")
            kinds, slots = tables(features, self._index)
            self._kind = b.state("kind", (features,), "int32", kinds, persistent=False)
            self._slot = b.state("slot", (features,), "int32", slots, persistent=False)
            self._weights = self._describe_weights(b, features, settings)
            ready = b.scratch((5, features))
            limits = limits_of(kind, settings.get("bounds") or {}) if self._weights else {}
            clamps = {f"{name}_bounds": b.parameter(f"{name}_bounds", limits[name], "float2") for name in limits}
            if self._weights:
                self._describe_numbers(b, features, ready, clamps)
            else:
                b.fill(ready, 0)
            clip = b.parameter("clip_max", clip_max, low=0.0) if self._counts["relu_sigmoid_psann"] else 1.0
            only = MIXED_KINDS.index(next(iter(self._index))) if len(self._index) == 1 else -1
            b.kernel(
                "activation/mixed",
                define={"DECAY": DECAY_MODES.index(self.decay_mode), "KIND": only},
                x=self.x,
                ready=ready,
                kind=self._kind,
                clip_max=clip,
                y=self.y,
                **feature_launch(self.x, features, self.feature_dim),
            )

    def _describe_weights(self, b: BlockBuilder, features: int, settings: Mapping[str, Any]) -> dict[str, Weight]:
        """Packed over the kinds with sines, in their order; stored kind by kind."""
        subject = type(self).__name__
        order = np.concatenate([self._index[name] for name in SINES if self._counts[name]] or [np.empty(0, int)])
        if not len(order):
            return {}

        def values(name: str, of: np.ndarray) -> np.ndarray:
            start = np.asarray(settings.get(name, _DEFAULTS[name]), np.float32).ravel()
            if start.size not in (1, features):
                raise DescriptionError(f"{subject}: {name} is a number or {features} of them, not {start.size}")
            return np.broadcast_to(start, features)[of]

        found = {
            name: b.weight(name, (len(order),), init=raw_values(subject, values(init, order), len(order)))
            for name, init in _PARTS.items()
        }
        for name, weight in found.items():
            b.stored_as(weight, {self._prefix(each) + name: count for each, count in self._counts.items() if count})
        for name, each in (("_phi", "phase_psann"), ("_slope", "relu_sigmoid_psann")):
            if self._counts[each]:
                start = values("phase_init" if name == "_phi" else "slope_init", self._index[each])
                init = start if name == "_phi" else raw_values(subject, start, len(start))
                found[name] = b.weight(name, (len(start),), init=np.asarray(init, np.float32))
                b.stored_as(found[name], self._prefix(each).removesuffix("psann." if name == "_slope" else "") + name)
        return found

    def _prefix(self, kind: str) -> str:
        """What names of that kind's weights begin with."""
        return f"acts.{kind}." + ("psann." if kind == "relu_sigmoid_psann" else "")

    def _describe_numbers(self, b: BlockBuilder, features: int, ready: Any, clamps: Mapping[str, Any]) -> None:
        amplitude = self._weights["_A"]
        plain, phases, slopes = self._counts.values()
        b.kernel(
            "activation/mixed_parameters",
            elements=features,
            amplitude=amplitude,
            frequency=self._weights["_f"],
            decay=self._weights["_d"],
            phase=self._weights.get("_phi", amplitude),
            slope=self._weights.get("_slope", amplitude),
            slot=self._slot,
            ready=ready,
            first_phase=plain,
            phases=phases,
            first_slope=plain + phases,
            slopes=slopes,
            features=features,
            **clamps,
        )

    @property
    def index(self) -> dict[str, np.ndarray]:
        """The features of each kind that has any. Assign another partition with the same counts."""
        return dict(self._index)

    @index.setter
    def index(self, index: Mapping[str, Any]) -> None:
        features = self._features
        mix = {name: of for name, of in checked_mix(features, index).items() if len(of)}
        before = {name: len(of) for name, of in self._index.items()}
        if {name: len(of) for name, of in mix.items()} != before:
            raise DescriptionError(f"{self.path}: a mix that runs keeps its counts, {before}")
        self._index = mix
        self._kind.value, self._slot.value = tables(features, mix)

    def reference(self, x: np.ndarray, *, clip_max: float = 1.0, **numbers: Any) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        moved = np.moveaxis(x, self.feature_dim, -1)
        y = np.empty_like(moved)
        at = {"_A": 0, "_phi": 0, "_slope": 0}
        for kind in [name for name in MIXED_KINDS if name in self._index]:
            of = self._index[kind]
            z = moved[..., of]
            if kind not in SINES:
                y[..., of] = activate(z, kind)
                continue
            part = slice(at["_A"], at["_A"] + len(of))
            at["_A"] += len(of)
            slope = np.logaddexp(numbers["_slope"], 0) + 1e-6 if kind == "relu_sigmoid_psann" else None
            z = z if slope is None else np.maximum(z, 0)
            s = self._sine(z, part, numbers, numbers["_phi"] if kind == "phase_psann" else 0.0)
            y[..., of] = s if slope is None else np.clip(slope * z / (1 + np.exp(-slope * z - s)), 0, clip_max)
        return np.moveaxis(y, -1, self.feature_dim)

    def _sine(self, z: np.ndarray, part: slice, numbers: Mapping[str, Any], phase: Any) -> np.ndarray:
        a = clamped(np.logaddexp(numbers["_A"][part], 0), numbers["amplitude_bounds"])
        f = clamped(np.logaddexp(numbers["_f"][part], 0) + 1e-6, numbers["frequency_bounds"])
        d = clamped(np.logaddexp(numbers["_d"][part], 0), numbers["decay_bounds"])
        damped = {"abs": np.abs(z), "relu": np.maximum(z, 0), "none": 0 * z}[self.decay_mode]
        return a * np.exp(-d * damped) * np.sin(f * z + phase)


class ReLUSigmoidPSANN(MixedActivation):
    """y = clamp(t sigmoid(t + s), 0, clip_max), t = slope max(x, 0), s = `SineParam` of max(x, 0); psann's "rsp".

    slope = softplus(_slope) + 1e-6. x, y: [..., C, ...], features along `feature_dim`, of one floating-point type;
    _slope, psann._A, psann._f, psann._d: [C] float32. The *_init are values after softplus: a number or one per
    feature. Hot: the bounds of `SineParam` and clip_max, above 0. `DescriptionError` as for `SineParam`.
    """

    def __init__(
        self,
        out_features: int,
        *,
        slope_init: Init = 1.0,
        clip_max: float = 1.0,
        amplitude_init: Init = 1.0,
        frequency_init: Init = 1.0,
        decay_init: Init = 0.1,
        decay_mode: str = "abs",
        bounds: Bounds | None = None,
        feature_dim: int = -1,
    ) -> None:
        Block.__init__(self)
        settings = {"slope_init": slope_init, "clip_max": clip_max, "amplitude_init": amplitude_init}
        settings |= {"frequency_init": frequency_init, "decay_init": decay_init, "decay_mode": decay_mode}
        settings |= {"bounds": bounds, "feature_dim": feature_dim}
        self._describe(out_features, {"relu_sigmoid_psann": np.arange(out_features)}, settings)

    def _prefix(self, kind: str) -> str:
        return "psann."


def tables(features: int, index: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """For each feature its kind, and where its numbers are among those of all features with sines (-1: nowhere)."""
    kinds, slots = np.zeros(features, np.int32), np.full(features, -1, np.int32)
    used = 0
    for number, name in enumerate(MIXED_KINDS):
        of = index.get(name, np.empty(0, np.int64))
        kinds[of] = number
        if name in SINES:
            slots[of] = np.arange(used, used + len(of))
            used += len(of)
    return kinds, slots
