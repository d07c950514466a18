"""Index tables as weights: checked whenever they change, and stored in files as psann does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError, ShapeError
from cudagraph.state_dict import Layout
from cudagraph.tensor import Weight

from .connectivity import GeoConnectivity, edge_list

Connectivity = GeoConnectivity | np.ndarray
_TABLES = ("in_index_per_out", "src_index", "dst_index")
INDEX_TYPES = {"int32": np.dtype(np.int32), "int16": np.dtype(np.uint16)}


@dataclass(frozen=True)
class TableLayout(Layout):
    """int64 tables of several layers, each with its list of edges; the arrays named `in_index_per_out` are read."""

    layers: tuple[tuple[str, ...], ...] = ()  # for each slice the prefixes of the layers that share it
    edges: bool = True  # whether the lists of edges are there too

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays' names: all of them are known."""
        return tuple(
            prefix + name for group in self.layers for prefix in group for name in _TABLES[: 3 if self.edges else 1]
        )

    def under(self, prefix: str) -> Layout:
        """The same, as a block outside of the one that said it spells the names."""
        return replace(self, layers=tuple(tuple(prefix + name for name in group) for group in self.layers))

    def split(self, value: np.ndarray) -> dict[str, np.ndarray]:
        """Every layer's table and edges."""
        arrays: dict[str, np.ndarray] = {}
        for group, table in zip(self.layers, np.split(value, len(self.layers)), strict=True):
            parts = (table, *edge_list(table))
            arrays |= {
                p + name: part.astype(np.int64) for p in group for name, part in zip(_TABLES, parts, strict=True)
            }
        return arrays

    def join(self, mapping: Mapping[str, Any]) -> Any:
        """The packed table; `DescriptionError` where layers that share one differ."""
        tables = []
        for group in self.layers:
            same = [np.asarray(mapping[prefix + _TABLES[0]]) for prefix in group]
            if any(not np.array_equal(table, same[0]) for table in same):
                raise DescriptionError(f"{' and '.join(p + _TABLES[0] for p in group)} share one table and differ")
            tables.append(same[0])
        wanted = (self.tensor.shape[0] // len(self.layers), self.tensor.shape[1])
        for group, table in zip(self.layers, tables, strict=True):
            if table.shape != wanted:
                raise ShapeError(f"{group[0]}{_TABLES[0]} is {list(table.shape)}, not {list(wanted)}")
        return np.concatenate(tables)


def table_weight(
    b: BlockBuilder, table: np.ndarray, inputs: int, index: str, layers: tuple[tuple[str, ...], ...]
) -> Weight:
    """The weight `in_index_per_out` of a block, stored under the prefixes of the layers that share each slice of it."""
    if index not in INDEX_TYPES:
        raise DescriptionError(f"indices are {' or '.join(INDEX_TYPES)}, not {index!r}")
    if index == "int16" and inputs > 1 << 16:
        raise DescriptionError(f"16-bit indices reach 65536 inputs, not {inputs}; use index='int32'")
    check = _in_range(inputs)
    check(table)
    weight = b.weight("in_index_per_out", table.shape, INDEX_TYPES[index], table, check=check)
    for edges in (True, False):
        b.stored_as(weight, TableLayout(weight, (), layers=layers, edges=edges))
    for edges in (True, False):
        b.stored_as(weight, TableLayout(weight, (), layers=layers, edges=edges))
    return weight


def table_of(connectivity: Connectivity, in_features: int | None) -> tuple[np.ndarray, int]:
    """A table [outputs, k] and its number of inputs."""
    if isinstance(connectivity, GeoConnectivity):
        if in_features not in (None, connectivity.inputs):
            raise DescriptionError(f"the connectivity has {connectivity.inputs} inputs; in_features is {in_features}")
        return connectivity.table, connectivity.inputs
    table = np.asarray(connectivity)
    if table.ndim != 2 or not table.size or table.dtype.kind not in "iu":
        raise DescriptionError(f"an index table holds integers [outputs, k], not {table.dtype}{list(table.shape)}")
    if isinstance(in_features, bool) or not isinstance(in_features, int) or in_features < 1:
        raise DescriptionError(f"an index table needs in_features, the number of inputs, not {in_features!r}")
    return table, in_features


def _in_range(inputs: int) -> Callable[[np.ndarray], None]:
    def check(table: np.ndarray) -> None:
        low, high = int(table.min()), int(table.max())
        if low < 0 or high >= inputs:
            bad = low if low < 0 else high
            raise DescriptionError(f"an index table of {inputs} inputs holds 0..{inputs - 1}; {bad} is outside")

    return check
