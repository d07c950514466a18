"""Residual blocks of two sparse layers, and stacks of them that run as one kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import ceil_div, maximum, minimum
from cudagraph.tensor import Weight
from cudagraph.work import Operand

from ..channel_mixing.products import FLOATING, uniform
from ..regularization.noise import Noise, words
from .connectivity import GeoConnectivity
from .geo_activation import GeoActivation, Mix
from .geo_large import Large, describe_hops, describe_tiles, grid_of
from .geo_sparse_linear import check_sizes, geo_sparse, last_dims
from .index_table import INDEX_TYPES, Connectivity, table_of, table_weight
from .packed_rows import FILL, is_packed

NORMS = ("none", "rms", "layer")
SHARED = 96 << 10  # bytes of shared memory that every GPU has for a thread block
MOST_TAPS = 64  # of the kernel that runs a whole stack


class GeoSparseStack(Block):
    """y = x + alpha dropped(fc2(act(fc1(norm(x))))), block after block, and then a dense head: psann's geo-sparse net.

    x: [..., N] (or [..., H, W] with grid=(H, W)); y: [..., N], or [..., O] with head=O. `connectivity` has a rule or a
    table [N, k] for each block, which both of its layers share; tables need `in_features`. All of `dtype` (float16,
    bfloat16, float32, float64), with float32 sums, norms, alpha and activations (float64 for float64).

    norm is "rms" (a scale, eps 1e-6), "layer" (eps 1e-5) or "none"; activation one of `KINDS` or "mixed", where `mix`
    has the features of each kind for each block; `activation_options`: amplitude_init, frequency_init, decay_init,
    phase_init, slope_init (a number, one per feature, or one per block and feature), decay_mode, bounds, clip_max.
    Block i of d is dropped for a whole sample with probability p i / (d - 1) where `training`.

    Weights are packed over the blocks, [d N, ...], and stored under psann's names, `prefix` with the block's number
    before them. Tables, weights, alpha, bounds and p are live: `connectivity` takes new rules of the same sizes.

    A grid of up to 8192 cells is one kernel for the whole stack. A larger one is one kernel per block where rules say
    that neighbours are near (up to 2 cells away; tile=True and tile=False decide otherwise), else two; and one for the
    whole stack that looks at its input first. layout="packed" puts 16 rows side by side, for tables that reach over the
    whole grid, and layout="rows" does not: both take two kernels per block; "auto" looks at the first table. Every
    choice is right for every table, and fast for those it is made for.
    `DescriptionError` for sizes that differ, another norm, type, layout or activation, and tiles without rules.
    """

    def __init__(
        self,
        connectivity: Sequence[Connectivity],
        *,
        in_features: int | None = None,
        activation: str = "psann",
        activation_options: Mapping[str, Any] | None = None,
        mix: Mix | None = None,
        norm: str = "rms",
        drop_path: float = 0.0,
        residual_alpha_init: float = 0.0,
        bias: bool = True,
        head: int | None = None,
        dtype: str = "float32",
        index: str = "int32",
        prefix: str = "blocks.{}.",
        grid: tuple[int, int] | None = None,
        tile: bool | None = None,
        layout: str = "auto",
        training: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        tables, self.features, self.k = _same_sizes(connectivity, in_features)
        if norm not in NORMS or dtype not in FLOATING:
            raise DescriptionError(
                f"a geo-sparse block has a norm of {', '.join(NORMS)} and a type of {', '.join(FLOATING)}; "
                f"not {norm!r} and {dtype!r}"
            )
        self.depth, self.norm, self._last = len(tables), norm, 1 if grid is None else 2
        self._connectivity = tuple(connectivity)
        self._prefixes = [prefix.format(i) for i in range(self.depth)]
        self.act = GeoActivation(activation, activation_options or {}, self._prefixes, self.features, mix)
        self.wide = "float64" if dtype == "float64" else "float32"
        self._state_bytes = 3 * self.features * (8 if self.wide == "float64" else 4)  # of a row in shared memory
        self.tiled = grid_of(connectivity, False if tile is None and layout != "auto" else tile)
        self.packed = is_packed(layout, tables[0])
        self._small = not tile and self._state_bytes <= SHARED and self.k <= MOST_TAPS
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("*batch", *last_dims(self.features, grid)), dtype)
            layers = tuple((f"{name}fc1.", f"{name}fc2.") for name in self._prefixes)
            self.table = table_weight(b, np.concatenate(tables), self.features, index, layers)
            self._describe_weights(b, dtype, bias, float(residual_alpha_init), seed)
            self.act.describe(b, self.wide, INDEX_TYPES[index])
            random = np.random.default_rng(seed)
            start = uniform(random, self.features**-0.5)
            self.head_weight = self.head_bias = None
            if head is not None:
                self.head_weight = b.weight("head_weight", (head, self.features), dtype, start)
                self.head_bias = b.weight("head_bias", (head,), dtype, start)
                b.stored_as(self.head_weight, "head.weight")
                b.stored_as(self.head_bias, "head.bias")
            noise = Noise(b, seed or 0, training, drop_path) if drop_path else None
            self.y = b.output("y", ("*batch", self.features if head is None else head), dtype)
            self._describe_work(b, noise, head or 0)
            if noise is not None:
                noise.advance(b)

    @property
    def connectivity(self) -> tuple[Connectivity, ...]:
        """The rules (or first tables) of the blocks. Assign rules of the same sizes: one for each block, or for all."""
        return self._connectivity

    @connectivity.setter
    def connectivity(self, rules: GeoConnectivity | Iterable[GeoConnectivity]) -> None:
        chosen = (rules,) * self.depth if isinstance(rules, GeoConnectivity) else tuple(rules)
        if len(chosen) != self.depth:
            raise DescriptionError(f"there are {self.depth} blocks, so as many rules or one, not {len(chosen)}")
        for rule in chosen:
            check_sizes(rule, self.features, self.features, self.k)
        self.table.value = np.concatenate([rule.table for rule in chosen])
        self._connectivity = chosen

    def _describe_weights(self, b: BlockBuilder, dtype: str, bias: bool, alpha: float, seed: int | None) -> None:
        rows, random = self.depth * self.features, np.random.default_rng(seed)
        start = uniform(random, self.k**-0.5)

        def weight(name: str, stored: str, shape: tuple[int, ...], kind: str, init: Any) -> Weight:
            made = b.weight(name, shape, kind, init)
            b.stored_as(made, {part + stored: shape[0] // self.depth for part in self._prefixes})
            return made

        self.fc1_weight = weight("fc1_weight", "fc1.weight", (rows, self.k), dtype, start)
        self.fc2_weight = weight("fc2_weight", "fc2.weight", (rows, self.k), dtype, start)
        self.fc1_bias = weight("fc1_bias", "fc1.bias", (rows,), dtype, start) if bias else None
        self.fc2_bias = weight("fc2_bias", "fc2.bias", (rows,), dtype, start) if bias else None
        self.alpha = weight("alpha", "alpha", (self.depth,), self.wide, alpha)
        stored = {"rms": ("norm.scale",), "layer": ("norm.weight", "norm.bias"), "none": ()}[self.norm]
        self.scale = weight("scale", stored[0], (rows,), self.wide, 1.0) if stored else None
        self.shift = weight("shift", stored[1], (rows,), self.wide, 0.0) if len(stored) == 2 else None

    def _describe_work(self, b: BlockBuilder, noise: Noise | None, head: int) -> None:
        bias = int(self.fc1_bias is not None)
        define: dict[str, Any] = {
            "FAN_IN": self.k, "BIAS": bias, "DEPTH": self.depth, **self.act.define
        }  # fmt: skip
        operands: dict[str, Any] = {
            "index": self.table, "scale": self.scale or self.alpha, "shift": self.shift or self.alpha,
            "alpha": self.alpha, **self.act.arguments(self.alpha, self.table),
            **({"frame": self.table, "p": 0.0, "seed": 0, "training": 0} if noise is None else noise.arguments),
        }  # fmt: skip
        rows: Any = self.x.size // self.features
        each = self._state_bytes
        if self._small:
            self._describe_stack(b, define | {"NORM": NORMS.index(self.norm)}, operands, rows, each, head)
        else:
            self._describe_large(b, define, operands, rows, head)

    def _describe_stack(
        self, b: BlockBuilder, define: dict[str, Any], operands: dict[str, Any], rows: Any, each: int, head: int
    ) -> None:
        most = 4 if 4 * each <= SHARED // 2 else 2 if 2 * each <= SHARED else 1
        together = minimum(most, 1 + (rows > FILL) + 2 * (rows > 2 * FILL))
        threads = min(1024, 32 * -(-self.features // 32))
        sizes = {"FEATURES": self.features, "ROWS": together, "THREADS": threads, "HEAD": head}
        b.kernel(
            "sparse/geo_stack",
            threads=threads,
            grid=maximum(1, ceil_div(rows, together)),
            shared=each * together,
            define=define | sizes,
            x=self.x,
            y=self.y,
            weight1=self.fc1_weight,
            bias1=self.fc1_bias or self.fc1_weight,
            weight2=self.fc2_weight,
            bias2=self.fc2_bias or self.fc2_weight,
            head=self.head_weight or self.fc1_weight,
            head_bias=self.head_bias or self.fc1_weight,
            rows=rows,
            **operands,
        )

    def _describe_large(
        self, b: BlockBuilder, define: dict[str, Any], operands: dict[str, Any], rows: Any, head: int
    ) -> None:
        state: Operand = b.scratch(("*batch", self.features), self.y.dtype) if head else self.y
        weights, biases = (self.fc1_weight, self.fc2_weight), (self.fc1_bias, self.fc2_bias)
        large = Large(
            self.x, state, ("*batch",), self.y.dtype, self.features, self.depth, NORMS.index(self.norm), self.wide,
            rows, define, operands, weights, biases,
        )  # fmt: skip
        if self.tiled is not None:
            describe_tiles(b, large, self.tiled)
        else:
            describe_hops(b, large, self.packed)
        if head:
            assert self.head_weight is not None and self.head_bias is not None
            b.library("cublas.gemm", a=state, b=self.head_weight, c=self.y, transpose_b=True, bias=self.head_bias,
                      epilogue="none")  # fmt: skip

    def reference(self, x: np.ndarray, *, frame: int = 0, **values: Any) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        x = x.reshape(*x.shape[: x.ndim - self._last], self.features)
        flat = x.reshape(-1, self.features)
        for i in range(self.depth):
            own = slice(i * self.features, (i + 1) * self.features)
            table = values["in_index_per_out"][own]
            h = self._normed(flat, values, own)
            h = geo_sparse(h, values["fc1_weight"][own], table, _of(values, "fc1_bias", own))
            h = self.act.reference(h, i, values)
            h = geo_sparse(h, values["fc2_weight"][own], table, _of(values, "fc2_bias", own))
            flat = flat + values["alpha"][i] * self._kept(len(flat), i, frame, values) * h
        if self.head_weight is not None:
            flat = flat @ values["head_weight"].T + values["head_bias"]
        return flat.reshape(*x.shape[:-1], -1)

    def _normed(self, x: np.ndarray, values: Mapping[str, Any], own: slice) -> np.ndarray:
        if self.norm == "none":
            return x
        if self.norm == "rms":
            return x * values["scale"][own] / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        d = x - x.mean(-1, keepdims=True)
        return d / np.sqrt((d * d).mean(-1, keepdims=True) + 1e-5) * values["scale"][own] + values["shift"][own]

    def _kept(self, rows: int, block: int, frame: int, values: Mapping[str, Any]) -> Any:
        p = values.get("p", 0.0) * (block / (self.depth - 1) if self.depth > 1 else 1.0)
        if not values.get("training") or p <= 0:
            return 1.0
        kept = words(values["seed"], frame, rows, block)[:, :1] >= np.float32(p)
        return kept * (1 / (1 - p) if p < 1 else 0.0)


class GeoSparseResidualBlock(GeoSparseStack):
    """y = x + alpha dropped(fc2(act(fc1(norm(x))))): psann's geo-sparse residual block, as a stack of one.

    x, y: [..., N]; `connectivity` is a rule or a table [N, k]. Everything else as for `GeoSparseStack`; the names of
    the weights have no prefix ("fc1.weight", "norm.scale", "act._A", "alpha").
    """

    def __init__(self, connectivity: Connectivity, **options: Any) -> None:
        super().__init__((connectivity,), prefix="", **options)


def _same_sizes(connectivity: Sequence[Connectivity], in_features: int | None) -> tuple[list[np.ndarray], int, int]:
    if isinstance(connectivity, GeoConnectivity) or not len(connectivity):
        raise DescriptionError("a stack takes a sequence with a connectivity for each of its blocks, at least one")
    found = [table_of(one, in_features) for one in connectivity]
    features, k = found[0][0].shape
    for table, inputs in found:
        if table.shape != (features, k) or inputs != features:
            raise DescriptionError(
                f"the blocks of a stack have as many outputs as inputs, and all the same k: {features} and {k} here; "
                f"not a table {list(table.shape)} of {inputs} inputs"
            )
    return [table for table, _ in found], features, k


def _of(values: Mapping[str, Any], name: str, own: slice) -> np.ndarray | None:
    return values[name][own] if name in values else None
