"""y[b, o] = bias[o] + sum over j of weight[o, j] * x[b, table[o, j]]: a linear layer with k inputs for each output."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import DimSpec, SizeLike, ceil_div, maximum

from ..channel_mixing.products import FLOATING, uniform
from .connectivity import GeoConnectivity
from .index_table import Connectivity, table_of, table_weight
from .packed_rows import LEAST_ROWS, is_packed, packed_rows

COMPUTE_MODES = ("gather", "scatter")
MOST_FAN_IN = 128  # taps that the fast kernels are written for
TILE = 256


class GeoSparseLinear(Block):
    """y[b, o] = bias[o] + sum over j < k of weight[o, j] * x[b, table[o, j]]: psann's geo-sparse layer.

    x: [..., I] (or [..., H, W] with grid=(H, W), H W = I), y: [..., O], weight: [O, k], bias: [O], all of `dtype`
    (float16, bfloat16, float32, float64); sums are float32 (float64 for float64). `connectivity` is a rule, or a table
    of inputs [O, k] together with `in_features`; an input that occurs several times counts as often. Indices are kept
    as int32, or with index="int16" in 16 bits, for at most 65536 inputs.

    layout="packed" puts 16 rows side by side before it gathers, which is for tables that reach over the whole grid and
    at least 8 rows; layout="rows" does not; "auto" looks at the first table. Each is right for every table.

    The table is live: assign `table.value`, or another rule of the same sizes to `connectivity`. It is checked first
    and then one copy into fixed memory. compute_mode="scatter" adds up edge by edge, atomically and in any order. State
    dicts have psann's names, with the tables as int64. Weights start uniform in +-1/sqrt(k), from `seed`.
    `DescriptionError` for an index outside of the inputs, another type or mode; `ShapeError` for another shape.
    """

    def __init__(
        self,
        connectivity: Connectivity,
        in_features: int | None = None,
        bias: bool = True,
        *,
        compute_mode: str = "gather",
        dtype: str = "float32",
        index: str = "int32",
        layout: str = "auto",
        grid: tuple[int, int] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if compute_mode not in COMPUTE_MODES or dtype not in FLOATING:
            raise DescriptionError(
                f"GeoSparseLinear computes by {' or '.join(COMPUTE_MODES)} in {', '.join(FLOATING)}, "
                f"not {compute_mode!r} in {dtype!r}"
            )
        if compute_mode == "scatter" and layout == "packed":
            raise DescriptionError("GeoSparseLinear: packed rows are gathered; give compute_mode='gather' with them")
        table, self.in_features = table_of(connectivity, in_features)
        self.out_features, self.k = table.shape
        self.compute_mode, self._last = compute_mode, 1 if grid is None else 2
        self.packed = compute_mode == "gather" and is_packed(layout, table)
        self._connectivity = connectivity if isinstance(connectivity, GeoConnectivity) else None
        start = uniform(np.random.default_rng(seed), self.k**-0.5)
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("*batch", *last_dims(self.in_features, grid)), dtype)
            self.weight = b.weight("weight", (self.out_features, self.k), dtype, start)
            self.bias = b.weight("bias", (self.out_features,), dtype, start) if bias else None
            self.table = table_weight(b, table, self.in_features, index, (("",),))
            self.y = b.output("y", ("*batch", self.out_features), dtype)
            (self._describe_scatter if compute_mode == "scatter" else self._describe_gather)(b)

    @property
    def connectivity(self) -> GeoConnectivity | None:
        """The rule that made the table, where one did. Assign another one of the same sizes."""
        return self._connectivity

    @connectivity.setter
    def connectivity(self, rule: GeoConnectivity) -> None:
        check_sizes(rule, self.in_features, self.out_features, self.k)
        self.table.value = rule.table
        self._connectivity = rule

    def _describe_gather(self, b: BlockBuilder) -> None:
        rows = self.y.size // self.out_features
        sizes: dict[str, Any] = {"rows": rows, "inputs": self.in_features, "outputs": self.out_features}
        operands: dict[str, Any] = {"x": self.x, "y": self.y, "weight": self.weight, "index": self.table}
        operands["bias"] = self.weight if self.bias is None else self.bias
        define: dict[str, Any] = {"BIAS": int(self.bias is not None)}
        packed = packed_rows(b, rows, self.in_features, self.x.dtype) if self.packed else None
        with b.where(rows < LEAST_ROWS) if packed else nullcontext():
            if self.k > MOST_FAN_IN:
                b.kernel(
                    "sparse/geo_linear_simple", elements=self.y.size, define=define, **operands, **sizes, fan_in=self.k
                )
            else:
                together, launch = gather_launch(rows, self.out_features)
                macros = define | {"FAN_IN": self.k, "ROWS": together}
                b.kernel("sparse/geo_linear", define=macros, **operands, **sizes, **launch)
        if packed is None:
            return
        with b.where(rows >= LEAST_ROWS):
            packed.pack(b, self.x)
            macros = define | {"FAN_IN": self.k}
            launch = packed.launch(self.out_features)
            b.kernel("sparse/geo_linear_packed", define=macros, **(operands | {"x": packed.memory}), **sizes, **launch)

    def _describe_scatter(self, b: BlockBuilder) -> None:
        outputs, rows = self.out_features, self.y.size // self.out_features
        wide = "float64" if self.y.dtype == np.float64 else "float32"
        sums = b.scratch(("*batch", outputs), wide)
        sizes: dict[str, Any] = {"rows": rows, "outputs": outputs}
        b.fill(sums)
        b.kernel(
            "sparse/geo_scatter",
            grid=(ceil_div(outputs * self.k, 256), maximum(1, ceil_div(rows, 8))),
            define={"FAN_IN": self.k},
            x=self.x,
            weight=self.weight,
            index=self.table,
            sums=sums,
            inputs=self.in_features,
            **sizes,
        )
        bias = self.weight if self.bias is None else self.bias
        define = {"BIAS": int(self.bias is not None)}
        grid = (maximum(1, rows), ceil_div(outputs, 256))
        b.kernel("sparse/geo_bias", grid=grid, define=define, sums=sums, bias=bias, y=self.y, **sizes)

    def reference(
        self, x: np.ndarray, *, weight: np.ndarray, in_index_per_out: np.ndarray, bias: np.ndarray | None = None
    ) -> np.ndarray:
        """The same in NumPy, in the precision of x."""
        return geo_sparse(x.reshape(*self._batch(x), self.in_features), weight, in_index_per_out, bias)

    def _batch(self, x: np.ndarray) -> tuple[int, ...]:
        return x.shape[: x.ndim - len(self.x.shape) + 1]


def geo_sparse(x: np.ndarray, weight: np.ndarray, table: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """The layer in NumPy. x: [..., I], weight and table: [O, k], bias: [O]."""
    y = (x[..., table] * weight).sum(-1)
    return y if bias is None else y + bias


def last_dims(features: int, grid: tuple[int, int] | None) -> tuple[DimSpec, ...]:
    """The last dimensions of an input: its features, or the grid that they lie on."""
    if grid is None:
        return (features,)
    if len(grid) != 2 or grid[0] * grid[1] != features:
        raise DescriptionError(f"a grid is (rows, columns) of the {features} inputs, not {grid!r}")
    return tuple(grid)


def check_sizes(rule: GeoConnectivity, inputs: int, outputs: int, k: int) -> None:
    """`DescriptionError` for a rule that does not fit a layer that is already there."""
    if not isinstance(rule, GeoConnectivity) or (rule.inputs, rule.outputs, rule.k) != (inputs, outputs, k):
        raise DescriptionError(
            f"the connectivity of a layer of {inputs} inputs, {outputs} outputs and k={k} keeps these sizes; not {rule}"
        )


def gather_launch(rows: Any, outputs: int) -> tuple[SizeLike, dict[str, Any]]:
    """Rows per thread (1, 2, 4 or 8) and launch of the kernels made of `kernels/sparse/geo_gather.cuh`."""
    together: Any = 1 + (rows >= 2) + 2 * (rows >= 4) + 4 * (rows >= 8)
    return together, {"threads": TILE, "grid": (maximum(1, ceil_div(rows, together)), ceil_div(outputs, TILE))}
