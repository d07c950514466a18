"""Weights that are stored in parts, and folded when they are loaded: weight and spectral normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError, ShapeError
from cudagraph.shape import show_shape
from cudagraph.state_dict import Layout
from cudagraph.tensor import Weight


class WeightNorm(Block):
    """The block inside, whose weight is w = g * v / |v|, with norms over all dimensions but `dim` (None, -1: over all).

    torch.nn.utils.parametrizations.weight_norm of a Linear or convolution, ports and names of the block included:
    states hold parametrizations.weight.original0 (g) and .original1 (v), or the older weight_g and weight_v. The
    weight is computed when g or v changes, not in each frame, so running it costs nothing: `norm.g` and `norm.v` can
    be assigned live. Norms are float64. `DescriptionError` for a weight or dimension that the block does not have.
    Salimans and Kingma 2016, arXiv 1602.07868.
    """

    def __init__(self, block: Block, name: str = "weight", dim: int | None = 0) -> None:
        super().__init__()
        self.block = block
        self._weight = _weight_of("WeightNorm", block, name)
        rank = len(self._weight.shape)
        dim = None if dim == -1 else dim  # as torch has it
        if dim is not None and not -rank <= dim < rank:
            raise DescriptionError(f"WeightNorm: {name} has {rank} dimensions, so dim is not {dim!r}")
        new = (f"parametrizations.{name}.original0", f"parametrizations.{name}.original1")
        layouts = [_NormLayout(self._weight, ((g, -1), (v, -1)), dim=dim) for g, v in (new, (f"{name}_g", f"{name}_v"))]
        self._layout = layouts[0]
        with BlockBuilder(self) as b:
            _wrap(self, b, block, self._weight, layouts)

    @property
    def g(self) -> np.ndarray:
        """The norms, with ones for the other dimensions. Assign to change the weight."""
        return self._layout.parts_of(self._weight.value)[0]

    @g.setter
    def g(self, value: Any) -> None:
        self._weight.value = self._layout.weight_of(np.asarray(value), self.v)

    @property
    def v(self) -> np.ndarray:
        """The directions, of the weight's shape; their length says nothing. Assign to change the weight."""
        return self._layout.parts_of(self._weight.value)[1]

    @v.setter
    def v(self, value: Any) -> None:
        self._weight.value = self._layout.weight_of(self.g, np.asarray(value))

    def reference(self, *inputs: np.ndarray, **weights: Any) -> Any:
        """The block inside, in NumPy."""
        named = {name.removeprefix("block/"): value for name, value in weights.items()}
        return self.block.reference(*inputs, **named)  # type: ignore[attr-defined]


class SpectralNorm(Block):
    """The block inside, whose weight is w = original / sigma, sigma = u . (original v), its largest singular value.

    torch.nn.utils.parametrizations.spectral_norm in evaluation, ports and names of the block included: states hold
    parametrizations.weight.original, and u and v as .0._u and .0._v. The weight is computed when these are loaded, not
    in each frame; a new block starts with that of the inner one by 15 steps of power iteration (from `seed`).
    `DescriptionError` for a weight that the block does not have, or of one dimension. Miyato et al. 2018, arXiv
    1802.05957.
    """

    def __init__(self, block: Block, name: str = "weight", dim: int = 0, *, seed: int = 0) -> None:
        super().__init__()
        self.block = block
        self._weight = _weight_of("SpectralNorm", block, name)
        rank = len(self._weight.shape)
        if rank < 2 or not -rank <= dim < rank:
            raise DescriptionError(f"SpectralNorm: {name} has {rank} dimensions, not two or more with dim={dim!r}")
        prefix = f"parametrizations.{name}"
        names = ((f"{prefix}.original", -1), (f"{prefix}.0._u", -1), (f"{prefix}.0._v", -1))
        layout = _SpectralLayout(self._weight, names, dim=dim, seed=seed)
        original, u, v = layout.parts_of(np.asarray(self._weight.value))
        self._weight.value = layout.weight_of(original, u, v)
        with BlockBuilder(self) as b:
            _wrap(self, b, block, self._weight, [layout])

    def reference(self, *inputs: np.ndarray, **weights: Any) -> Any:
        """The block inside, in NumPy."""
        named = {name.removeprefix("block/"): value for name, value in weights.items()}
        return self.block.reference(*inputs, **named)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Folded(Layout):
    """A weight that is computed from all of its stored arrays."""

    dim: int | None = 0

    def split(self, value: np.ndarray) -> dict[str, np.ndarray]:
        """Arrays that give this weight."""
        return dict(zip(self.names, self.parts_of(value), strict=True))

    def join(self, mapping: Mapping[str, Any]) -> Any:
        """The weight; `ShapeError` names an array that does not fit."""
        arrays = [np.asarray(mapping[name]) for name in self.names]
        for name, array, wanted in zip(self.names, arrays, self.parts_of(self.tensor.value), strict=True):
            if array.shape != wanted.shape:
                shapes = f"{show_shape(wanted.shape)}; the array is {show_shape(array.shape)}"
                raise ShapeError(f"{name} of {self.tensor.path} has the shape {shapes}")
        return self.weight_of(*arrays)

    def parts_of(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        raise NotImplementedError

    def weight_of(self, *parts: np.ndarray) -> np.ndarray:
        raise NotImplementedError


@dataclass(frozen=True)
class _NormLayout(_Folded):
    def parts_of(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        """g and v of a weight: its norms and itself."""
        return self._norm(value).astype(value.dtype), value.copy()

    def weight_of(self, *parts: np.ndarray) -> np.ndarray:
        g, v = parts
        wide = np.asarray(v, np.float64)
        norm = self._norm(wide)
        return (np.asarray(g, np.float64) * wide / np.where(norm > 0, norm, 1)).astype(v.dtype)

    def _norm(self, v: np.ndarray) -> np.ndarray:
        wide = np.asarray(v, np.float64)
        if self.dim is None:
            return np.sqrt(np.sum(wide * wide))
        axes = tuple(axis for axis in range(v.ndim) if axis != self.dim % v.ndim)
        return np.sqrt(np.sum(wide * wide, axes, keepdims=True))


@dataclass(frozen=True)
class _SpectralLayout(_Folded):
    seed: int = 0
    steps: int = field(default=15)

    def parts_of(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        """The weight, u and v by power iteration."""
        matrix = self._matrix(value)
        u = np.random.default_rng(self.seed).standard_normal(len(matrix))
        v = _unit(matrix.T @ u)
        for _ in range(self.steps):
            u = _unit(matrix @ v)
            v = _unit(matrix.T @ u)
        return value.copy(), u.astype(value.dtype), v.astype(value.dtype)

    def weight_of(self, *parts: np.ndarray) -> np.ndarray:
        original, u, v = parts
        sigma = np.asarray(u, np.float64) @ self._matrix(original) @ np.asarray(v, np.float64)
        return (np.asarray(original, np.float64) / (sigma if sigma else 1)).astype(original.dtype)

    def _matrix(self, value: np.ndarray) -> np.ndarray:
        rows = np.moveaxis(np.asarray(value, np.float64), self.dim or 0, 0)
        return rows.reshape(len(rows), -1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _weight_of(kind: str, block: Block, name: str) -> Weight:
    weight = block.weights.get(name)
    if weight is None:
        raise DescriptionError(
            f"{kind}: {block.path} has no weight {name!r}, only {', '.join(block.weights) or 'none'}"
        )
    return weight


def _wrap(outer: Any, b: BlockBuilder, block: Block, weight: Weight, layouts: list[Any]) -> None:
    """The ports of the block inside, and its weights under their own names."""
    b.child(block, "block")
    for port in (*block.inputs, *block.outputs):
        setattr(outer, port.name, b.expose(port))
    for layout in layouts:
        b.stored_as(weight, layout)
    for path, other in block.weights.items():
        if other is not weight:
            b.stored_as(other, path.replace("/", "."))
