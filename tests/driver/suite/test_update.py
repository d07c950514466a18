"""Whole-graph update: what it takes over, what it refuses, and the reason it gives."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest


class ResultInfo(ctypes.Structure):
    """CUgraphExecUpdateResultInfo. cuda.bindings gives it back only when the update succeeded."""

    _fields_ = [("result", ctypes.c_int), ("node", ctypes.c_void_p), ("source", ctypes.c_void_p)]


def update(cu: Any, executable: Any, graph: Any) -> tuple[str, *tuple[int, ...]]:
    """The reason, the node it names, and the dependency where it names one."""
    info = ResultInfo()
    handles = [ctypes.c_void_p(int(handle)) for handle in (executable, graph)]
    status = ctypes.CDLL("libcuda.so.1").cuGraphExecUpdate_v2(*handles, ctypes.byref(info))
    reason = cu.raw.CUgraphExecUpdateResult(info.result).name.removeprefix("CU_GRAPH_EXEC_UPDATE_")
    assert (reason == "SUCCESS") == (status == 0)
    assert status in (0, int(cu.raw.CUresult.CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE))
    return (reason, info.node or 0, info.source) if info.source else (reason, info.node or 0)


def chain(bench: Any, y: int, *factors: float) -> Any:
    """A graph of scale kernels, one after the other."""
    graph, last = bench.graph(), []
    for factor in factors:
        last = [bench.cu.cuGraphAddKernelNode(graph, last, len(last), bench.scale(y, 1, factor))]
    return graph


def test_an_equal_topology_brings_all_new_parameters(bench: Any, cu: Any) -> None:
    y = bench.device([1.0])
    executable = bench.instantiate(chain(bench, y, 2.0, 3.0))
    assert update(cu, executable, chain(bench, y, 5.0, 7.0)) == ("SUCCESS", 0)
    cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 35


def test_another_number_of_nodes_names_none(bench: Any, cu: Any) -> None:
    y = bench.device([1.0])
    executable = bench.instantiate(chain(bench, y, 2.0, 3.0))
    assert update(cu, executable, chain(bench, y, 5.0)) == ("ERROR_TOPOLOGY_CHANGED", 0)
    cu.cuGraphLaunch(executable, bench.stream)  # the old one still runs
    bench.finish()
    assert bench.read(y, 1)[0] == 6


def test_other_edges_name_the_node(bench: Any, cu: Any) -> None:
    y = bench.device([1.0])
    executable = bench.instantiate(chain(bench, y, 2.0, 3.0, 4.0))
    graph = bench.graph()
    first, second = (cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, f)) for f in (2.0, 3.0))
    last = cu.cuGraphAddKernelNode(graph, [first, second], 2, bench.scale(y, 1, 4.0))
    assert update(cu, executable, graph) == ("ERROR_TOPOLOGY_CHANGED", int(last))


def test_the_order_of_edges_decides_the_pairing(bench: Any, cu: Any) -> None:
    y, current = bench.device(np.ones(2)), cu.cuCtxGetCurrent()

    def fork(swapped: bool) -> tuple[Any, Any]:
        graph = bench.graph()
        fill = cu.cuGraphAddMemsetNode(graph, [], 0, bench.fill_params(y, 1), current)
        kernel = cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y + 4, 1, 2.0))
        both = [kernel, fill] if swapped else [fill, kernel]
        cu.cuGraphAddEmptyNode(graph, both, 2)
        return graph, fill

    executable = bench.instantiate(fork(swapped=False)[0])
    assert update(cu, executable, fork(swapped=False)[0])[0] == "SUCCESS"
    graph, fill = fork(swapped=True)
    assert update(cu, executable, graph) == ("ERROR_NODE_TYPE_CHANGED", int(fill))


def test_a_dependency_that_is_paired_already_names_both_nodes(bench: Any, cu: Any) -> None:
    def diamond(swapped: bool) -> tuple[Any, list[Any]]:
        graph = bench.graph()
        a, b = (cu.cuGraphAddEmptyNode(graph, [], 0) for _ in range(2))
        c = cu.cuGraphAddEmptyNode(graph, [a, b], 2)
        d = cu.cuGraphAddEmptyNode(graph, [b, a] if swapped else [a, b], 2)
        cu.cuGraphAddEmptyNode(graph, [c, d], 2)
        return graph, [a, b, c, d]

    executable = bench.instantiate(diamond(swapped=False)[0])
    graph, (_, b, _, d) = diamond(swapped=True)
    assert update(cu, executable, graph) == ("ERROR_TOPOLOGY_CHANGED", int(d), int(b))


def test_another_kind_of_node_is_named(bench: Any, cu: Any) -> None:
    y = bench.device([1.0])
    executable = bench.instantiate(chain(bench, y, 2.0))
    graph = bench.graph()
    node = cu.cuGraphAddMemsetNode(graph, [], 0, bench.fill_params(y, 1), cu.cuCtxGetCurrent())
    assert update(cu, executable, graph) == ("ERROR_NODE_TYPE_CHANGED", int(node))


def test_parameters_that_may_not_change_are_named(bench: Any, cu: Any) -> None:
    y, pinned, current = bench.device(np.zeros(8)), bench.pinned(1), cu.cuCtxGetCurrent()

    def copying(params: Any) -> tuple[Any, Any]:
        graph = bench.graph()
        return graph, cu.cuGraphAddMemcpyNode(graph, [], 0, params, current)

    executable = bench.instantiate(copying(bench.copy_params(y, y + 4, 4))[0])
    graph, node = copying(bench.copy_params(y, pinned.ctypes.data, 4, to_host=True))
    assert update(cu, executable, graph) == ("ERROR_PARAMETERS_CHANGED", int(node))
    assert update(cu, executable, copying(bench.copy_params(y + 8, y, 8))[0])[0] == "SUCCESS"


def test_a_function_of_another_context_is_refused(bench: Any, cu: Any, image: bytes) -> None:
    y, primary = bench.device([1.0]), cu.cuCtxGetCurrent()
    executable = bench.instantiate(chain(bench, y, 2.0))
    device = cu.cuDeviceGet(0)
    other = cu.cuCtxCreate(*([None] if cu.cuDriverGetVersion() >= 13000 else []), 0, device)
    module = cu.cuModuleLoadData(image)
    params = bench.scale(y, 1, 3.0)
    params.func = cu.cuModuleGetFunction(module, b"scale")
    graph = bench.graph()
    node = cu.cuGraphAddKernelNode(graph, [], 0, params)
    cu.cuCtxSetCurrent(primary)
    assert update(cu, executable, graph) == ("ERROR_UNSUPPORTED_FUNCTION_CHANGE", int(node))
    cu.cuModuleUnload(module)
    cu.cuCtxDestroy(other)


def test_an_attribute_that_may_not_change_is_named(bench: Any, cu: Any) -> None:
    y = bench.device([1.0])
    executable = bench.instantiate(chain(bench, y, 2.0))
    graph = bench.graph()
    node = cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, 2.0))
    value = cu.raw.CUkernelNodeAttrValue()
    value.cooperative = 1
    cu.cuGraphKernelNodeSetAttribute(node, cu.raw.CUkernelNodeAttrID.CU_LAUNCH_ATTRIBUTE_COOPERATIVE, value)
    assert update(cu, executable, graph) == ("ERROR_ATTRIBUTES_CHANGED", int(node))


def test_child_graphs_are_updated_too(bench: Any, cu: Any) -> None:
    y = bench.device([1.0])

    def nested(*factors: float) -> Any:
        graph = bench.graph()
        cu.cuGraphAddChildGraphNode(graph, [], 0, chain(bench, y, *factors))
        return graph

    executable = bench.instantiate(nested(2.0))
    assert update(cu, executable, nested(6.0))[0] == "SUCCESS"
    assert update(cu, executable, nested(6.0, 6.0))[0] == "ERROR_TOPOLOGY_CHANGED"
    cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 6


def test_the_bindings_keep_the_reason_to_themselves(bench: Any, cu: Any) -> None:
    """Why `update` above calls the driver directly."""
    y = bench.device([1.0])
    executable = bench.instantiate(chain(bench, y, 2.0))
    assert cu.raw.cuGraphExecUpdate(executable, chain(bench, y, 2.0, 2.0))[1] is None
    with pytest.raises(RuntimeError, match="GRAPH_EXEC_UPDATE_FAILURE"):
        cu.cuGraphExecUpdate(executable, chain(bench, y, 2.0, 2.0))
