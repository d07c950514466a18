"""Lowering: a context becomes a plan. Pure; the same context and the same bindings always give the same plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from cudagraph.block import Block
from cudagraph.context import Context
from cudagraph.dtypes import C_TYPES, VECTOR_TYPES, c_type, pack_scalar, show
from cudagraph.errors import CudaGraphError, DescriptionError, ShapeError
from cudagraph.option import Option
from cudagraph.parameter import Parameter
from cudagraph.port import DelayPort, Direction, Port, ViewPort
from cudagraph.program import Language, Program
from cudagraph.shape import Size, Unresolved, show_shape
from cudagraph.signature import ArgumentKind, KernelArgument
from cudagraph.source import KernelSource
from cudagraph.tensor import State, Weight
from cudagraph.work import Capture, Copy, Fill, Kernel, LibraryCall, Operand

from .conditions import check_conditions, work_is_included
from .flatten import FlatContext, flatten
from .hazards import order_steps
from .order import reduce_edges
from .parameter_block import ParameterBlock
from .plan import (
    Argument,
    Buffer,
    CaptureNode,
    Constant,
    CopyNode,
    Counter,
    DelayPair,
    FillNode,
    Hot,
    KernelNode,
    LibraryNode,
    Node,
    ParameterSlot,
    Place,
    Plan,
    Pointer,
)
from .resolve import BlockScope, Resolver, TensorType
from .steps import Step, StepGraph

Define = tuple[tuple[str, str], ...]
_LIMITS = {dtype: (np.iinfo(dtype).min, np.iinfo(dtype).max) for dtype in C_TYPES.values() if dtype.kind in "iu"}


def lower(context: Context, bound: Mapping[Port, TensorType], *, keep_all: bool = False) -> Plan:
    """The plan of one frame. `bound` gives shape and dtype of every array bound to a port.

    Outputs that nothing reads, and `context.kept`, stay readable after the frame; with `keep_all` every output does.
    Raises `ShapeError` or `DescriptionError` (with `block`) when sizes contradict, inputs are missing, or work forms a
    circle.
    """
    flat = flatten(context)
    resolver = Resolver(flat, bound)
    resolver.run()
    check_conditions(flat.blocks, resolver)
    shown = _shown(flat, context, keep_all)
    stays = {flat.viewed(port) for port in shown}
    graph = order_steps(flat, context.order, stays, partial(work_is_included, resolver))
    return _Lowering(graph, resolver, shown).plan()


def _shown(flat: FlatContext, context: Context, everything: bool) -> list[Operand]:
    """What must be readable after the frame: kept ports, and the outputs of the pipeline, or every output."""
    wired = set(context.wires.values())
    ports = [port for block in context.blocks.values() for port in block.outputs if port not in wired]
    if everything:
        ports = [
            port for block in flat.blocks for port in block.description.ports if port.direction is Direction.OUTPUT
        ]
    return [flat.source(port) for port in (*context.kept, *ports)]


class _Lowering:
    """The tables that grow while steps become nodes."""

    def __init__(self, graph: StepGraph, resolver: Resolver, shown: list[Operand]) -> None:
        self._graph = graph
        self._flat = graph.flat
        self._resolver = resolver
        self._shown = shown
        self._buffers: list[Buffer] = []
        self._index: dict[Operand, int] = {}
        self._programs: dict[Program, int] = {}
        self._specialised: dict[tuple[Any, ...], int] = {}
        self._slots: dict[Parameter[Any], int] = {}
        self._uses: list[list[tuple[int, int]]] = []
        self._parameters = ParameterBlock()
        self._delayed = {graph.storage(d.source) for d in graph.delays if d not in graph.copied_delays}
        self._kept = self._kept_storages()

    def plan(self) -> Plan:
        counters = self._counter_buffers()
        position = {step: index for index, step in enumerate(self._graph.order)}
        after = reduce_edges(self._graph.before, self._graph.order)
        nodes = [
            self._node(self._graph.steps[step], index, tuple(sorted(position[earlier] for earlier in after[step])))
            for index, step in enumerate(self._graph.order)
        ]
        block = self._parameters.buffer(self._buffers)
        delays = tuple(
            DelayPair(self._buffer(self._graph.storage(delay.source)), self._buffer(delay))
            for delay in self._graph.delays
            if delay not in self._graph.copied_delays
        )
        self._view_what_is_shown()
        ports = self._port_table()
        taken: frozenset[Operand] = frozenset()
        if self._graph.overwritten:
            taken = frozenset(port for port in ports if self._flat.viewed(port) in self._graph.overwritten)
        return Plan(
            buffers=tuple(self._buffers),
            nodes=tuple(nodes),
            programs=tuple(self._programs),
            parameters=self._parameter_slots(),
            counters=counters,
            delays=delays,
            parameter_buffer=block,
            parameter_image=self._parameters.image(),
            counter_buffer=self._buffers[self._index[self._graph.appends[0].count]].base if counters else None,
            ports={**ports},
            overwritten=taken,
        )

    # Buffers

    def _kept_storages(self) -> set[Operand]:
        graph = self._graph
        kept = {graph.storage(operand) for operand in self._shown}
        used = graph.readers.keys() | graph.overwritten | self._flat.sources.keys()
        for block in self._flat.blocks:
            for port in block.description.ports:
                if port.direction is Direction.OUTPUT and port not in used:
                    kept.add(graph.storage(port))
        return kept

    def _view_what_is_shown(self) -> None:
        """Views can be read too, even if no work touches them; and so can the memory of inputs that is only viewed."""
        for operand in self._shown:
            if self._graph.storage(operand) in self._index or isinstance(operand, ViewPort):
                self._buffer(operand)

    def _counter_buffers(self) -> tuple[Counter, ...]:
        appends = self._graph.appends
        if not appends:
            return ()
        uint32 = np.dtype(np.uint32)
        root = self._add("counters", (len(appends),), uint32, Place.COUNTERS)
        for position, port in enumerate(appends):
            name = self._name(port.count)
            self._index[port.count] = self._add(name, (), uint32, Place.COUNTERS, base=root, offset=4 * position)
        return tuple(Counter(i, self._name(port), port.capacity, port) for i, port in enumerate(appends))

    def _add(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        place: Place,
        base: int | None = None,
        offset: int = 0,
        owner: object = None,
    ) -> int:
        index = len(self._buffers)
        self._buffers.append(Buffer(index, name, shape, dtype, place, index if base is None else base, offset, owner))
        return index

    def _buffer(self, operand: Operand) -> int:
        """The buffer of a source tensor, made on first use."""
        index = self._index.get(operand)
        if index is None:
            index = self._index[operand] = self._make_buffer(operand)
        return index

    def _make_buffer(self, operand: Operand) -> int:
        try:
            shape, dtype = self._type_of(operand)
        except Unresolved:
            error = self._resolver.explain(operand)
            error.block = operand.block
            raise error from None
        name = self._name(operand)
        if isinstance(operand, ViewPort):
            return self._view(operand, name, shape, dtype)
        if operand in self._graph.inplace:
            base = self._buffers[self._buffer(self._graph.inplace[operand])]
            self._check_bytes(operand, shape, dtype, base)
            return self._add(name, shape, dtype, base.place, base.base, base.offset, base.owner)
        return self._add(name, shape, dtype, self._place(operand), owner=operand)

    def _type_of(self, operand: Operand) -> TensorType:
        if isinstance(operand, Weight):
            return tuple(operand.shape), operand.dtype  # type: ignore[return-value]
        return self._resolver.type_of(operand)

    def _place(self, operand: Operand) -> Place:
        if isinstance(operand, Weight):
            return Place.WEIGHT
        if isinstance(operand, State) or operand in self._graph.copied_delays:
            return Place.STATE
        if isinstance(operand, DelayPort) or operand in self._delayed:
            return Place.DELAY
        if isinstance(operand, Port) and operand.direction is Direction.INPUT:
            return Place.INPUT
        return Place.KEPT if operand in self._kept else Place.ARENA

    def _view(self, port: ViewPort, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
        base = self._buffers[self._buffer(self._flat.source(port.source))]
        start = self._resolver.scopes[port.block].size(port.offset) * dtype.itemsize
        nbytes = math.prod(shape) * dtype.itemsize
        if start < 0 or start + nbytes > base.nbytes:
            raise ShapeError(f"{name} covers bytes {start} to {start + nbytes} of {base.name}, which has {base.nbytes}")
        return self._add(name, shape, dtype, base.place, base.base, base.offset + start, base.owner)

    @staticmethod
    def _check_bytes(operand: Operand, shape: tuple[int, ...], dtype: np.dtype[Any], base: Buffer) -> None:
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes != base.nbytes:
            raise ShapeError(
                f"{operand.path} takes over the memory of {base.name}, "
                f"but needs {nbytes} bytes instead of {base.nbytes}"
            )

    def _name(self, operand: Operand) -> str:
        return f"{self._flat.paths[operand.block]}.{operand.name}"

    def _port_table(self) -> dict[Operand, int]:
        table = {**self._index}
        for destination, source in self._flat.sources.items():
            index = self._index.get(source)
            if index is not None:
                table[destination] = index
        return table

    # Nodes

    def _node(self, step: Step, index: int, after: tuple[int, ...]) -> Node:
        if step.block is None:
            root = self._buffers[self._index[self._graph.appends[0].count]].base
            nbytes = self._buffers[root].nbytes
            return FillNode(
                index=index,
                name="reset counters",
                block="",
                writes=(root,),
                after=after,
                target=root,
                value=0,
                nbytes=nbytes,
            )
        path = self._flat.paths[step.block]
        work = step.work
        assert work is not None
        try:
            common: dict[str, Any] = {
                "index": index,
                "name": f"{path}:{work.name}",
                "block": path,
                "reads": self._operands(step.reads),
                "writes": self._operands(step.writes),
                "after": after,
                "key": (step.block.identity, step.position),
            }
            return self._make[type(work)](self, step, common)
        except CudaGraphError as error:
            error.block = error.block or step.block
            raise

    def _operands(self, operands: Iterable[Operand]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(map(self._buffer, operands)))

    def _kernel(self, step: Step, common: dict[str, Any]) -> Node:
        kernel: Kernel = step.work  # type: ignore[assignment]
        block: Block = step.block  # type: ignore[assignment]
        scope = self._resolver.scopes[block]
        source = block.source_of(step.position)
        # What C++ does not know by itself: macros such as T, structs, and short vectors.
        named = [(a, self._element_type(bound)) for a, bound in kernel.arguments if a.ctype not in C_TYPES]
        define = _define(kernel, named, scope, common["name"])
        macros = dict(define)
        threads = _checked_threads(kernel, scope, source.signature.max_threads, common["name"])
        arguments = tuple(
            self._argument(argument, bound, scope, macros, (common["index"], i), common["name"])
            for i, (argument, bound) in enumerate(kernel.arguments)
        )
        pointed = [
            self._parameters.view(bound, self._buffers, self._flat.paths)
            for argument, bound in kernel.arguments
            if isinstance(bound, Parameter) and argument.kind is ArgumentKind.INPUT
        ]
        if pointed:
            common["reads"] = tuple(dict.fromkeys((*common["reads"], *pointed)))
        self._check_alike(kernel, common["name"])
        return KernelNode(
            **common,
            program=self._program(source, define, _records(named, common["name"])),
            grid=_grid(kernel, scope, threads, common["name"]),
            threads=threads,
            shared=_checked_shared(scope.size(kernel.shared), common["name"]),
            arguments=arguments,
        )

    def _check_alike(self, kernel: Kernel, subject: str) -> None:
        buffers = [self._buffers[self._buffer(self._flat.source(operand))] for operand in kernel.alike]
        for buffer in buffers[1:]:
            if math.prod(buffer.shape) != math.prod(buffers[0].shape):
                raise ShapeError(
                    f"{subject} works element by element, but {buffer.name} is {show_shape(buffer.shape)} "
                    f"and {buffers[0].name} is {show_shape(buffers[0].shape)}"
                )

    def _element_type(self, bound: Any) -> np.dtype[Any] | None:
        if isinstance(bound, Parameter):
            return bound.dtype if bound.width == 1 else None
        return self._buffers[self._buffer(self._flat.source(bound))].dtype if isinstance(bound, Operand) else None

    def _argument(
        self,
        argument: KernelArgument,
        bound: Any,
        scope: BlockScope,
        define: Mapping[str, str],
        use: tuple[int, int],
        subject: str,
    ) -> Argument:
        if isinstance(bound, Operand):
            return Pointer(self._buffer(self._flat.source(bound)))
        if isinstance(bound, Parameter):
            if argument.kind is ArgumentKind.INPUT:
                return Pointer(self._parameters.view(bound, self._buffers, self._flat.paths))
            return Hot(self._slot(bound, use))
        dtype = C_TYPES.get(define.get(argument.ctype, argument.ctype))
        if dtype is None:
            raise DescriptionError(
                f"{subject}: argument {argument.name} is {argument.ctype}; bind a parameter of that type, not {bound!r}"
            )
        value: Any = bound if isinstance(bound, (float, np.generic)) else scope.size(bound)
        if dtype in _LIMITS and not _LIMITS[dtype][0] <= value <= _LIMITS[dtype][1]:
            raise ShapeError(
                f"{subject}: argument {argument.name} is {value}, too large for {argument.ctype}; "
                "use long long in the kernel"
            )
        return Constant(pack_scalar(value, dtype))

    def _program(self, source: KernelSource, define: Define, records: Mapping[str, np.dtype[Any]]) -> int:
        key = (id(source), define, tuple(records.items()))
        index = self._specialised.get(key)
        if index is None:
            program = _with_checks(source.program(define), records)
            index = self._specialised[key] = self._programs.setdefault(program, len(self._programs))
        return index

    def _library(self, step: Step, common: dict[str, Any]) -> Node:
        call: LibraryCall = step.work  # type: ignore[assignment]
        operands = {
            name: self._buffer(self._flat.source(bound))
            for name, bound in (*call.inputs.items(), *call.outputs.items())
        }
        dtype = self._buffers[operands[next(iter(call.outputs))]].dtype
        kind = np.dtype(np.float64 if dtype == np.float64 else np.float32)
        for name, value in call.scalars.items():
            if isinstance(value, Parameter) and (value.dtype, value.width) != (kind, 1):
                raise DescriptionError(
                    f"{common['name']}: {name} is a {kind.name} here; the parameter {value.path} is a {value.type_name}"
                )
            operands[name] = self._parameters.scalar(
                value, kind, common["name"] + f".{name}", self._buffers, self._flat.paths
            )
        scope = self._resolver.scopes[step.block]  # type: ignore[index]
        options = {name: _setting(value, scope) for name, value in call.options.items()}
        return LibraryNode(**common, operation=call.operation, operands=operands, options=options)

    def _capture(self, step: Step, common: dict[str, Any]) -> Node:
        call: Capture = step.work  # type: ignore[assignment]
        inputs = tuple(map(self._buffer, step.reads))
        outputs = tuple(map(self._buffer, step.writes))
        return CaptureNode(**common, function=call.function, host=call.host, inputs=inputs, outputs=outputs)

    def _copy(self, step: Step, common: dict[str, Any]) -> Node:
        source, target = self._buffers[common["reads"][0]], self._buffers[common["writes"][0]]
        if source.nbytes != target.nbytes:
            raise ShapeError(
                f"{common['name']}: {source.name} has {source.nbytes} bytes, {target.name} has {target.nbytes}"
            )
        return CopyNode(**common, source=source.index, target=target.index, nbytes=source.nbytes)

    def _fill(self, step: Step, common: dict[str, Any]) -> Node:
        fill: Fill = step.work  # type: ignore[assignment]
        target = self._buffers[common["writes"][0]]
        return FillNode(**common, target=target.index, value=fill.value, nbytes=target.nbytes)

    _make: Mapping[type, Callable[..., Node]] = {
        Kernel: _kernel,
        LibraryCall: _library,
        Capture: _capture,
        Copy: _copy,
        Fill: _fill,
    }

    # Parameters

    def _slot(self, parameter: Parameter[Any], use: tuple[int, int]) -> int:
        index = self._slots.setdefault(parameter, len(self._slots))
        if index == len(self._uses):
            self._uses.append([])
        self._uses[index].append(use)
        return index

    def _parameter_slots(self) -> tuple[ParameterSlot, ...]:
        for parameter in self._parameters.offsets:
            if self._slots.setdefault(parameter, len(self._slots)) == len(self._uses):
                self._uses.append([])
        return tuple(
            ParameterSlot(
                f"{self._flat.paths[parameter.block]}.{parameter.name}",
                parameter.dtype,
                self._parameters.offsets.get(parameter),
                tuple(self._uses[index]),
                parameter,
            )
            for parameter, index in self._slots.items()
        )


_Named = Iterable[tuple[KernelArgument, "np.dtype[Any] | None"]]  # arguments with the element type of what is bound


def _setting(value: Any, scope: BlockScope) -> Any:
    """What an option of a library call is here: its choice, and numbers for sizes."""
    if isinstance(value, tuple):
        return tuple(map(scope.size, value))
    value = value.value if isinstance(value, Option) else value
    return scope.size(value) if isinstance(value, Size) else value


def _define(kernel: Kernel, named: _Named, scope: BlockScope, subject: str) -> Define:
    """Macros: the given ones, and the C++ type behind every open type name."""
    define: dict[str, str] = {}
    for name, value in kernel.define:
        chosen = value.value if isinstance(value, Option) else value
        define[name] = (
            chosen if isinstance(chosen, str) else str(int(chosen) if isinstance(chosen, bool) else scope.size(chosen))
        )
    for argument, dtype in named:
        if dtype is None or dtype.names is not None or argument.ctype in VECTOR_TYPES:
            continue
        spelled = define.setdefault(argument.ctype, c_type(dtype))
        if C_TYPES.get(spelled, dtype) != dtype:
            raise ShapeError(f"{subject}: {argument.ctype} is {spelled}, but {argument.name} is {show(dtype)}")
    return tuple(sorted(define.items()))


def _records(named: _Named, subject: str) -> dict[str, np.dtype[Any]]:
    """C++ structs of the kernel and the structured dtypes bound to them."""
    found: dict[str, np.dtype[Any]] = {}
    for argument, dtype in named:
        if dtype is not None and dtype.names is not None:
            known = found.setdefault(argument.ctype, dtype)
            if known.itemsize != dtype.itemsize:
                raise ShapeError(
                    f"{subject}: {argument.ctype} has {known.itemsize} bytes, "
                    f"but the elements of {argument.name} {dtype.itemsize}"
                )
    return found


def _grid(kernel: Kernel, scope: BlockScope, threads: tuple[int, ...], subject: str) -> tuple[int, int, int]:
    if kernel.grid is not None:
        grid = tuple(scope.size(length) for length in kernel.grid)
    else:
        assert kernel.elements is not None
        per_block = threads[0] * threads[1] * threads[2]
        # Never an empty launch: with no elements, one block finds nothing to do.
        grid = (max(1, -(-scope.size(kernel.elements) // per_block)), 1, 1)
    if min(grid) < 1 or grid[0] > 2**31 - 1 or max(grid[1:]) > 65535:
        raise ShapeError(
            f"{subject}: a grid of {grid} blocks cannot be launched (1 to 2147483647 in x, 1 to 65535 in y and z)"
        )
    return grid  # type: ignore[return-value]


def _checked_threads(kernel: Kernel, scope: BlockScope, most: int | None, subject: str) -> tuple[int, int, int]:
    x, y, z = (scope.size(length) for length in kernel.threads)
    if min(x, y, z) < 1 or x * y * z > 1024 or z > 64:
        raise ShapeError(f"{subject}: {(x, y, z)} threads cannot be launched (1 to 1024 in all, at most 64 in z)")
    if most is not None and x * y * z > most:
        raise ShapeError(f"{subject}: {(x, y, z)} threads are more than the {most} of the kernel's __launch_bounds__")
    return x, y, z


def _checked_shared(nbytes: int, subject: str) -> int:
    if nbytes < 0:
        raise ShapeError(f"{subject}: {nbytes} bytes of shared memory cannot be launched; it is 0 or more")
    return nbytes


def _with_checks(program: Program, records: Mapping[str, np.dtype[Any]]) -> Program:
    """The program with proof that its C++ structs are as large as their dtypes."""
    if program.language is not Language.CUDA or not records:
        return program
    checks = "".join(
        f'static_assert(sizeof({name}) == {dtype.itemsize}, "struct {name} and its dtype differ in size");\n'
        for name, dtype in records.items()
    )
    return replace(program, text=f"{program.text}\n{checks}")
