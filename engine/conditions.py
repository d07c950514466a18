"""What the shapes at hand decide: which work `BlockBuilder.where` leaves in the plan, and what `require` refuses."""

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
    """`ShapeError` where a requirement does not hold, or conditions leave no work to write an output."""
    for block in blocks:
        if block.description.conditions or block.description.requirements:
            try:
                _check_requirements(block, resolver)
                _check_outputs(block, resolver)
            except CudaGraphError as error:
                error.block = error.block or block
                raise


def _check_requirements(block: Block, resolver: Resolver) -> None:
    for condition, message in block.description.requirements:
        if not resolver.scopes[block].size(condition):
            raise ShapeError(f"{block.path}: {message}; it is given {_shapes(block, resolver)}")


def _shapes(block: Block, resolver: Resolver) -> str:
    return ", ".join(f"{port.name} {show_shape(resolver.type_of(port)[0])}" for port in block.inputs)


def _check_outputs(block: Block, resolver: Resolver) -> None:
    work = block.description.work
    written = {port: False for item in work for port in item.operands()[1] if _is_plain_output(port)}
    for position, item in enumerate(work):
        if work_is_included(resolver, block, position):
            written.update((port, True) for port in item.operands()[1] if port in written)
    for port, made in written.items():
        if not made:
            given = _shapes(block, resolver)
            raise ShapeError(f"no work of {block.path} writes {port.name} for {given}: no where(...) condition holds")


def _is_plain_output(operand: object) -> bool:
    return type(operand) is Port and operand.direction is Direction.OUTPUT
