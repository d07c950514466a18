"""An activation by psann's names for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError

from .launch import with_axis
from .mixed import MixedActivation, ReLUSigmoidPSANN
from .rectifiers import ReLU
from .settings import activation_name, as_settings, mix_settings, sine_settings
from .sine import PhaseSineParam, SineParam
from .smooth import GELU, SiLU, Tanh


class ActivationAdapter(Block):
    """y = activation(x), with the activation and its settings by psann's names.

    activation_type: "psann" (or "sine", "respsann"), "phase_psann" ("phasepsann"), "relu_sigmoid_psann" ("rspsann",
    "rsp", "clipped_psann"), "mixed", "relu", "tanh", "gelu", "silu". The settings, in `config` (a mapping, or an object
    with attributes) or by name, are those of `SineParam`, `PhaseSineParam`, `ReLUSigmoidPSANN`, and for "mixed"
    activation_types (types), activation_ratios (ratios), ratio_sum_tol, mix_layout (layout) and mix_seed (seed).

    Also as language models spell them: amp_init, freq_init, damp_init, relu_slope_init, amp_bounds, freq_bounds,
    damp_bounds, clip_at; amp_init_std, ... draw a normal number per feature, amp_range, ... one uniform number, from
    `np.random.default_rng(mix_seed)`. Those about training, and all of them for other activations, have no effect.
    x, y: [..., C] of one floating-point type. `DescriptionError` for another name or setting.
    """

    def __init__(
        self, out_features: int, activation_type: str = "psann", config: object = None, **settings: Any
    ) -> None:
        super().__init__()
        said = as_settings("ActivationAdapter", config) | as_settings("ActivationAdapter", settings)
        with BlockBuilder(self) as b:
            self.x = b.input("x", with_axis(said.get("feature_dim", -1), out_features), "T")
            self.activation = activation_of(out_features, activation_type, said)
            self.y = b.apply(self.activation, self.x)
            b.expose(self.y)


def activation_of(out_features: int, activation_type: str = "psann", config: object = None) -> Any:
    """The activation itself, as `ActivationAdapter` makes it."""
    kind = activation_name(activation_type)
    if kind not in _KINDS:
        raise DescriptionError(f"ActivationAdapter: the type is one of {', '.join(_KINDS)}, not {activation_type!r}")
    return _KINDS[kind](out_features, as_settings("ActivationAdapter", config))


def _with_sines(kind: Callable[..., Block], *left_out: str) -> Callable[[int, dict[str, Any]], Block]:
    def make(features: int, said: Mapping[str, Any]) -> Block:
        random = np.random.default_rng(mix_settings(said).get("seed"))
        found = sine_settings(said, features, random)
        return kind(features, **{name: value for name, value in found.items() if name not in left_out})

    return make


def _mixed(features: int, said: Mapping[str, Any]) -> Block:
    mix = mix_settings(said)
    if "types" not in mix:
        raise DescriptionError("ActivationAdapter: a mix needs the setting activation_types, a list of names")
    types, ratios = mix.pop("types"), mix.pop("ratios", None)
    return MixedActivation(features, types, ratios, feature_dim=said.get("feature_dim", -1), settings=said, **mix)


_KINDS: dict[str, Callable[[int, dict[str, Any]], Any]] = {
    "psann": _with_sines(SineParam, "phase_init", "slope_init", "clip_max"),
    "phase_psann": _with_sines(PhaseSineParam, "slope_init", "clip_max"),
    "relu_sigmoid_psann": _with_sines(ReLUSigmoidPSANN, "phase_init"),
    "mixed": _mixed,
    "relu": lambda features, said: ReLU(),
    "tanh": lambda features, said: Tanh(),
    "gelu": lambda features, said: GELU(),
    "silu": lambda features, said: SiLU(),
}
