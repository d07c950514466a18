"""What a geo-sparse network is made of, in one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cudagraph.errors import DescriptionError

from ..activation.settings import MIXED_KINDS, SINES, activation_name, as_settings, mix_of, mix_settings, sine_settings
from .connectivity import GeoConnectivity, Offset

SEED_STEP = 9973  # from block to block, as in psann


@dataclass(frozen=True)
class GeoSparseConfig:
    """A network of `depth` geo-sparse residual blocks on a grid and a dense head: psann's arguments and defaults.

    pattern, radius, offsets, wrap_mode, include_self, allow_repeats: see `GeoConnectivity`. Block i is wired with the
    seed `seed + 9973 i`; with seed=None "random" is new each time, and "hash" takes 0. activation_type and
    activation_config: see `ActivationAdapter`; what is drawn (a mix, a spread of initial values) is drawn with the
    block's seed, a mix with mix_seed where it is given. norm: "rms", "layer" or "none". Block i is dropped with
    probability drop_path_max * i / (depth - 1). compute_mode: "gather" and "scatter" are the same kernel here.
    `DescriptionError` for values that cannot be.
    """

    shape: tuple[int, int]
    output_dim: int = 1
    depth: int = 4
    k: int = 8
    pattern: str = "local"
    radius: int = 1
    offsets: tuple[Offset, ...] | None = None
    wrap_mode: str = "clamp"
    activation_type: str = "psann"
    activation_config: Any = None
    norm: str = "rms"
    drop_path_max: float = 0.0
    residual_alpha_init: float = 0.0
    bias: bool = True
    compute_mode: str = "gather"
    seed: int | None = None
    include_self: bool = True
    allow_repeats: bool = True

    def __post_init__(self) -> None:
        for name in ("depth", "output_dim"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise DescriptionError(f"GeoSparseConfig: {name} is an int of at least 1, not {value!r}")
        kind = activation_name(self.activation_type)
        if kind not in (*MIXED_KINDS, "mixed"):
            choices = ", ".join((*MIXED_KINDS, "mixed"))
            raise DescriptionError(
                f"GeoSparseConfig: activation_type is one of {choices}, not {self.activation_type!r}"
            )
        modes = ("gather", "scatter")
        if self.compute_mode not in modes or str(self.norm).lower() not in ("rms", "layer", "none"):
            raise DescriptionError(
                f"GeoSparseConfig: compute_mode is {' or '.join(modes)} and norm rms, layer or none, "
                f"not {self.compute_mode!r} and {self.norm!r}"
            )
        shape = GeoConnectivity(self.shape, 1).shape  # checked
        for name, value in (("shape", shape), ("activation_type", kind), ("norm", str(self.norm).lower())):
            object.__setattr__(self, name, value)

    @property
    def features(self) -> int:
        """Cells of the grid."""
        return self.shape[0] * self.shape[1]

    def block_seed(self, block: int) -> int | None:
        """The seed of a block."""
        return None if self.seed is None else self.seed + block * SEED_STEP

    def connectivity(self) -> tuple[GeoConnectivity, ...]:
        """The rule of each block."""
        first = GeoConnectivity(
            self.shape,
            self.k,
            self.pattern,
            self.radius,
            self.offsets,
            self.wrap_mode,
            self.seed,
            self.include_self,
            self.allow_repeats,
        )
        if first.pattern == "local":  # which has no use for a seed
            return (first,) * self.depth
        start = self.seed or 0
        seeds = [start + i * SEED_STEP if first.pattern == "hash" else self.block_seed(i) for i in range(self.depth)]
        return tuple(replace(first, seed=seed) for seed in seeds)

    def mix(self) -> list[dict[str, np.ndarray]] | None:
        """For each block the features of each kind of activation, where they are mixed."""
        if self.activation_type != "mixed":
            return None
        said = mix_settings(as_settings("GeoSparseConfig", self.activation_config))
        if "types" not in said:
            raise DescriptionError(
                "GeoSparseConfig: a mix needs activation_types, a list of names, in activation_config"
            )
        types, ratios = said.pop("types"), said.pop("ratios", None)
        return [mix_of(self.features, types, ratios, **{"seed": self.block_seed(i), **said}) for i in range(self.depth)]

    def activation_options(self) -> dict[str, Any]:
        """Settings of the activations in one spelling; initial values that differ from block to block are stacked."""
        if self.activation_type not in (*SINES, "mixed"):
            return {}
        said = as_settings("GeoSparseConfig", self.activation_config)
        each = [
            sine_settings(said, self.features, np.random.default_rng(self.block_seed(i))) for i in range(self.depth)
        ]
        axis = each[0].pop("feature_dim", -1)
        if axis not in (-1, 1):
            raise DescriptionError(
                f"GeoSparseConfig: the features are the last dimension, so feature_dim is -1, not {axis}"
            )
        return {name: _of_blocks(name, [one[name] for one in each]) for name in each[0]}


def _of_blocks(name: str, values: Sequence[Any]) -> Any:
    if not name.endswith("_init") or isinstance(values[0], Mapping):
        return values[0]
    arrays = [np.asarray(value, np.float32).ravel() for value in values]
    same = all(np.array_equal(array, arrays[0]) for array in arrays)
    return values[0] if same and arrays[0].size == 1 else np.stack(arrays)
