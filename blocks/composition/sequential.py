"""Blocks in a row."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.port import Port


class Sequential(Block):
    """y = last(...(second(first(x)))): each block's outputs feed the next one's inputs, in order.

    The first block's inputs and the last block's outputs become the ports: `x` and `y` where there is one of them.
    Children are named "0", "1", ..., as in torch. `DescriptionError` when two neighbours differ in the number of ports.
    """

    def __init__(self, *blocks: Block) -> None:
        super().__init__()
        if not blocks:
            raise DescriptionError("Sequential needs at least one block")
        with BlockBuilder(self) as b:
            for number, block in enumerate(blocks):
                b.child(block, str(number))
            for before, after in pairwise(blocks):
                _check(before, after)
                for source, destination in zip(before.outputs, after.inputs, strict=True):
                    b.connect(source, destination)
            self._ends = (_expose(b, blocks[0].inputs, "x"), _expose(b, blocks[-1].outputs, "y"))

    @property
    def x(self) -> Port:
        """The first block's only input."""
        return _only(self._ends[0], "inputs")

    @property
    def y(self) -> Port:
        """The last block's only output."""
        return _only(self._ends[1], "outputs")

    def __len__(self) -> int:
        return len(self.description.children)

    def __iter__(self) -> Iterator[Block]:
        return iter(self.description.children)

    def __getitem__(self, index: int) -> Block:
        return self.description.children[index]


def _check(before: Block, after: Block) -> None:
    if len(before.outputs) != len(after.inputs):
        raise DescriptionError(
            f"{type(before).__name__} has {len(before.outputs)} outputs and {type(after).__name__} takes "
            f"{len(after.inputs)} inputs; neighbours in a Sequential fit one to one"
        )


def _expose(b: BlockBuilder, ports: tuple[Port, ...], name: str) -> tuple[Port, ...]:
    return tuple(b.expose(port, name if len(ports) == 1 else port.name) for port in ports)


def _only(ports: tuple[Port, ...], what: str) -> Port:
    if len(ports) != 1:
        raise AttributeError(f"this Sequential has {len(ports)} {what}: {', '.join(port.name for port in ports)}")
    return ports[0]
