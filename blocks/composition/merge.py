"""Several tensors become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port
from cudagraph.shape import PortSpan, broadcast, ceil_div, maximum, rest_at
from cudagraph.source import CudaSource

MODES = ("add", "mean", "concat", "stack", "weighted")


class Merge(Block):
    """y = x0 + x1 + ... (mode "add"), their "mean", or all side by side along `dim` ("concat", "stack"): one kernel.

    x0, x1, ..., y: [...] of one floating-point type and shape; "concat" allows other lengths along `dim` (default -1),
    and "stack" makes a new dimension of it. "weighted": y = sum of gates[..., i] * xi with an input gates: [..., N]
    beside xi: [..., C], such as a router's. `DescriptionError` for another mode or no inputs.
    """

    def __init__(self, count: int = 2, mode: str = "add", *, dim: int = -1) -> None:
        super().__init__()
        if count < 1 or mode not in MODES:
            raise DescriptionError(f"Merge takes 1 input or more, by {', '.join(MODES)}; not {count} by {mode!r}")
        self.mode, self.dim = mode, dim
        with BlockBuilder(self) as b:
            shapes = input_shapes(count, mode, dim)
            self.xs = tuple(b.input(f"x{i}", shape, "T") for i, shape in enumerate(shapes))
            self.gates = b.input("gates", ("*rows", count), "T") if mode == "weighted" else None
            self.y = merge(b, self.xs, mode, dim, self.gates)

    def reference(self, *xs: np.ndarray) -> np.ndarray:
        """The same in NumPy, in the precision of the inputs."""
        if self.mode == "weighted":
            *xs, gates = xs  # type: ignore[assignment]
            return sum(gates[..., i, None] * x for i, x in enumerate(xs))  # type: ignore[return-value]
        if self.mode in ("concat", "stack"):
            return (np.concatenate if self.mode == "concat" else np.stack)(xs, axis=self.dim)
        total = sum(xs[1:], xs[0])
        return total / len(xs) if self.mode == "mean" else total


def input_shapes(count: int, mode: str, dim: int) -> list[tuple[Any, ...]]:
    """The shapes of what is merged: alike, but for "concat" along `dim`."""
    if mode == "weighted":
        return [("*rows", "columns")] * count
    if mode not in ("concat", "stack"):
        return [("*all",)] * count
    new = mode == "stack"
    before = [f"D{i}" for i in range(dim)] if dim >= 0 else ["*rest"]
    after = ["*rest"] if dim >= 0 else [f"D{i}" for i in range(-dim - 1)]
    return [(*before, *(() if new else (f"L{i}",)), *after) for i in range(count)]


def merge(
    b: BlockBuilder, xs: Sequence[Port], mode: str, dim: int, gates: Port | None = None, like: Port | None = None
) -> Port:
    """The output `y` of tensors of a block or its children; `like` is shaped as those that say nothing of theirs."""
    dtype = next((x.dtype for x in xs if not isinstance(x.dtype, str)), xs[0].dtype)
    if mode in ("concat", "stack"):
        y = b.output("y", joined_shape((*xs, like) if like else xs, len(xs), mode, dim), dtype)
        join(b, xs, y, dim, mode)
        return y
    alike = all(tuple(x.shape) == tuple(xs[0].shape) and x.block is xs[0].block for x in xs)
    y = b.output("y", xs[0].shape if alike else broadcast(*xs), dtype)
    names: dict[str, Any] = {f"x{i}": x for i, x in enumerate(xs)}
    if gates is not None:
        weigh(b, xs, gates, y)
    elif mode == "mean":
        b.elementwise(f"y = ({' + '.join(names)}) * {1 / len(xs)!r}", y=y, **names)
    else:
        b.elementwise(f"y = {' + '.join(names)}", y=y, **names)
    return y


def joined_shape(xs: Sequence[Port], count: int, mode: str, dim: int) -> tuple[Any, ...]:
    """The shape of the first `count` tensors side by side; any of `xs` may tell what they have in common."""
    shape = list(max((tuple(x.shape) for x in xs if _tells(x, mode, dim)), key=len, default=()))
    if not shape:
        raise DescriptionError(f"{xs[0]} says nothing of dimension {dim}, along which it is to be joined")
    if mode == "stack":
        shape.insert(dim if dim >= 0 else len(shape) + 1 + dim, count)
        return tuple(shape)
    length: Any = xs[0].shape[dim]
    for x in xs[1:count]:
        length = length + x.shape[dim]
    shape[dim] = length
    return tuple(shape)


def _tells(x: Port, mode: str, dim: int) -> bool:
    """Whether the dimension `dim`, or the place for a new one, is outside of what a shape leaves open."""
    shape = tuple(x.shape)
    rest = rest_at(shape)
    new = int(mode == "stack")
    if rest is None:
        return -len(shape) - new <= dim < len(shape) + new
    return dim < rest + new if dim >= 0 else -dim <= len(shape) - rest - 1 + new


def join(b: BlockBuilder, xs: Sequence[Port], y: Port, dim: int, mode: str) -> None:
    """One kernel that puts rows side by side: everything from `dim` on is a row."""
    count, start = len(xs), dim + 1 if mode == "stack" and dim < 0 else dim
    widths: list[Any] = [1 if start == 0 and dim < 0 else PortSpan(x, start, None) for x in xs]
    rows = xs[0].size // maximum(1, widths[0])
    parts, at = [], "y + row * columns"
    for i in range(count):
        parts.append(f"    join_part(x{i} + row * w{i}, {at}, w{i});")
        at += f" + w{i}"
    source = "\n".join((
        '#include "composition/join.cuh"',
        f'extern "C" __global__ void join{count}({", ".join(f"const T* __restrict__ x{i}" for i in range(count))}, '
        f'T* __restrict__ y, long long rows, {", ".join(f"long long w{i}" for i in range(count))}, long long columns)',
        "{",
        "    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;",
        "    if (row >= rows) return;",
        *parts,
        "}",
    ))  # fmt: skip
    columns: Any = widths[0]
    for width in widths[1:]:
        columns = columns + width
    named: dict[str, Any] = {f"x{i}": x for i, x in enumerate(xs)} | {f"w{i}": width for i, width in enumerate(widths)}
    b.kernel(
        CudaSource(source, f"join{count}", f"y = {count} tensors side by side"),
        threads=(32, 8), grid=maximum(1, ceil_div(rows, 8)), y=y, rows=rows, columns=columns, **named,
    )  # fmt: skip


def weigh(b: BlockBuilder, xs: Sequence[Port], gates: Port, y: Port) -> None:
    """y[r, c] = sum of gates[r, i] * xi[r, c], in one kernel."""
    count = len(xs)
    total = " + ".join(f"widen(gates[{count} * row + {i}]) * widen(x{i}[at + c])" for i in range(count))
    source = "\n".join((
        '#include "numeric.cuh"',
        f'extern "C" __global__ void weigh{count}({", ".join(f"const T* __restrict__ x{i}" for i in range(count))}, '
        "const T* __restrict__ gates, T* __restrict__ y, long long rows, long long columns)",
        "{",
        "    const long long row = blockIdx.x * static_cast<long long>(blockDim.y) + threadIdx.y;",
        "    if (row >= rows) return;",
        "    const long long at = row * columns;",
        f"    for (long long c = threadIdx.x; c < columns; c += blockDim.x) y[at + c] = narrow<T>({total});",
        "}",
    ))  # fmt: skip
    named: dict[str, Any] = {f"x{i}": x for i, x in enumerate(xs)}
    b.kernel(
        CudaSource(source, f"weigh{count}", f"y = weighted sum of {count} tensors"),
        threads=(32, 8), grid=maximum(1, ceil_div(gates.rows, 8)), gates=gates, y=y,
        rows=gates.rows, columns=xs[0].size // maximum(1, gates.rows), **named,
    )  # fmt: skip
