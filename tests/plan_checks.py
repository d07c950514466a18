"""Two judges of plans that share no code with what makes them: a hazard checker, and an interpreter of both sides.

`Frames` runs a plan on bytes, in any order that its edges allow and in the memory that the planner gave. `Meaning`
computes the same from the blocks' descriptions with values alone, no memory: what the user asked for.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from typing import Any

import networkx as nx
import numpy as np

from cudagraph.block import Block
from cudagraph.context import Context
from cudagraph.engine.memory import plan_memory
from cudagraph.engine.plan import CaptureNode, CopyNode, FillNode, KernelNode, Place, Plan
from cudagraph.parameter import Parameter
from cudagraph.port import AppendPort, DelayPort, Port, ViewPort
from cudagraph.tensor import State, Tensor
from cudagraph.work import Capture, Kernel


def graph_of(plan: Plan) -> nx.DiGraph:
    """The plan's nodes and `after` edges."""
    graph = nx.DiGraph()
    graph.add_nodes_from(node.index for node in plan.nodes)
    graph.add_edges_from((earlier, node.index) for node in plan.nodes for earlier in node.after)
    return graph


def check_plan(plan: Plan) -> None:
    """Indices fit, the order is a topological one, edges are minimal, and no two nodes race for a byte."""
    for kind in (plan.nodes, plan.buffers, plan.counters):
        assert [item.index for item in kind] == list(range(len(kind)))
    assert all(earlier < node.index for node in plan.nodes for earlier in node.after)
    graph = graph_of(plan)
    assert set(nx.transitive_reduction(graph).edges) == set(graph.edges)
    ordered = set(nx.transitive_closure_dag(graph).edges)
    racing = [
        (plan.nodes[first].name, plan.nodes[second].name, plan.buffers[buffer].name)
        for first, second, buffer in conflicts(plan)
        if (first, second) not in ordered
    ]
    assert not racing, f"race: {racing}\n{plan}"


def conflicts(plan: Plan) -> list[tuple[int, int, int]]:
    """Pairs of nodes of which both touch some byte and one writes it."""
    touches: dict[int, list[tuple[int, int, int, bool]]] = {}
    for node in plan.nodes:
        for buffer, writes in itertools.chain(((i, False) for i in node.reads), ((i, True) for i in node.writes)):
            where = plan.buffers[buffer]
            size = int(np.prod(where.shape)) * where.dtype.itemsize
            touches.setdefault(where.base, []).append((node.index, where.offset, where.offset + size, writes))
    found = set()
    for base, accesses in touches.items():
        for (one, start, end, writes), (other, begin, stop, overwrites) in itertools.combinations(accesses, 2):
            if one != other and (writes or overwrites) and start < stop and begin < end:
                found.add((min(one, other), max(one, other), base))
    return sorted(found)


def _mix(entry: str, name: str, values: list[tuple[str, bytes]], size: int) -> bytes:
    hasher = hashlib.shake_128(f"{entry}.{name}".encode())
    for label, value in sorted(values):
        hasher.update(label.encode() + b"=" + value)
    return hasher.digest(size)


def _first_frame(delay: DelayPort, size: int) -> bytes:
    return _mix("before the first frame", delay.path, [], size)


class Frames:
    """Runs a plan on bytes. Memory that dies with the frame is filled with noise before each one."""

    def __init__(self, plan: Plan, inputs: dict[Port, bytes], *, reuse: bool, seed: int) -> None:
        self.plan = plan
        self.random = random.Random(seed)
        layout = plan_memory(plan, reuse=reuse)
        self.arena = bytearray(layout.arena_nbytes)
        self.memory: dict[int, memoryview] = {}
        for buffer in plan.roots():
            size = int(np.prod(buffer.shape)) * buffer.dtype.itemsize
            if buffer.place in (Place.ARENA, Place.KEPT):
                start = layout.offsets[buffer.index]
                self.memory[buffer.index] = memoryview(self.arena)[start : start + size]
            else:
                self.memory[buffer.index] = memoryview(bytearray(self._contents(buffer.owner, inputs, size)))
        self.frame = 0

    @staticmethod
    def _contents(owner: Any, inputs: dict[Port, bytes], size: int) -> bytes:
        if isinstance(owner, DelayPort):
            return _first_frame(owner, size)
        return inputs.get(owner, bytes(size))

    def bytes_of(self, index: int) -> memoryview:
        buffer = self.plan.buffers[index]
        size = int(np.prod(buffer.shape)) * buffer.dtype.itemsize
        return self.memory[buffer.base][buffer.offset : buffer.offset + size]

    def read(self, tensor: Port | Tensor) -> bytes:
        return bytes(self.bytes_of(self.plan.ports[tensor]))

    def run(self, blocks: dict[int, Block]) -> None:
        """One frame, in a random order among those that the edges allow."""
        if self.frame:
            for pair in self.plan.delays:
                memory = self.memory
                memory[pair.current], memory[pair.previous] = memory[pair.previous], memory[pair.current]
        self.arena[:] = self.random.randbytes(len(self.arena))
        waiting = {node.index: set(node.after) for node in self.plan.nodes}
        while waiting:
            index = self.random.choice([index for index, after in waiting.items() if not after])
            del waiting[index]
            for after in waiting.values():
                after.discard(index)
            self._run_node(self.plan.nodes[index], blocks)
        self.frame += 1

    def _run_node(self, node: Any, blocks: dict[int, Block]) -> None:
        if isinstance(node, CopyNode):
            self.bytes_of(node.target)[:] = bytes(self.bytes_of(node.source))
        elif isinstance(node, FillNode):
            self.bytes_of(node.target)[:] = bytes([node.value]) * node.nbytes
        elif isinstance(node, CaptureNode):
            inputs = [(str(i), bytes(self.bytes_of(index))) for i, index in enumerate(node.inputs)]
            for i, index in enumerate(node.outputs):
                self.bytes_of(index)[:] = _mix("capture", str(i), inputs, len(self.bytes_of(index)))
        else:
            assert isinstance(node, KernelNode)
            work = blocks[node.key[0]].description.work[node.key[1]]
            assert isinstance(work, Kernel)
            values, outputs = [], []
            for (argument, operand), pointer in zip(work.arguments, node.arguments, strict=True):
                if isinstance(operand, (Port, Tensor)):
                    place = self.bytes_of(pointer.buffer)  # type: ignore[union-attr]
                    if argument.kind.value == "input" or _carries(operand):
                        values.append((argument.name, bytes(place)))
                    if argument.kind.value == "output":
                        outputs.append((argument.name, place))
            for name, place in outputs:
                place[:] = _mix(work.source.signature.entry, name, values, len(place))


def _carries(operand: Port | Tensor) -> bool:
    """Whether a kernel that writes it may use what was there."""
    if isinstance(operand, Port):
        return operand.inplace is not None or operand.name.endswith("_count")
    return isinstance(operand, State)


class Meaning:
    """What the blocks of a context compute, as values. Sizes come from the plan's types alone."""

    def __init__(self, context: Context, inputs: dict[Port, bytes], size: int) -> None:
        self.wires = dict(context.wires)
        self.blocks = list(context.walk())
        for block in self.blocks:
            self.wires.update({destination: source for source, destination in block.description.wires})
        self.inputs = inputs
        self.size = size
        self.before: dict[DelayPort, bytes] = {}
        self.states: dict[State, bytes] = {}
        self.values: dict[Any, bytes] = {}

    def nbytes(self, operand: Port | Tensor) -> int:
        lengths = [self.size if length is ... else int(length) for length in tuple(operand.shape)]  # type: ignore[arg-type]
        return 4 * int(np.prod(lengths))

    def value(self, port: Port | Tensor) -> bytes:
        while port in self.wires:
            port = self.wires[port]
        if isinstance(port, DelayPort):
            return self.before.get(port) or _first_frame(port, self.nbytes(port.source))
        if isinstance(port, ViewPort):
            start = 4 * int(port.offset)
            return self.value(port.source)[start : start + self.nbytes(port)]
        if port in self.inputs:
            return self.inputs[port]
        if port not in self.values:
            self._compute(port.block)
        return self.values[port]

    def run(self) -> None:
        """One frame; `value` then gives what every port holds."""
        if self.values:
            delays = [port for block in self.blocks for port in block.description.ports if isinstance(port, DelayPort)]
            self.before = {delay: self.value(delay.source) for delay in delays}
        self.values = {}
        for block in self.blocks:
            self._compute(block)

    def _compute(self, block: Block) -> None:
        description = block.description
        if any(operand in self.values for work in description.work for operand in work.operands()[1]):
            return
        local: dict[Any, bytes] = {}
        for port in description.ports:
            if port.inplace is not None:
                local[port] = self.value(port.inplace)
            if isinstance(port, AppendPort):
                local[port.count] = bytes(4)
        for tensor in description.tensors:
            if isinstance(tensor, State):
                local[tensor] = self.states.get(tensor, bytes(self.nbytes(tensor)))
        for work in description.work:
            self._do(work, local)
        self.states.update({tensor: value for tensor, value in local.items() if isinstance(tensor, State)})
        self.values.update(local)

    def _do(self, work: Any, local: dict[Any, bytes]) -> None:
        def get(operand: Any) -> bytes:
            if isinstance(operand, ViewPort) and operand.source in local:
                start = 4 * int(operand.offset)
                return local[operand.source][start : start + self.nbytes(operand)]
            return local[operand] if operand in local else self.value(operand)

        if isinstance(work, Capture):
            inputs = [(str(i), get(operand)) for i, operand in enumerate(work.inputs)]
            local.update({o: _mix("capture", str(i), inputs, self.nbytes(o)) for i, o in enumerate(work.outputs)})
            return
        tensors = [(argument, bound) for argument, bound in work.arguments if not isinstance(bound, Parameter)]
        values = [(a.name, get(o)) for a, o in tensors if a.kind.value == "input" or _carries(o)]
        written = [(a.name, o) for a, o in tensors if a.kind.value == "output"]
        local.update({o: _mix(work.source.signature.entry, name, values, self.nbytes(o)) for name, o in written})
