"""How a block inside of another one is found its place: its ports, and the addition of a residual."""

from __future__ import annotations

from typing import Any

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.parameter import Parameter
from cudagraph.port import Port


def entry(subject: str, block: Block) -> Port:
    """The input that takes what flows through: `x`, or the only one; `DescriptionError` when there is no such one."""
    return _the_port(subject, block, block.inputs, "x", "input")


def result(subject: str, block: Block) -> Port:
    """The output that flows on: `y`, or the only one; `DescriptionError` when there is no such one."""
    return _the_port(subject, block, block.outputs, "y", "output")


def adds_residual(block: Block) -> bool:
    """Whether the block takes a residual itself, in the same pass as its last work."""
    return "residual" in block.ports


def expose_others(b: BlockBuilder, *blocks: Block) -> tuple[Port, ...]:
    """The inputs besides what flows through (a mask, a position, ...) as the outer block's own."""
    others = [
        port
        for block in blocks
        for port in block.inputs
        if port is not entry("a block", block) and port.name != "residual"
    ]
    return tuple(b.expose(port) for port in others)


def through(b: BlockBuilder, subject: str, block: Block | None, x: Port) -> Port:
    """The child's output for this input; without a child the input."""
    if block is None:
        return x
    b.connect(x, entry(subject, block))
    return result(subject, block)


def scalar_of(port: Port) -> str:
    """The type of a factor for a port."""
    return "float64" if str(port.dtype) == "float64" else "float32"


def add_scaled(b: BlockBuilder, x: Port, f: Port, y: Port, alpha: Parameter[Any] | None) -> None:
    """y = x + alpha * f, one kernel."""
    if alpha is None:
        b.elementwise("y = x + f", x=x, f=f, y=y)
    else:
        b.elementwise("y = x + alpha * f", x=x, f=f, alpha=alpha, y=y)


def _the_port(subject: str, block: Block, ports: tuple[Port, ...], name: str, kind: str) -> Port:
    named = [port for port in ports if port.name == name] or [port for port in ports if port.name != "residual"]
    if len(named) != 1:
        raise DescriptionError(
            f"{subject} passes one tensor through {block.path}, which has {len(named)} {kind}s "
            f"({', '.join(port.name for port in named) or 'none'}) and none called {name}"
        )
    return named[0]
