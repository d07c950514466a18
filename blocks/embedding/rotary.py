"""y = x, each pair of features rotated by an angle that grows with the position."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import maximum

from ..layout.limits import Limited
from .table import rows_launch

Scaling = Mapping[str, Any]
_LAYOUTS = ("bhtd", "bthd")


class RotaryEmbedding(Block):
    """y = (x1 cos - x2 sin, x2 cos + x1 sin), angle = position * base^(-2i / dim) for pair i: rotary positions.

    x, y: [..., h, T, D] (layout "bhtd") or [..., T, h, D] ("bthd") of one floating-point type (float16, bfloat16,
    float32, float64), D >= dim; elements from dim on are copied. The pair i is (i, i + dim / 2), as in LLaMA and NeoX,
    or (2i, 2i + 1) with interleaved=True, as in GPT-J and the paper. Token t has the position `position` + t;
    `position` is hot, and so is the base: assign `rotary_table(...)` to `table.value`. A position from max_positions on
    gives zeros, and is reported on the block. Heads of q and k that lie side by side are rotated in one call.
    `scaling`: see `rotary_table`.

    Su et al. 2021, 2104.09864. `DescriptionError` for an odd dim, or another layout or scaling.
    """

    def __init__(
        self,
        dim: int,
        max_positions: int = 2048,
        *,
        base: float = 10000.0,
        scaling: Scaling | None = None,
        interleaved: bool = False,
        layout: str = "bhtd",
        position: int = 0,
    ) -> None:
        super().__init__()
        _check(dim, max_positions, layout)
        table = rotary_table(max_positions, dim, base, scaling)
        self.interleaved, self.layout = interleaved, layout
        with BlockBuilder(self) as b:
            dims = ("h", "T") if layout == "bhtd" else ("T", "h")
            self.x = b.input("x", (..., *dims, "D"), "T")
            self.position = b.parameter("position", position, "int32", low=0)
            # Not a weight: checkpoints do not have it.
            self.table = b.state("table", table.shape, "float32", table, persistent=False)
            self.y = b.output("y", self.x.shape, "T")
            width: Any = self.x.shape[-1]
            outside = b.fault("outside", f"a position is outside of 0..{max_positions - 1}")
            b.kernel(
                "embedding/rotary",
                **rows_launch(self.x.rows, dim // 2),
                define={"INTERLEAVED": int(interleaved)},
                x=self.x,
                table=self.table,
                position=self.position,
                y=self.y,
                outside=outside,
                rows=self.x.rows,
                length=max_positions,
                width=Limited(width, "the last dimension of RotaryEmbedding's x", dim),
                pairs=dim // 2,
                tokens=maximum(1, self.x.shape[-2 if layout == "bhtd" else -3]),
                group=1 if layout == "bhtd" else maximum(1, self.x.shape[-2]),
            )

    def reference(self, x: np.ndarray, *, position: int = 0) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        table, layout = self.table.value, self.layout
        heads_last = x if layout == "bhtd" else x.swapaxes(-2, -3)
        rows, dim = heads_last.shape[-2], 2 * table.shape[1]
        cosine, sine = np.moveaxis(table[position : position + rows].astype(x.dtype), -1, 0)
        y = np.zeros_like(heads_last)
        rotated, given = y[..., : len(cosine), :], heads_last[..., : len(cosine), :]
        first, second = (np.s_[..., :dim:2], np.s_[..., 1:dim:2])
        if not self.interleaved:
            first, second = np.s_[..., : dim // 2], np.s_[..., dim // 2 : dim]
        rotated[first] = given[first] * cosine - given[second] * sine
        rotated[second] = given[second] * cosine + given[first] * sine
        rotated[..., dim:] = given[..., dim:]
        return y if layout == "bhtd" else y.swapaxes(-2, -3)


def rotary_table(length: int, dim: int, base: float = 10000.0, scaling: Scaling | None = None) -> np.ndarray:
    """The cosines and sines of rotary positions: float32 [length, dim / 2, 2], cos and sin of a pair side by side.

    One array of neighbouring (cos, sin), so that a thread has both by one load of 8 bytes, and four pairs by two loads
    of 16. Computed in float64. `scaling` is a configuration as Hugging Face models have it, in "rope_type" (or "type")
    "default", "linear", "dynamic", "llama3" or "yarn": only the table depends on it. "dynamic" is for texts of
    `length`, or of "max_position_embeddings" where that is longer. `DescriptionError` for another type, or a missing
    entry.
    """
    frequencies, gain = rotary_frequencies(length, dim, base, scaling)
    angles = np.arange(length)[:, None] * frequencies
    return (gain * np.stack((np.cos(angles), np.sin(angles)), -1)).astype(np.float32)


def rotary_frequencies(length: int, dim: int, base: float, scaling: Scaling | None) -> tuple[np.ndarray, float]:
    """The angle per position of each pair, and what cosines and sines are multiplied with."""
    if dim < 2 or dim % 2:
        raise DescriptionError(f"rotary positions rotate pairs: dim is even and at least 2, not {dim}")
    scaling = scaling or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in _SCALINGS:
        raise DescriptionError(f"rotary scaling is one of {', '.join(_SCALINGS)}, not {kind!r}")
    try:
        return _SCALINGS[kind](length, dim, base, scaling)
    except KeyError as error:
        raise DescriptionError(f"rotary scaling {kind!r} needs {error.args[0]!r}; it has {dict(scaling)}") from None


def _plain(dim: int, base: float) -> np.ndarray:
    return float(base) ** (-np.arange(0, dim, 2) / dim)


def _default(length: int, dim: int, base: float, scaling: Scaling) -> tuple[np.ndarray, float]:
    return _plain(dim, base), 1.0


def _linear(length: int, dim: int, base: float, scaling: Scaling) -> tuple[np.ndarray, float]:
    return _plain(dim, base) / scaling["factor"], 1.0


def _dynamic(length: int, dim: int, base: float, scaling: Scaling) -> tuple[np.ndarray, float]:
    """The base grows with what the text is longer than those of training."""
    trained = scaling.get("original_max_position_embeddings") or scaling["max_position_embeddings"]
    factor = scaling["factor"]
    longer = factor * max(length, trained) / trained - (factor - 1)
    return _plain(dim, base * longer ** (dim / max(1, dim - 2))), 1.0


def _llama3(length: int, dim: int, base: float, scaling: Scaling) -> tuple[np.ndarray, float]:
    """Long waves are stretched, short ones kept; those between are blended by how often they fit the trained length."""
    frequencies = _plain(dim, base)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    fits = scaling["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    kept = np.clip((fits - low) / (high - low), 0, 1)
    return frequencies * (kept + (1 - kept) / scaling["factor"]), 1.0


def _yarn(length: int, dim: int, base: float, scaling: Scaling) -> tuple[np.ndarray, float]:
    """YaRN (Peng et al. 2023, 2309.00071): blended by the number of turns in the trained length; the gain grows."""
    factor, trained = scaling["factor"], scaling["original_max_position_embeddings"]

    def pair_with(turns: float) -> float:
        return dim * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = pair_with(scaling.get("beta_fast") or 32), pair_with(scaling.get("beta_slow") or 1)
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    stretched = np.clip((np.arange(dim // 2) - low) / (high - low or 0.001), 0, 1)
    frequencies = _plain(dim, base)
    return frequencies * (1 - stretched + stretched / factor), _yarn_gain(scaling)


def _yarn_gain(scaling: Scaling) -> float:
    factor, given = scaling["factor"], scaling.get("attention_factor")
    if given is not None:
        return float(given)

    def gain(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1 if factor > 1 else 1.0

    above, below = scaling.get("mscale"), scaling.get("mscale_all_dim")
    return gain(above) / gain(below) if above and below else gain(1.0)


_SCALINGS: dict[str, Callable[[int, int, float, Scaling], tuple[np.ndarray, float]]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
}


def _check(dim: int, max_positions: int, layout: str) -> None:
    if max_positions < 1:
        raise DescriptionError(f"RotaryEmbedding: max_positions is at least 1, not {max_positions}")
    if layout not in _LAYOUTS:
        raise DescriptionError(f"RotaryEmbedding: layout is one of {', '.join(_LAYOUTS)}, not {layout!r}")
