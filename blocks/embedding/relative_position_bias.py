"""bias[h, i, j] = weight[bucket(j - i), h]: T5's buckets and Swin's table."""

from __future__ import annotations

from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.parameter import Parameter
from cudagraph.port import Port
from cudagraph.shape import ceil_div, maximum, minimum
from cudagraph.tensor import State, Weight

from .table import check_table, normal


class RelativePositionBias(Block):
    """bias[0, h, i, j] = weight[bucket(j - i - position), h]: T5's bias, to be added to attention scores.

    q: [B, H, T, D] and k: [B, K, S, E] of any type say only how many queries and keys there are. weight: [buckets,
    heads], bias: [1, heads, T, S], of `dtype` (float16, bfloat16, float32, float64): the additive mask of attention.
    Half of the buckets are for one distance each, the others grow logarithmically up to max_distance;
    bidirectional=True has one half for keys before and one for keys after the query. `position`, that of the first
    query, is hot. Weights start normal with deviation 0.02, from `seed`.

    Raffel et al. 2019, 1910.10683. `DescriptionError` for fewer than 2 buckets (4 in both directions), or no heads.
    """

    def __init__(
        self,
        heads: int,
        num_buckets: int = 32,
        max_distance: int = 128,
        *,
        bidirectional: bool = True,
        position: int = 0,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        check_table("RelativePositionBias", num_buckets, heads, dtype)
        buckets = relative_buckets(num_buckets, max_distance, bidirectional=bidirectional)
        with BlockBuilder(self) as b:
            self.q = b.input("q", ("B", "H", "T", "D"), "Q")
            self.k = b.input("k", ("B", "K", "S", "E"), "Q")
            self.weight = b.weight("weight", (num_buckets, heads), dtype, normal(seed, 0.02))
            self.buckets = b.state("buckets", buckets.shape, "int32", buckets, persistent=False)
            self.position = b.parameter("position", position, "int32", low=0)
            self.bias = b.output("bias", (1, heads, "T", "S"), dtype)
            _gather(b, self.weight, self.buckets, self.bias, self.position, max_distance)

    def reference(self, q: np.ndarray, k: np.ndarray, *, weight: np.ndarray, position: int = 0) -> np.ndarray:
        """The same in NumPy."""
        ahead = np.arange(k.shape[-2]) - np.arange(q.shape[-2])[:, None] - position
        buckets = self.buckets.value
        far = len(buckets) // 2
        found = buckets[np.clip(ahead, -far, far) + far]
        return np.moveaxis(weight[found], -1, 0)[None]


class WindowPositionBias(Block):
    """bias[0, h, i, j] = relative_position_bias_table[index(i, j), h]: Swin's bias for windows of `height` x `width`.

    relative_position_bias_table: [(2 height - 1) (2 width - 1), heads], bias: [1, heads, N, N] with N = height * width,
    of `dtype` (float16, bfloat16, float32, float64): an additive mask of attention. The index counts the rows and then
    the columns that query i is after key j. The table starts normal with deviation 0.02, from `seed`.

    Liu et al. 2021, 2103.14030. `DescriptionError` for an empty window or no heads.
    """

    def __init__(self, heads: int, height: int, width: int, *, dtype: str = "float32", seed: int | None = None) -> None:
        super().__init__()
        check_table("WindowPositionBias", min(height, width), heads, dtype)
        tokens, entries = height * width, (2 * height - 1) * (2 * width - 1)
        index = window_index(height, width)
        with BlockBuilder(self) as b:
            self.table = b.weight("relative_position_bias_table", (entries, heads), dtype, normal(seed, 0.02))
            self.index = b.state("index", index.shape, "int32", index, persistent=False)
            self.bias = b.output("bias", (1, heads, tokens, tokens), dtype)
            _gather(b, self.table, self.index, self.bias, None, 0)

    def reference(self, *, relative_position_bias_table: np.ndarray) -> np.ndarray:
        """The same in NumPy."""
        return np.moveaxis(relative_position_bias_table[self.index.value], -1, 0)[None]


def relative_buckets(buckets: int, max_distance: int, *, bidirectional: bool = True) -> np.ndarray:
    """The bucket of each relative position from -max_distance to max_distance, as int32."""
    sides = 2 if bidirectional else 1
    exact = buckets // sides // 2
    if exact < 1 or max_distance <= exact:
        raise DescriptionError(
            f"relative positions need at least {2 * sides} buckets and a max_distance above {max(exact, 1)}, "
            f"not {buckets} and {max_distance}"
        )
    ahead = np.arange(-max_distance, max_distance + 1)
    distance = np.abs(ahead) if bidirectional else np.maximum(-ahead, 0)
    # In float32, as T5 does: the rounding decides on which side of an edge a distance lies.
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    steps = ratio / np.float32(np.log(max_distance / exact)) * np.float32(buckets // sides - exact)
    far = np.minimum(exact + steps.astype(np.int32), buckets // sides - 1)
    found = np.where(distance < exact, distance, far)
    return (found + (buckets // 2 * (ahead > 0) if bidirectional else 0)).astype(np.int32)


def window_index(height: int, width: int) -> np.ndarray:
    """Which entry of the table is for query i and key j of a window: int32 [N, N]."""
    row, column = np.divmod(np.arange(height * width), width)
    down = row[:, None] - row + height - 1
    right = column[:, None] - column + width - 1
    return (down * (2 * width - 1) + right).astype(np.int32)


def _gather(
    b: BlockBuilder, weight: Weight, places: State, bias: Port, position: Parameter[int] | None, far: int
) -> None:
    heads: Any = weight.shape[1]
    queries: Any = bias.shape[-2]
    keys: Any = bias.shape[-1]
    lanes: Any = 32 * minimum(8, maximum(1, ceil_div(keys, 32)))
    b.kernel(
        "embedding/relative_bias",
        threads=(lanes, 256 // lanes),
        grid=(maximum(1, ceil_div(queries, 256 // lanes)), heads),
        define={"FAR": far},
        weight=weight,
        places=places,
        position=position if position is not None else places,
        bias=bias,
        queries=queries,
        keys=keys,
        heads=heads,
    )
