"""Copies between strided boxes of memory, and permutations: what the blocks of this family are made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import mul
from typing import Any

from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.iteration import elements_per_thread, launch_of
from cudagraph.parameter import Parameter
from cudagraph.port import Port
from cudagraph.shape import ceil_div, maximum, minimum
from cudagraph.tensor import Tensor

from .limits import Limited

Extent = tuple[Any, Any, Any]  # a length, and the strides in x and in y
_MOST = 5


def product(sizes: Sequence[Any]) -> Any:
    """All sizes multiplied; 1 for none."""
    return reduce(mul, sizes, 1)


def run_launch(rows: Any, run: Any) -> dict[str, Any]:
    """`threads` and `grid` of kernels that copy runs: along a run in x; rows in y, then in z."""
    return dict(launch_of(rows, run, elements_per_thread(rows * run)))


def copy_box(
    b: BlockBuilder,
    x: Port | Tensor,
    y: Port | Tensor,
    run: Any,
    dims: Sequence[Extent],
    *,
    x_start: Any = 0,
    y_start: Any = 0,
    moved: tuple[Parameter[int], Any, Any] | None = None,
) -> None:
    """Copy runs of `run` elements; `moved` is a parameter, its largest value and its stride in x."""
    outer, inner = (dims[0], dims[1:]) if len(dims) > _MOST else ((1, 0, 0), dims)
    padded = [outer, *inner, *((1, 0, 0) for _ in range(_MOST - len(inner)))]
    rows = product([length for length, _, _ in inner])
    by, most, step = moved or (None, 0, 0)
    lengths = {f"{name}{k}": extent[i] for i, name in enumerate("nxy") for k, extent in enumerate(padded)}
    b.kernel(
        "layout/copy_box",
        **run_launch(rows, run),
        define={"DIMS": max(1, len(inner)), "MOVED": int(moved is not None)},
        x=x,
        moved=x if by is None else by,
        y=y,
        run=run,
        x_start=x_start,
        y_start=y_start,
        most=most,
        step=step,
        rows=rows if isinstance(rows, int) else Limited(rows, "the number of runs to copy", 0, 2**32 - 1),
        **lengths,
    )


def permute(b: BlockBuilder, x: Port, y: Port, sizes: Sequence[Any], order: Sequence[int]) -> None:
    """y = x, of dimensions of these sizes, in another order: y's dimension k is x's order[k]."""
    if order[-1] != len(sizes) - 1:
        _permute_tiles(b, x, y, sizes, order)
        return
    run = sizes[-1]
    with b.where(run > 1 if not isinstance(run, int) else int(run > 1)):
        strides = _strides(sizes, order)
        copy_box(b, x, y, run, [(sizes[k], *strides[k]) for k in order[:-1]])
    with b.where(run <= 1 if not isinstance(run, int) else int(run <= 1)):
        _permute_tiles(b, x, y, sizes[:-1], order[:-1])


def _strides(sizes: Sequence[Any], order: Sequence[int]) -> list[tuple[Any, Any]]:
    """The strides of each of x's dimensions, in x and in y."""
    in_x = [product(sizes[k + 1 :]) for k in range(len(sizes))]
    in_y = {k: product([sizes[later] for later in order[at + 1 :]]) for at, k in enumerate(order)}
    return [(in_x[k], in_y[k]) for k in range(len(sizes))]


def _permute_tiles(b: BlockBuilder, x: Port, y: Port, sizes: Sequence[Any], order: Sequence[int]) -> None:
    strides = _strides(sizes, order)
    last, first = len(sizes) - 1, order[-1]
    batch = [(sizes[k], *strides[k]) for k in order if k not in (last, first)]
    if len(batch) > 4:
        raise DescriptionError(
            f"{b._block.path}: this order moves {len(sizes)} groups of dimensions; at most 6 can move"
        )
    padded = [*((1, 0, 0) for _ in range(4 - len(batch))), *batch]
    if last == first:  # a single dimension: nothing moves
        padded[0], rows, x_i = (1, 0, 0), 1, 0
    else:
        rows, x_i = sizes[first], strides[first][0]
    count = product([length for length, _, _ in batch])
    b.kernel(
        "layout/permute_tile",
        threads=(32, 8),
        grid=(
            maximum(1, ceil_div(sizes[last], 32)),
            maximum(1, ceil_div(rows, 32)),
            maximum(1, minimum(65535, count)),
        ),
        x=x,
        y=y,
        rows=rows,
        columns=sizes[last],
        x_i=x_i,
        y_j=strides[last][1],
        batch=count,
        **{f"n{k}": padded[k][0] for k in (1, 2, 3)},
        **{f"x{k}": padded[k][1] for k in range(4)},
        **{f"y{k}": padded[k][2] for k in range(4)},
    )
