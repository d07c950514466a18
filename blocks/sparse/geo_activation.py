"""Activations inside of geo-sparse blocks: weights per feature packed over all blocks, psann's names, NumPy forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.parameter import Parameter
from cudagraph.state_dict import Layout
from cudagraph.tensor import Weight

from ..activation.formulas import activate
from ..activation.sine import DECAY_MODES

KINDS = ("none", "relu", "tanh", "gelu", "psann", "phase_psann", "relu_sigmoid_psann")
"""The activations of a feature; "mixed" is one of these for each."""
ALIASES = {
    "sine": "psann",
    "respsann": "psann",
    "phasepsann": "phase_psann",
    "rspsann": "relu_sigmoid_psann",
    "rsp": "relu_sigmoid_psann",
    "clipped_psann": "relu_sigmoid_psann",
}
_SINE = {"psann": 1, "phase_psann": 2, "relu_sigmoid_psann": 3, "mixed": 4}
_NAMES = {
    "psann": {"amplitude": "_A", "frequency": "_f", "decay": "_d"},
    "phase_psann": {"amplitude": "_A", "frequency": "_f", "decay": "_d", "phase": "_phi"},
    "relu_sigmoid_psann": {"amplitude": "psann._A", "frequency": "psann._f", "decay": "psann._d", "slope": "_slope"},
}
_START = {"amplitude": 1.0, "frequency": 1.0, "decay": 0.1, "phase": 0.0, "slope": 1.0}
_EPS = np.float32(np.finfo(np.float32).eps)

Mix = Sequence[Mapping[str, Any]]
"""For each block, the features of each kind, in the order of that kind's numbers."""


@dataclass(frozen=True)
class MixLayout(Layout):
    """Numbers of features that are spread over the arrays of several kinds; features of no such kind keep theirs."""

    places: tuple[np.ndarray, ...] = ()  # of each part

    def split(self, value: np.ndarray) -> dict[str, np.ndarray]:
        """The numbers by name."""
        return {name: value[place] for (name, _), place in zip(self.parts, self.places, strict=True)}

    def join(self, mapping: Mapping[str, Any]) -> Any:
        """All features' numbers."""
        values = np.array(self.tensor.value)
        for (name, length), place in zip(self.parts, self.places, strict=True):
            array = np.asarray(mapping[name])
            if array.shape != (length,):
                raise DescriptionError(f"{name} is {list(array.shape)}, not [{length}]")
            values[place] = array
        return values

    def under(self, prefix: str) -> Layout:
        """The same, as a block outside of the one that said it spells the names."""
        return replace(self, parts=tuple((prefix + name, length) for name, length in self.parts))


class GeoActivation:
    """What a stack of blocks knows of its activation: `weights` and `bounds` by the names of the kernel's arguments."""

    def __init__(
        self, name: str, options: Mapping[str, Any], prefixes: Sequence[str], features: int, mix: Mix | None
    ) -> None:
        self.name = ALIASES.get(str(name).lower(), str(name).lower())
        self.prefixes, self.features = prefixes, features
        known = (*(f"{part}_init" for part in _START), "decay_mode", "bounds", "clip_max")
        if self.name not in (*KINDS, "mixed") or not options.keys() <= set(known):
            raise DescriptionError(
                f"a geo-sparse activation is {', '.join(KINDS)} or mixed, with the options {', '.join(known)}; "
                f"not {name!r} with {', '.join(options) or 'none'}"
            )
        self.mode = options.get("decay_mode", "abs")
        self.clip = float(options.get("clip_max", 1.0))
        if self.mode not in DECAY_MODES or not self.clip > 0:
            raise DescriptionError(
                f"the decay mode is one of {', '.join(DECAY_MODES)} and clip_max is above 0; "
                f"not {self.mode!r} and {self.clip}"
            )
        self.options = options
        self.kinds = self._checked_kinds(mix)
        self.mix = mix
        self.weights: dict[str, Weight] = {}
        self.limits: dict[str, Parameter[float]] = {}

    @property
    def define(self) -> dict[str, Any]:
        """The macros of the kernels."""
        sine = _SINE.get(self.name, 0)
        known = {"SINE": sine, "DECAY": DECAY_MODES.index(self.mode)}
        return known if sine else known | {"ACTIVATION": self.name}

    def describe(self, b: BlockBuilder, wide: str, index: object) -> None:
        """Weights and hot limits; `index` is the type of the kinds of a mix."""
        for part in self._parts():
            self.weights[part] = b.weight(part, (len(self.prefixes) * self.features,), wide, self._start(part))
            self._store(b, part)
        if self.name in _SINE:
            bounds = self.options.get("bounds") or {}
            for part in ("amplitude", "frequency", "decay"):
                ends = zip(("low", "high"), bounds.get(part, (None, None)), (-np.inf, np.inf), strict=True)
                for end, value, none in ends:
                    name = f"{part}_{end}"
                    self.limits[name] = b.parameter(name, none if value is None else float(value))
        if "slope" in self._parts():
            self.limits["clip_max"] = b.parameter("clip_max", self.clip, low=0.0)
        if self.name == "mixed":
            kind = b.weight("kind", self.kinds.shape, index, self.kinds)
            b.stored_as(kind, Unstored(kind, ()))
            self.weights["kind"] = kind

    def arguments(self, numbers: Weight, kinds: Weight) -> dict[str, Any]:
        """The kernels' arguments; the two weights stand for what this activation does not have."""
        parts = {part: self.weights.get(part, numbers) for part in _START}
        limits = {
            f"{part}_{end}": value for part in ("amplitude", "frequency", "decay") for end, value in _FREE.items()
        }
        return parts | limits | {"clip_max": 1.0, "kind": self.weights.get("kind", kinds)} | self.limits

    def reference(self, h: np.ndarray, block: int, values: Mapping[str, Any]) -> np.ndarray:
        """The activation of a block in NumPy."""
        first = block * self.features
        chosen = slice(first, first + self.features)
        own = {part: np.asarray(values[part])[chosen] for part in self._parts()}
        kinds = self.kinds[chosen]
        shown = np.zeros_like(h)
        for number in np.unique(kinds):
            shown = np.where(kinds == number, self._respond(KINDS[number], h, own, values), shown)
        return shown

    def _respond(self, kind: str, h: np.ndarray, own: Mapping[str, Any], values: Mapping[str, Any]) -> np.ndarray:
        if kind not in _NAMES:
            return activate(h, kind)
        z = np.maximum(h, 0) if kind == "relu_sigmoid_psann" else h
        a, f, d = (
            np.clip(
                np.logaddexp(own[part], 0) + shift,
                values.get(f"{part}_low", -np.inf),
                values.get(f"{part}_high", np.inf),
            )
            for part, shift in (("amplitude", 0), ("frequency", 1e-6), ("decay", 0))
        )
        damped = {"abs": np.abs(z), "relu": np.maximum(z, 0), "none": np.zeros_like(z)}[self.mode]
        sine = a * np.exp(-d * damped) * np.sin(f * z + (own["phase"] if kind == "phase_psann" else 0))
        if kind != "relu_sigmoid_psann":
            return sine
        t = (np.logaddexp(own["slope"], 0) + 1e-6) * z
        return np.clip(t / (1 + np.exp(-(t + sine))), 0, values.get("clip_max", self.clip))

    def _parts(self) -> tuple[str, ...]:
        if self.name == "mixed":  # whose kernel reads all numbers of a feature, whatever its kind
            return tuple(_START)
        used = {KINDS[number] for number in np.unique(self.kinds)}
        return tuple(part for part in _START if any(part in _NAMES.get(kind, {}) for kind in used))

    def _start(self, part: str) -> np.ndarray:
        given = np.asarray(self.options.get(f"{part}_init", _START[part]), np.float64)
        try:
            values = np.broadcast_to(given, (len(self.prefixes), self.features)).reshape(-1)
        except ValueError:
            raise DescriptionError(
                f"{part}_init is a number, {self.features} of them, or as many for each block, not {list(given.shape)}"
            ) from None
        return values if part == "phase" else np.log(np.maximum(np.expm1(np.maximum(values, _EPS)), _EPS))

    def _store(self, b: BlockBuilder, part: str) -> None:
        weight = self.weights[part]
        if self.mix is None:
            name = "act." + _NAMES[self.name][part]
            b.stored_as(weight, {prefix + name: self.features for prefix in self.prefixes})
            return
        names, places = [], []
        for block, (prefix, groups) in enumerate(zip(self.prefixes, self.mix, strict=True)):
            for kind, features in groups.items():
                kind = ALIASES.get(kind, kind)
                if part in _NAMES.get(kind, {}) and len(features):
                    names.append((f"{prefix}act.acts.{kind}.{_NAMES[kind][part]}", len(features)))
                    places.append(block * self.features + np.asarray(features))
        b.stored_as(weight, MixLayout(weight, tuple(names), places=tuple(places)))

    def _checked_kinds(self, mix: Mix | None) -> np.ndarray:
        if (mix is None) != (self.name != "mixed"):
            raise DescriptionError(
                "mix= says which features have which activation, for activation='mixed' and no other"
            )
        if mix is None:
            return np.full(len(self.prefixes) * self.features, KINDS.index(self.name), np.int32)
        rows = [np.full(self.features, -1, np.int32) for _ in self.prefixes]
        for row, groups in zip(rows, mix, strict=True):
            for kind, features in groups.items():
                if ALIASES.get(kind, kind) not in KINDS:
                    raise DescriptionError(f"a mix is of {', '.join(KINDS)}; not of {kind!r}")
                row[np.asarray(features, int)] = KINDS.index(ALIASES.get(kind, kind))
        if any((row < 0).any() for row in rows):
            raise DescriptionError("a mix gives every feature of every block one activation")
        return np.concatenate(rows)


@dataclass(frozen=True)
class Unstored(Layout):
    """What files do not hold: nothing is given out, and loading leaves it as it is."""

    def split(self, value: np.ndarray) -> dict[str, np.ndarray]:
        """Nothing."""
        return {}

    def join(self, mapping: Mapping[str, Any]) -> Any:
        """What is there."""
        return self.tensor.value


_FREE = {"low": float("-inf"), "high": float("inf")}
