"""The first step of lowering: all blocks in a flat list, and for every port the one that its data really comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cudagraph.block import Block
from cudagraph.context import Context
from cudagraph.errors import DescriptionError
from cudagraph.port import ViewPort
from cudagraph.work import Operand


@dataclass(frozen=True)
class FlatContext:
    """Blocks with paths, outermost first. `sources`: for every port that a wire feeds, where its data originates."""

    blocks: tuple[Block, ...]
    paths: Mapping[Block, str]
    sources: Mapping[Operand, Operand]
    views: Mapping[Operand, Operand]  # view -> the tensor whose memory it shows

    def source(self, operand: Operand) -> Operand:
        """The port where the data of this one originates: itself when no wire feeds it."""
        return self.sources.get(operand, operand)

    def viewed(self, operand: Operand) -> Operand:
        """The tensor that owns the data: the source, seen through views."""
        operand = self.source(operand)
        return self.views.get(operand, operand)


def flatten(context: Context) -> FlatContext:
    """Walk the tree of blocks once."""
    blocks: list[Block] = []
    paths: dict[Block, str] = {}
    wires: dict[Operand, Operand] = {**context.wires}
    stack = [(block, block.name) for block in reversed(context.blocks.values())]
    while stack:
        block, path = stack.pop()
        description = block.description
        blocks.append(block)
        paths[block] = path
        wires.update({destination: source for source, destination in description.wires})
        stack.extend((child, f"{path}/{child.name}") for child in reversed(description.children))
    sources = {destination: _origin(destination, wires) for destination in wires}
    views = [port for block in blocks for port in block.description.ports if isinstance(port, ViewPort)]
    beneath = wires | {view: view.source for view in views}
    return FlatContext(tuple(blocks), paths, sources, {view: _origin(view, beneath) for view in views})


def _origin(operand: Operand, wires: Mapping[Operand, Operand]) -> Operand:
    """Follow wires (and views) back to a port that none feeds."""
    seen: set[Operand] = set()
    while operand in wires:
        if operand in seen:
            raise DescriptionError(
                f"{operand.path} is fed by itself through wires alone; some block has to make its data"
            )
        seen.add(operand)
        operand = wires[operand]
    return operand
