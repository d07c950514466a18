"""Blocks side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port

from .merge import input_shapes, merge
from .wrapped import adds_residual, entry, expose_others, result

MERGES = ("none", "add", "mean", "concat", "stack")


class Parallel(Block):
    """y_i = f_i(x) for each block; with a merge, y = y_0 + y_1 + ..., their mean, or all side by side along `dim`.

    All blocks get `x`, or with `mapped=True` the i-th one gets `x{i}`; merge is "none", "add", "mean", "concat" or
    "stack"; with none the outputs are y0, y1, .... Children are named "0", "1", ...; as nothing orders them, they may
    run at the same time. A merge is one kernel. `DescriptionError` for no blocks, or another merge.
    """

    def __init__(self, *blocks: Block, merge: str = "none", dim: int = -1, mapped: bool = False) -> None:
        super().__init__()
        if not blocks or merge not in MERGES:
            raise DescriptionError(
                f"Parallel takes at least one block, and merges by one of {', '.join(MERGES)}; "
                f"not {len(blocks)} blocks and {merge!r}"
            )
        with BlockBuilder(self) as b:
            for number, block in enumerate(blocks):
                b.child(block, str(number))
            self._enter(b, blocks, mapped, merge, dim)
            expose_others(b, *blocks)
            self._leave(b, [result("Parallel", block) for block in blocks], merge, dim)

    def _enter(self, b: BlockBuilder, blocks: tuple[Block, ...], mapped: bool, how: str, dim: int) -> None:
        for block in blocks:
            if adds_residual(block):
                raise DescriptionError(f"{block.path} adds a residual, which Parallel has none of; build it without")
        inputs = [entry("Parallel", block) for block in blocks]
        self.x: Port | None = None
        if mapped:
            self.xs = tuple(b.expose(port, f"x{i}") for i, port in enumerate(inputs))
            return
        first = next((port for port in inputs if not _is_open(port)), inputs[0])
        shape = tuple(first.shape)
        if len(shape) == 1 and how in ("concat", "stack"):  # nothing but a rest, of which the dimension is wanted
            shape = input_shapes(1, how, dim)[0]
        self.x = b.input("x", shape, first.dtype)
        for port in inputs:
            b.connect(self.x, port)

    def _leave(self, b: BlockBuilder, outputs: list[Port], how: str, dim: int) -> None:
        if how == "none":
            self.ys = tuple(b.expose(port, f"y{i}") for i, port in enumerate(outputs))
            return
        self.y = merge(b, outputs, how, dim, like=self.x)

    def __len__(self) -> int:
        return len(self.description.children)

    def __iter__(self) -> Iterator[Block]:
        return iter(self.description.children)

    def __getitem__(self, index: int) -> Block:
        return self.description.children[index]


class DenseConnection(Block):
    """y = x and f(x) side by side along `dim` (-3 for the channels of images); DenseNet's connection.

    x: [..., C, ...], y: [..., C + O, ...] of the block's type, for f: C -> O. f's further inputs are inputs of this
    block. Huang et al. 2016, arXiv 1608.06993.
    """

    def __init__(self, block: Block, dim: int = -1) -> None:
        super().__init__()
        self.block = block
        inner = entry("DenseConnection", block)
        with BlockBuilder(self) as b:
            b.child(block)
            expose_others(b, block)
            self.x = b.input("x", tuple(inner.shape), inner.dtype)
            b.connect(self.x, inner)
            self.y = merge(b, (self.x, result("DenseConnection", block)), "concat", dim)


def _is_open(port: Any) -> bool:
    return isinstance(port.dtype, str)
