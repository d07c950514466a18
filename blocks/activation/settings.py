"""What psann's configurations of activations say, in one spelling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cudagraph.errors import DescriptionError

Mix = Mapping[str, np.ndarray]
"""The features of each kind, by its name."""

MIXED_KINDS = ("relu", "tanh", "gelu", "psann", "phase_psann", "relu_sigmoid_psann")
"""What a mix is made of, in the order of `kernels/activation/mixed.cuh`."""
SINES = MIXED_KINDS[3:]
LAYOUTS = ("random", "contiguous")
_ALIASES = {
    "sine": "psann",
    "respsann": "psann",
    "phasepsann": "phase_psann",
    "rspsann": "relu_sigmoid_psann",
    "rsp": "relu_sigmoid_psann",
    "clipped_psann": "relu_sigmoid_psann",
}
_INITS = {"amplitude": "amp", "frequency": "freq", "decay": "damp", "slope": "relu_slope"}  # with their short names
_SAMPLED = {"amplitude": "amp", "frequency": "freq", "decay": "damp", "slope": "slope"}
_PLAIN = ("decay_mode", "feature_dim", "phase_init")
_MIX = {
    "types": ("activation_types", "types"),
    "ratios": ("activation_ratios", "ratios"),
    "ratio_sum_tol": ("ratio_sum_tol",),
    "layout": ("mix_layout", "layout"),
    "seed": ("mix_seed", "seed"),
}
_TRAINING = ("learnable", "trainable", "phase_trainable", "slope_trainable", "slope_learnable")
_KNOWN = {
    *_PLAIN,
    *_TRAINING,
    *(f"{name}_init" for name in (*_INITS, *_INITS.values())),
    *(f"{name}_{what}" for name in _SAMPLED.values() for what in ("init_std", "range", "bounds")),
    *(spelling for spellings in _MIX.values() for spelling in spellings),
    *("bounds", "clip_max", "clip_at"),
} - {"slope_bounds"}


def activation_name(name: str) -> str:
    """psann's own name of an activation, from it or from one of its aliases."""
    key = str(name).strip().lower()
    return _ALIASES.get(key, key)


def as_settings(subject: str, config: object) -> dict[str, Any]:
    """A configuration (a mapping, an object with attributes, or None) as a dictionary of known settings."""
    if config is None:
        found: dict[str, Any] = {}
    elif isinstance(config, Mapping):
        found = dict(config)
    else:
        found = {name: value for name, value in vars(config).items() if not name.startswith("_")}
    unknown = sorted(set(found) - _KNOWN)
    if unknown:
        raise DescriptionError(
            f"{subject}: there is no setting {', '.join(unknown)}; there are {', '.join(sorted(_KNOWN))}"
        )
    return found


def sine_settings(settings: Mapping[str, Any], features: int, random: np.random.Generator) -> dict[str, Any]:
    """The settings in the words of `SineParam` and its kin; only those that are said.

    A spread *_init_std draws a normal number per feature around the initial value (0 where there is none), a *_range
    one uniform number for all; the spread is stronger.
    """
    found = {name: settings[name] for name in _PLAIN if settings.get(name) is not None}
    for name, short in _INITS.items():
        start = settings.get(f"{name}_init", settings.get(f"{short}_init"))
        start = _sampled(start, settings, _SAMPLED[name], features, random, 1.0 if name == "slope" else 0.0)
        if start is not None:
            found[f"{name}_init"] = start
    bounds = dict(settings.get("bounds") or {})
    for name, short in list(_SAMPLED.items())[:3]:
        if settings.get(f"{short}_bounds") is not None:
            bounds[name] = settings[f"{short}_bounds"]
    clip = settings.get("clip_max", settings.get("clip_at"))
    return found | ({"bounds": bounds} if bounds else {}) | ({} if clip is None else {"clip_max": float(clip)})


def mix_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those about a mix: types, ratios, ratio_sum_tol, layout and seed; only those that are said."""
    found: dict[str, Any] = {}
    for name, spellings in _MIX.items():
        said = [settings[spelling] for spelling in spellings if settings.get(spelling) is not None]
        found |= {name: said[0]} if said else {}
    return found


def mix_of(
    features: int,
    types: Sequence[str],
    ratios: Sequence[float] | None = None,
    *,
    ratio_sum_tol: float = 1e-3,
    layout: str = "random",
    seed: int | None = None,
) -> dict[str, np.ndarray]:
    """Which features are of which kind.

    The kinds take consecutive parts, as long as their ratios say (largest remainders, the first of equal ones first),
    of 0, 1, 2, ... with layout="contiguous", else of `np.random.default_rng(seed or 0).permutation(features)`.
    """
    names = [activation_name(name) for name in ([] if isinstance(types, str) else types)]
    if not names or len(set(names)) != len(names) or not set(names) <= set(MIXED_KINDS):
        raise DescriptionError(
            f"a mix of activations is made of different ones of {', '.join(MIXED_KINDS)}, not {types!r}"
        )
    if layout not in LAYOUTS:
        raise DescriptionError(f"the layout of a mix is {' or '.join(LAYOUTS)}, not {layout!r}")
    counts = _apportioned(features, _checked_ratios(ratios, len(names), ratio_sum_tol))
    order = np.arange(features) if layout == "contiguous" else np.random.default_rng(seed or 0).permutation(features)
    return dict(zip(names, np.split(order, np.cumsum(counts)[:-1]), strict=True))


def checked_mix(features: int, index: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """An explicit partition of the features, by kind; `DescriptionError` where it is none."""
    mix = {activation_name(name): np.asarray(of, np.int64).ravel() for name, of in index.items()}
    every = np.sort(np.concatenate(list(mix.values()))) if mix else np.empty(0)
    if not set(mix) <= set(MIXED_KINDS) or len(mix) != len(index) or not np.array_equal(every, np.arange(features)):
        raise DescriptionError(
            f"a mix gives each of the features 0..{features - 1} to one kind of {', '.join(MIXED_KINDS)}"
        )
    return mix


def _sampled(
    start: Any, settings: Mapping[str, Any], short: str, features: int, random: np.random.Generator, default: float
) -> Any:
    spread, reach = settings.get(f"{short}_init_std"), settings.get(f"{short}_range")
    if spread is not None and float(spread) > 0:
        middle = default if start is None else float(start)
        return (middle + float(spread) * random.standard_normal(features)).astype(np.float32)
    if reach is None:
        return start
    low, high = sorted(map(float, reach))
    return float(random.uniform(low, high))


def _checked_ratios(ratios: Sequence[float] | None, count: int, tolerance: float) -> list[float]:
    if ratios is None:
        return [1 / count] * count
    given = [float(ratio) for ratio in ratios]
    total = sum(given)
    positive = all(math.isfinite(ratio) and ratio >= 0 for ratio in given)
    if len(given) != count or not positive or abs(total - 1) > tolerance:
        raise DescriptionError(
            f"the ratios of a mix of {count} are {count} numbers of at least 0 with the sum 1 (within {tolerance}), "
            f"not {list(ratios)}"
        )
    shares = [ratio / total for ratio in given]
    return [*shares[:-1], shares[-1] + (1 - sum(shares))]


def _apportioned(total: int, ratios: Sequence[float]) -> list[int]:
    """How many of `total` each gets: the whole part of its share, and the largest remainders one more."""
    counts = [math.floor(ratio * total) for ratio in ratios]
    order = sorted(range(len(counts)), key=lambda i: counts[i] - ratios[i] * total)
    for i in range(total - sum(counts)):
        counts[order[i % len(counts)]] += 1
    return counts
