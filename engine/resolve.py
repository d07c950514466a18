"""Shapes and dtypes: from what is bound and what is fixed, along the wires, to every tensor of the plan."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.dtypes import show
from cudagraph.errors import CudaGraphError, ShapeError
from cudagraph.port import DelayPort, Direction, Port, ViewPort
from cudagraph.shape import (
    Broadcast,
    Concrete,
    Size,
    SizeLike,
    Unknowns,
    Unresolved,
    evaluate,
    evaluate_size,
    show_shape,
    unify,
)
from cudagraph.tensor import Scratch, State
from cudagraph.work import Operand

from .flatten import FlatContext

TensorType = tuple[Concrete, "np.dtype[Any]"]


class BlockScope:
    """The unknowns of one block instance; implements `shape.Scope`."""

    __slots__ = ("_resolver", "block", "dtypes", "sizes")

    def __init__(self, block: Block, resolver: Resolver) -> None:
        self.block = block
        self.sizes: Unknowns = {}
        self.dtypes: dict[str, np.dtype[Any]] = {}
        self._resolver = resolver

    def dim(self, name: str) -> int:
        """A named dimension, or the product of a named rest."""
        try:
            length = self.sizes[name]
        except KeyError:
            raise Unresolved(name) from None
        return length if isinstance(length, int) else math.prod(length)

    def shape(self, port: Operand) -> Concrete:
        """The concrete shape of a port or tensor."""
        return self._resolver.type_of(port)[0]

    def size(self, size: SizeLike) -> int:
        """The number behind a size expression of this block; `ShapeError` when nothing decides it."""
        try:
            return evaluate_size(size, self)
        except Unresolved as unknown:
            raise ShapeError(f"{self.block.path}: {size} is not known, because nothing decides {unknown}") from None


class Resolver:
    """Finds the type (shape and dtype) of every source tensor by unification, block by block, until nothing changes."""

    def __init__(self, flat: FlatContext, bound: Mapping[Port, TensorType]) -> None:
        self._flat = flat
        self._types: dict[Operand, TensorType] = {**bound}
        self.scopes = {block: BlockScope(block, self) for block in flat.blocks}
        self._readers: dict[Operand, list[Block]] = {}
        for destination in flat.sources:
            self._readers.setdefault(flat.sources[destination], []).append(destination.block)
        for block in flat.blocks:
            for port in block.description.ports:
                if isinstance(port, (DelayPort, ViewPort)):
                    self._readers.setdefault(flat.source(port.source), []).append(block)

    def type_of(self, operand: Operand) -> TensorType:
        """Shape and dtype, or `Unresolved`."""
        try:
            return self._types[self._flat.source(operand)]
        except KeyError:
            raise Unresolved(operand.path) from None

    def run(self) -> None:
        """Visit every block once, then again whenever one of its inputs became known."""
        queue = deque(self._flat.blocks)
        queued = set(queue)
        while queue:
            block = queue.popleft()
            queued.discard(block)
            try:
                learned = self._visit(block)
            except CudaGraphError as error:
                error.block = error.block or block
                raise
            for operand in learned:
                for reader in (*self._readers.get(operand, ()), *self._dependants(operand)):
                    if reader not in queued:
                        queued.add(reader)
                        queue.append(reader)
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Ports that are fed and have sizes in their shape: `unify` could not compare those before all was known."""
        for block in self._flat.blocks:
            for port in block.description.ports:
                depends = any(isinstance(item, (Size, Broadcast)) for item in tuple(port.shape))
                if depends and not isinstance(port, DelayPort):
                    self._check_port_sizes(port)

    def _check_port_sizes(self, port: Port) -> None:
        scope = self.scopes[port.block]
        known = self._types.get(self._flat.source(port))
        try:
            wanted = evaluate(tuple(port.shape), scope.sizes, scope)
        except Unresolved:
            return  # whoever uses it reports that
        if known is not None and known[0] != wanted:
            error = self._contradiction(port, known, f"that is {show_shape(wanted)} here")
            error.block = port.block
            raise error

    @staticmethod
    def _dependants(operand: Operand) -> list[Block]:
        """A composite's own sizes may ask for the shapes of what is inside it."""
        blocks: list[Block] = []
        block = operand.block.parent
        while block is not None:
            blocks.append(block)
            block = block.parent
        return blocks

    def _visit(self, block: Block) -> list[Operand]:
        scope = self.scopes[block]
        description = block.description
        types = self._types
        source = self._flat.source
        for port in description.ports:
            known = types.get(source(port))
            if known is not None and not isinstance(port, DelayPort):  # its names and types are those of its source
                self._match(port, known, scope)
        learned: list[Operand] = []
        for operand in (*description.ports, *description.tensors):
            if operand not in types and operand not in self._flat.sources and self._makes(operand):
                found = self._try(operand, scope)
                if found is not None:
                    types[operand] = found
                    learned.append(operand)
        return learned

    @staticmethod
    def _makes(operand: Operand) -> bool:
        return not isinstance(operand, Port) or operand.direction is Direction.OUTPUT

    def _try(self, operand: Operand, scope: BlockScope) -> TensorType | None:
        try:
            if isinstance(operand, DelayPort):
                known = self._types.get(self._flat.source(operand.source))
                if known is not None:
                    return known
                scope = self.scopes[operand.source.block]  # in a circle, what the source's own block says has to do
            if isinstance(operand, ViewPort):
                return evaluate(tuple(operand.shape), scope.sizes, scope), self.type_of(operand.source)[1]
            dtype = operand.dtype if not isinstance(operand.dtype, str) else scope.dtypes.get(operand.dtype)
            return None if dtype is None else (evaluate(tuple(operand.shape), scope.sizes, scope), dtype)
        except Unresolved:
            return None

    def _match(self, port: Port, known: TensorType, scope: BlockScope) -> None:
        shape, dtype = known
        wanted = dtype if isinstance(port, ViewPort) else port.dtype
        if isinstance(wanted, str):
            wanted = scope.dtypes.setdefault(wanted, dtype)
        problem = None if wanted == dtype else f"{show(dtype)} is not {show(wanted)}"
        problem = problem or unify(tuple(port.shape), shape, scope.sizes)
        if problem:
            raise self._contradiction(port, known, problem)

    def _contradiction(self, port: Port, known: TensorType, problem: str) -> ShapeError:
        origin = self._flat.source(port)
        given = f"{show(known[1])}{show_shape(known[0])}"
        ends = f"{origin.path} -> {port.path}" if origin is not port else f"what is bound to {port.path}"
        return ShapeError(f"{ends}: {given} does not fit {show(port.dtype)}{show_shape(tuple(port.shape))}: {problem}")

    def explain(self, operand: Operand) -> ShapeError:
        """Why a tensor that is needed has no type."""
        source = self._flat.source(operand)
        if isinstance(source, Port) and source.direction is Direction.INPUT:
            fed = f" (it feeds {operand.path})" if source is not operand else ""
            return ShapeError(
                f"{source.path} is fed by nothing{fed}: "
                f"engine.connect(some_output, {source.path}) or engine.bind({source.path}, array)"
            )
        kind = "scratch" if isinstance(source, Scratch) else "state" if isinstance(source, State) else "output"
        return ShapeError(
            f"{source.path}: the shape {show_shape(tuple(source.shape))} ({show(source.dtype)}) of this {kind} "
            f"is not known; connect or bind the inputs of {source.block.path} that decide it"
        )
