"""Regions as conditional nodes. A one-thread kernel reads the condition on the GPU; nothing comes back to the host."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from cudagraph.errors import DeviceError
from cudagraph.program import Program

from ...plan import RegionKind, RegionNode
from .driver import CONDITIONAL_NODES, SWITCH_NODES
from .runtime import Runtime, Storage
from .work import Refused, Work

_TRUTH, _INDEX, _COUNT = range(3)

CONDITION_PROGRAM = Program(
    text="""\
// Sets a conditional node's value from an integer in device memory.
#ifdef __CUDACC_RTC__
extern "C" __device__ void cudaGraphSetConditional(unsigned long long handle, unsigned int value);
#endif

extern "C" __global__ void set_condition(unsigned long long handle, const void* source, int bytes, int meaning,
                                         long long* rounds, int first)
{
    long long value = bytes == 1   ? *static_cast<const signed char*>(source)
                      : bytes == 2 ? *static_cast<const short*>(source)
                      : bytes == 4 ? *static_cast<const int*>(source)
                                   : *static_cast<const long long*>(source);
    if (meaning == 1) {
        cudaGraphSetConditional(handle, value < 0 ? 0xffffffffu : static_cast<unsigned int>(value));
    } else if (meaning == 2) {
        *rounds = first ? 0 : *rounds + 1;
        cudaGraphSetConditional(handle, *rounds < value);
    } else {
        cudaGraphSetConditional(handle, value != 0);
    }
}
""",
    entry="set_condition",
    origin="the engine's condition kernel",
)

_MEANING = {RegionKind.WHEN: _TRUTH, RegionKind.WHILE: _TRUTH, RegionKind.SWITCH: _INDEX, RegionKind.LOOP: _COUNT}


class RegionWork:
    """A conditional node and its bodies. It cannot be changed in place: any change builds the graph anew."""

    def __init__(self, runtime: Runtime, node: RegionNode, storage: Storage, bodies: Sequence[Sequence[Work]]) -> None:
        self._runtime = runtime
        self._driver = runtime.driver
        self._node = node
        self._storage = storage
        self._bodies = bodies
        self._check()
        inner = [(work, buffer, place) for body in bodies for work in body for buffer, place in work.moves]
        self._targets = [(work, place) for work, _, place in inner]
        self.moves = (*((buffer, i) for i, (_, buffer, _) in enumerate(inner)), (node.condition, len(inner)))
        self._rounds = runtime.library.memory.allocate(8) if node.kind is RegionKind.LOOP else 0

    def _check(self) -> None:
        node, condition = self._node, self._storage.buffers[self._node.condition]
        if condition.dtype.kind not in "biu":
            raise DeviceError(
                f"{node.name}: the condition {condition.name} is {condition.dtype}; it has to be bool or an integer"
            )
        needs_new = node.kind is RegionKind.SWITCH or len(node.bodies) > 1
        self._driver.require(SWITCH_NODES if needs_new else CONDITIONAL_NODES, f"{node.name}: the region {node.kind}")

    def move(self, place: int, address: int) -> None:
        """A buffer of a body, or the condition, lies elsewhere. The condition is read from the storage table."""
        if place < len(self._targets):
            work, inner_place = self._targets[place]
            work.move(inner_place, address)

    def add(self, graph: Any, after: list[Any]) -> Any:
        """The kernel that sets the condition, then the conditional node with its bodies."""
        driver, raw = self._driver, self._driver.raw
        handle = driver.cuGraphConditionalHandleCreate(
            graph, self._runtime.context.handle, 0, raw.CU_GRAPH_COND_ASSIGN_DEFAULT
        )
        ready = self._add_setter(graph, after, handle, first=True)
        node, graphs = self._add_conditional(graph, ready, handle)
        for body, nodes, works in zip(graphs, self._node.bodies, self._bodies, strict=True):
            added: dict[int, Any] = {}
            for inner, work in zip(nodes, works, strict=True):
                added[inner.index] = work.add(body, [added[index] for index in inner.after if index in added])
            if self._node.kind in (RegionKind.LOOP, RegionKind.WHILE):
                self._add_setter(body, list(added.values()), handle, first=False)
        return node

    def _add_conditional(self, graph: Any, ready: Any, handle: Any) -> tuple[Any, list[Any]]:
        driver, raw = self._driver, self._driver.raw
        params = raw.CUgraphNodeParams()
        params.type = raw.CUgraphNodeType.CU_GRAPH_NODE_TYPE_CONDITIONAL
        kinds = raw.CUgraphConditionalNodeType
        params.conditional.handle = handle
        params.conditional.type = {
            RegionKind.WHEN: kinds.CU_GRAPH_COND_TYPE_IF,
            RegionKind.SWITCH: kinds.CU_GRAPH_COND_TYPE_SWITCH,
        }.get(self._node.kind, kinds.CU_GRAPH_COND_TYPE_WHILE)
        params.conditional.size = len(self._bodies)
        params.conditional.ctx = self._runtime.context.handle
        edges = () if driver.bindings_version.startswith("12.") else (None,)  # CUDA 13 takes edge data here
        node = driver.cuGraphAddNode(graph, [ready], *edges, 1, params)
        return node, list(params.conditional.phGraph_out)

    def _add_setter(self, graph: Any, after: list[Any], handle: Any, *, first: bool) -> Any:
        condition = self._node.condition
        address, bytes_ = self._storage.addresses[condition], self._storage.buffers[condition].dtype.itemsize
        values = (
            ctypes.c_uint64(int(handle)),
            ctypes.c_uint64(address),
            ctypes.c_int32(bytes_),
            ctypes.c_int32(_MEANING[self._node.kind]),
            ctypes.c_uint64(self._rounds),
            ctypes.c_int32(first),
        )
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        params = self._driver.raw.CUDA_KERNEL_NODE_PARAMS()
        params.func = self._runtime.condition_kernel().function
        params.gridDimX = params.gridDimY = params.gridDimZ = 1
        params.blockDimX = params.blockDimY = params.blockDimZ = 1
        params.kernelParams = ctypes.addressof(pointers)
        return self._driver.cuGraphAddKernelNode(graph, after, len(after), params)

    def apply(self, executable: Any, node: Any) -> None:
        """Never possible in place."""
        raise Refused(f"{self._node.name}: a conditional node cannot be changed in place")

    def close(self) -> None:
        """Close the bodies."""
        for body in self._bodies:
            for work in body:
                work.close()
        if self._rounds:
            self._runtime.library.memory.free(self._rounds)
            self._rounds = 0
