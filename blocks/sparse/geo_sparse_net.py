"""psann's geo-sparse network, whose wiring can change while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from cudagraph.errors import DescriptionError

from ..activation.settings import checked_mix
from .config import GeoSparseConfig
from .geo_sparse_block import GeoSparseStack

_WIRING = ("pattern", "radius", "offsets", "wrap_mode", "seed", "include_self", "allow_repeats")


class GeoSparseNet(GeoSparseStack):
    """y = head(block(... block(x))), block(x) = x + alpha fc2(act(fc1(norm(x)))): psann's network, in few kernels.

    `GeoSparseNet(64, 10, shape=(8, 8), depth=6)` with psann's arguments, or `GeoSparseNet(GeoSparseConfig(...))`.
    x: [..., H W], or [..., H, W] with grid=True; y: [..., O], of `dtype` (float16, bfloat16, float32, float64).

    `load_state_dict` takes the state dict of psann's network as it is, tables included, and `state_dict` gives one that
    psann takes. Live, without a rebuild: `rewire(radius=2)`, `connectivity`, `table`, every weight, alpha and bound.
    `mix` gives the features of each kind of a mixed activation, for each block: psann draws them with torch's
    generator and does not store them. `tile` and `layout` are `GeoSparseStack`'s. `DescriptionError` for values that
    cannot be.
    """

    def __init__(
        self,
        input_dim: int | GeoSparseConfig,
        output_dim: int | None = None,
        *,
        grid: bool = False,
        dtype: str = "float32",
        index: str = "int32",
        tile: bool | None = None,
        layout: str = "auto",
        training: bool = False,
        mix: Sequence[Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> None:
        config = _config(input_dim, output_dim, settings)
        chosen = config.mix() if mix is None else [checked_mix(config.features, of) for of in mix]
        if chosen is not None and (config.activation_type != "mixed" or len(chosen) != config.depth):
            raise DescriptionError(
                f"GeoSparseNet: mix gives a mixed activation's features for each of {config.depth} blocks"
            )
        self.config = config
        super().__init__(
            config.connectivity(),
            activation=config.activation_type,
            activation_options=config.activation_options(),
            mix=chosen,
            norm=config.norm,
            drop_path=config.drop_path_max if config.depth > 1 else 0.0,
            residual_alpha_init=config.residual_alpha_init,
            bias=config.bias,
            head=config.output_dim,
            dtype=dtype,
            index=index,
            tile=tile,
            layout=layout,
            grid=config.shape if grid else None,
            training=training,
            seed=config.seed,
        )

    def rewire(self, **wiring: Any) -> None:
        """Wire the blocks anew by other rules: pattern, radius, offsets, wrap_mode, seed, include_self, allow_repeats.

        One copy into fixed memory; `DescriptionError`, and nothing changes, for values that cannot be.
        """
        if not wiring.keys() <= set(_WIRING):
            raise DescriptionError(f"{self.path}: wiring is {', '.join(_WIRING)}, not {', '.join(wiring)}")
        config = replace(self.config, **wiring)
        self.connectivity = config.connectivity()
        self.config = config


def _config(input_dim: int | GeoSparseConfig, output_dim: int | None, settings: Mapping[str, Any]) -> GeoSparseConfig:
    known = {field.name for field in fields(GeoSparseConfig)}
    if not settings.keys() <= known:
        raise DescriptionError(
            f"GeoSparseNet: there is no argument {', '.join(sorted(settings.keys() - known))}; "
            f"there are {', '.join(sorted(known))}"
        )
    given = dict(settings) if output_dim is None else {**settings, "output_dim": output_dim}
    if isinstance(input_dim, GeoSparseConfig):
        return replace(input_dim, **given)
    if "shape" not in given:
        raise DescriptionError("GeoSparseNet: shape=(rows, columns) says which grid the features lie on")
    config = GeoSparseConfig(**given)
    if input_dim != config.features:
        rows, columns = config.shape
        raise DescriptionError(
            f"GeoSparseNet: a grid of {rows} x {columns} has {config.features} features, and input_dim is {input_dim!r}"
        )
    return config
