"""Which wires and which orders may be drawn between blocks, as far as names and kinds tell."""

from __future__ import annotations

from collections.abc import Mapping

from .block import Block
from .errors import DescriptionError
from .port import Direction, Port


def check_wire(source: Port, destination: Port, wires: Mapping[Port, Port], *, inside: Block | None = None) -> None:
    """Whether a wire may be drawn, as far as names and kinds tell. Shapes are checked when the plan is made."""
    if not isinstance(source, Port) or not isinstance(destination, Port):
        raise DescriptionError(not_two_ports(source, destination))
    if source is destination:
        raise DescriptionError(f"{source.path} cannot feed itself; put a delay between")
    if destination.direction is Direction.OUTPUT and destination.block is not inside:
        raise DescriptionError(
            f"{destination.path} is an output and takes no wire; the order is connect(output, input)"
        )
    if destination in wires:
        raise DescriptionError(f"{destination.path} is already fed by {wires[destination].path}; disconnect it first")
    inner = _inner_source(destination)
    if inner is not None:
        raise DescriptionError(
            f"{destination.path} is already fed by {inner.path}, inside {destination.block.root.path}"
        )


def _inner_source(port: Port) -> Port | None:
    """What feeds this port inside the composite blocks around it."""
    for block in _around(port.block)[1:]:
        for source, destination in block.description.wires:
            if destination is port:
                return source
    return None


def not_two_ports(source: object, destination: object) -> str:
    """What to say when something else than two ports is to be wired."""
    example = ""
    if isinstance(source, Block) and isinstance(destination, Block) and source.outputs and destination.inputs:
        example = f": connect({source.outputs[0].path}, {destination.inputs[0].path})"
    return f"a wire joins two ports, not {source!r} and {destination!r}{example}"


def check_order(earlier: Block, later: Block) -> None:
    """Whether one block may be ordered after another: neither may be inside the other."""
    for outer, inner in ((earlier, later), (later, earlier)):
        if outer in _around(inner):
            raise DescriptionError(f"{later.path} cannot run after {earlier.path}: they are, or share, one block")


def _around(block: Block) -> list[Block]:
    """This block and all that it is inside of."""
    blocks = [block]
    while blocks[-1].parent is not None:
        blocks.append(blocks[-1].parent)
    return blocks
