"""Blocks said in a line, for tests of what may be said and of what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np

import cudagraph as cg
from cudagraph.context import Context
from cudagraph.port import Port
from cudagraph.source import KernelSource, resolve_source

Bound = Mapping[Port, tuple[tuple[int, ...], np.dtype[Any]]]


class Described(cg.Block):
    """A block whose constructor calls `say(block, builder)`."""

    def __init__(self, say: Callable[[Any, cg.BlockBuilder], object]) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            say(self, b)


def describe(say: Callable[[Any, cg.BlockBuilder], object]) -> Any:
    """A block that is described by this function."""
    return Described(say)


@cache
def kernel(arguments: str, name: str = "work", bounds: str = "") -> KernelSource:
    """A kernel of these C++ arguments that does nothing."""
    text = f'extern "C" __global__ void {bounds} {name}({arguments}) {{}}'
    return resolve_source(cg.CudaSource(text, name=f"{name}.cu"))


def unary(name: str = "work", **options: Any) -> Any:
    """y = work(x), elementwise, with any leading dimensions."""

    def say(block: Any, b: cg.BlockBuilder) -> None:
        block.x = b.input("x", (...,), **options)
        block.y = b.output("y", block.x.shape, **options)
        b.kernel(kernel("const T* x, T* y, long long n" if options else "const float* x, float* y, long long n", name),
                 elements=block.y.size, x=block.x, y=block.y, n=block.y.size)  # fmt: skip

    return describe(say)


def binary() -> Any:
    """c = work(a, b)."""

    def say(block: Any, b: cg.BlockBuilder) -> None:
        block.a = b.input("a", (...,))
        block.b = b.input("b", (...,))
        block.c = b.output("c", block.a.shape)
        b.kernel(
            kernel("const float* a, const float* b, float* c"), elements=block.c.size, a=block.a, b=block.b, c=block.c
        )

    return describe(say)


def inplace() -> Any:
    """y = work(x) in the memory of x."""

    def say(block: Any, b: cg.BlockBuilder) -> None:
        block.x = b.input("x", (...,))
        block.y = b.output("y", block.x.shape, inplace=block.x)
        b.kernel(kernel("float* y", "inplace"), elements=block.y.size, y=block.y)

    return describe(say)


def delay(init: Any = 0) -> Any:
    """y = x of the frame before."""

    def say(block: Any, b: cg.BlockBuilder) -> None:
        block.x = b.input("x", (...,))
        block.y = b.delay(block.x, init, name="y")

    return describe(say)


def context(*blocks: Any, wires: Iterable[tuple[Port, Port]] = ()) -> Context:
    """A context of these blocks and (source, destination) wires."""
    made = Context()
    for block in blocks:
        made.add(block)
    for source, destination in wires:
        made.connect(source, destination)
    return made


def bound(*ports: Port, shape: tuple[int, ...] = (8,), dtype: object = np.float32) -> Bound:
    """What `lower` is told about arrays that are bound to these ports."""
    return {port: (shape, np.dtype(dtype)) for port in ports}  # type: ignore[call-overload]
