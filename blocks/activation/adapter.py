"""An activation by psann's names for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from .launch import with_axis
from .rectifiers import ReLU
from .sine import PhaseSineParam, SineParam
from .smooth import GELU, SiLU, Tanh


class ActivationAdapter(Block):
    """y = activation(x), with the activation and its settings by psann's names.

    activation_type: "psann" (or "sine", "respsann"), "phase_psann" (or "phasepsann"), "relu", "tanh", "gelu", "silu".
    The settings are those of `SineParam` and `PhaseSineParam`, also as amp_init, freq_init, damp_init, amp_bounds,
    freq_bounds, damp_bounds; those about training, and all of them for other activations, have no effect.
    x, y: [..., C] of one floating-point type. `DescriptionError` for another name or setting.
    """

    def __init__(self, out_features: int, activation_type: str = "psann", **settings: Any) -> None:
        super().__init__()
        name = activation_type.lower()
        kind = _ALIASES.get(name, name)
        if kind not in _KINDS:
            raise DescriptionError(
                f"ActivationAdapter: the type is one of {', '.join(_KINDS)}, not {activation_type!r}"
            )
        known = _known(settings)
        with BlockBuilder(self) as b:
            self.x = b.input("x", with_axis(known.get("feature_dim", -1), out_features), "T")
            self.activation = _KINDS[kind](out_features, known)
            self.y = b.apply(self.activation, self.x)
            b.expose(self.y)


def _sine(features: int, settings: dict[str, Any]) -> Block:
    return SineParam(features, **{name: value for name, value in settings.items() if name != "phase_init"})


_KINDS: dict[str, Callable[[int, dict[str, Any]], Any]] = {
    "psann": _sine,
    "phase_psann": lambda features, settings: PhaseSineParam(features, **settings),
    "relu": lambda features, settings: ReLU(),
    "tanh": lambda features, settings: Tanh(),
    "gelu": lambda features, settings: GELU(),
    "silu": lambda features, settings: SiLU(),
}
_ALIASES = {"sine": "psann", "respsann": "psann", "phasepsann": "phase_psann"}
_SHORT = {"amp": "amplitude", "freq": "frequency", "damp": "decay"}
_SETTINGS = ("amplitude_init", "frequency_init", "decay_init", "phase_init", "decay_mode", "bounds", "feature_dim")
_TRAINING = ("learnable", "trainable", "phase_trainable")


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings in the words of `SineParam`."""
    found: dict[str, Any] = {}
    bounds = dict(settings.get("bounds") or {})
    for name, value in settings.items():
        word, _, rest = name.partition("_")
        if word in _SHORT and rest == "bounds":
            bounds[_SHORT[word]] = value
        elif word in _SHORT and rest == "init":
            found.setdefault(f"{_SHORT[word]}_init", value)
        elif name in _SETTINGS:
            found[name] = value
        elif name not in _TRAINING:
            raise DescriptionError(f"ActivationAdapter: there is no setting {name}; there are {', '.join(_SETTINGS)}")
    return {**found, "bounds": bounds}
