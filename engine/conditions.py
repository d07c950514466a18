"""Which work `BlockBuilder.where` leaves in the plan, from the shapes at hand."""

from __future__ import annotations

from collections.abc import Iterable

from cudagraph.block import Block
from cudagraph.errors import CudaGraphError, ShapeError
from cudagraph.port import Direction, Port
from cudagraph.shape import show_shape

from .resolve import Resolver


def work_is_included(resolver: Resolver, block: Block, position: int) -> bool:
    """Whether all conditions of a block's work hold."""
    scope = resolver.scopes[block]
    return all(scope.size(condition) for condition in block.description.conditions.get(position, ()))


def check_conditions(blocks: Iterable[Block], resolver: Resolver) -> None:
    """Every output that work may write must be written; `ShapeError` names the block whose conditions leave a gap."""
    for block in blocks:
        if block.description.conditions:
            try:
                _check_block(block, resolver)
            except CudaGraphError as error:
                error.block = error.block or block
                raise


def _check_block(block: Block, resolver: Resolver) -> None:
    work = block.description.work
    written = {port: False for item in work for port in item.operands()[1] if _is_plain_output(port)}
    for position, item in enumerate(work):
        if work_is_included(resolver, block, position):
            written.update((port, True) for port in item.operands()[1] if port in written)
    for port, made in written.items():
        if not made:
            given = ", ".join(f"{one.name} {show_shape(resolver.type_of(one)[0])}" for one in block.inputs)
            raise ShapeError(
                f"no work of {block.path} writes {port.name} for {given}: no condition of where(...) holds"
            )


def _is_plain_output(operand: object) -> bool:
    return type(operand) is Port and operand.direction is Direction.OUTPUT
