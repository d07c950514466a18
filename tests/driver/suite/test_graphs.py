"""Building graphs, launching them, and changing single nodes of an executable."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def test_nodes_run_along_their_edges_whatever_the_order_of_insertion(bench: Any, cu: Any) -> None:
    y, graph = bench.device([1.0]), bench.graph()
    late = cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, 10.0))
    early = cu.cuGraphAddMemsetNode(graph, [], 0, bench.fill_params(y, 1), cu.cuCtxGetCurrent())
    middle = cu.cuGraphAddKernelNode(graph, [early], 1, bench.saxpy(1, 2.0, bench.device([3.0]), y))
    add_edge(cu, graph, middle, late)
    cu.cuGraphLaunch(bench.instantiate(graph), bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 60


def add_edge(cu: Any, graph: Any, source: Any, target: Any) -> None:
    """cuGraphAddDependencies has one argument more in CUDA 13."""
    thirteen = cu.cuDriverGetVersion() >= 13000
    edge = [cu.CUgraphEdgeData()]
    cu.cuGraphAddDependencies(graph, [source], [target], *([edge] if thirteen else []), 1)


def test_a_missing_edge_shows_in_one_of_the_orders(bench: Any, cu: Any, emulation: Any) -> None:
    y, graph, results = bench.device([1.0]), bench.graph(), set()
    cu.cuGraphAddMemsetNode(graph, [], 0, bench.fill_params(y, 1), cu.cuCtxGetCurrent())
    cu.cuGraphAddKernelNode(graph, [], 0, bench.saxpy(1, 1.0, bench.device([3.0]), y))
    for order in ("forward", "reverse"):
        emulation.set("order", order)
        cu.cuGraphLaunch(bench.instantiate(graph), bench.stream)
        bench.finish()
        results.add(float(bench.read(y, 1)[0]))
    assert results == {3.0, 0.0}


def test_a_cycle_cannot_be_instantiated(bench: Any, cu: Any) -> None:
    graph = bench.graph()
    first = cu.cuGraphAddEmptyNode(graph, [], 0)
    second = cu.cuGraphAddEmptyNode(graph, [first], 1)
    add_edge(cu, graph, second, first)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphInstantiate(graph, 0)


def test_nodes_of_other_graphs_and_duplicates_are_no_dependencies(bench: Any, cu: Any) -> None:
    graph, other = bench.graph(), bench.graph()
    node, stranger = cu.cuGraphAddEmptyNode(graph, [], 0), cu.cuGraphAddEmptyNode(other, [], 0)
    for wrong in ([stranger], [node, node]):
        with pytest.raises(RuntimeError, match="INVALID_VALUE"):
            cu.cuGraphAddEmptyNode(graph, wrong, len(wrong))


def test_the_structure_can_be_read(bench: Any, cu: Any, tmp_path: Path) -> None:
    graph = bench.graph()
    root = cu.cuGraphAddEmptyNode(graph, [], 0)
    leaf = cu.cuGraphAddEmptyNode(graph, [root], 1)
    assert cu.cuGraphGetNodes(graph, 0)[1] == 2
    assert [int(node) for node in cu.cuGraphGetNodes(graph, 2)[0]] == [int(root), int(leaf)]
    assert [int(node) for node in cu.cuGraphGetRootNodes(graph, 1)[0]] == [int(root)]
    assert cu.cuGraphGetEdges(graph, 1)[:2] == ([root], [leaf]) or int(cu.cuGraphGetEdges(graph, 1)[0][0]) == int(root)
    assert int(cu.cuGraphNodeGetDependencies(leaf, 1)[0][0]) == int(root)
    assert cu.cuGraphNodeGetType(leaf) == cu.raw.CUgraphNodeType.CU_GRAPH_NODE_TYPE_EMPTY
    cu.cuGraphDebugDotPrint(graph, str(tmp_path / "graph.dot").encode(), 0)
    assert "->" in (tmp_path / "graph.dot").read_text()
    cu.cuGraphDestroyNode(root)
    assert cu.cuGraphNodeGetDependencies(leaf, 0)[-1] == 0


def test_parameters_are_copied_and_can_be_read_back(bench: Any, cu: Any) -> None:
    y, graph = bench.device([1.0]), bench.graph()
    node = cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, 4.0))
    read = cu.cuGraphKernelNodeGetParams(node)
    pointers = (ctypes.c_void_p * 3).from_address(int(read.kernelParams))
    assert ctypes.c_float.from_address(pointers[2]).value == 4.0
    cu.cuGraphKernelNodeSetParams(node, bench.scale(y, 1, 5.0))
    cu.cuGraphLaunch(bench.instantiate(graph), bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 5


def test_exec_parameters_change_later_launches_only(bench: Any, cu: Any) -> None:
    y, graph = bench.device([1.0]), bench.graph()
    node = cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, 2.0))
    executable = bench.instantiate(graph)
    cu.cuGraphLaunch(executable, bench.stream)
    cu.cuGraphExecKernelNodeSetParams(executable, node, bench.scale(y, 1, 7.0))
    cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 14


def test_an_exec_node_can_run_another_function_of_the_context(bench: Any, cu: Any) -> None:
    y, graph = bench.device([1.0]), bench.graph()
    node = cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, 2.0))
    executable = bench.instantiate(graph)
    cu.cuGraphExecKernelNodeSetParams(executable, node, bench.saxpy(1, 1.0, y, y))
    cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 2


def test_the_definition_must_outlive_what_is_changed_by_it(bench: Any, cu: Any) -> None:
    y, graph = bench.device([1.0]), cu.cuGraphCreate(0)
    params = bench.scale(y, 1, 2.0)
    node = cu.cuGraphAddKernelNode(graph, [], 0, params)
    executable = bench.instantiate(graph)
    cu.cuGraphDestroy(graph)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphExecKernelNodeSetParams(executable, node, params)
    cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 2


def test_an_exec_set_needs_a_node_of_its_kind_and_graph(bench: Any, cu: Any) -> None:
    y, graph = bench.device([1.0]), bench.graph()
    node = cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, 2.0))
    executable = bench.instantiate(graph)
    late = cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, 2.0))
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphExecMemsetNodeSetParams(executable, node, bench.fill_params(y, 1), cu.cuCtxGetCurrent())
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphExecKernelNodeSetParams(executable, late, bench.scale(y, 1, 2.0))


def test_nodes_can_be_switched_off_and_on(bench: Any, cu: Any) -> None:
    y, graph = bench.device([1.0]), bench.graph()
    node = cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, 2.0))
    empty = cu.cuGraphAddEmptyNode(graph, [], 0)
    executable = bench.instantiate(graph)
    cu.cuGraphNodeSetEnabled(executable, node, 0)
    assert cu.cuGraphNodeGetEnabled(executable, node) == 0
    cu.cuGraphLaunch(executable, bench.stream)
    cu.cuGraphNodeSetEnabled(executable, node, 1)
    cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 2
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphNodeSetEnabled(executable, empty, 0)


def test_copy_and_fill_nodes_move_to_other_addresses(bench: Any, cu: Any) -> None:
    a, b, c, current = bench.device([1.0, 2.0]), bench.device([0, 0]), bench.device([0, 0]), cu.cuCtxGetCurrent()
    graph = bench.graph()
    copy = cu.cuGraphAddMemcpyNode(graph, [], 0, bench.copy_params(a, b, 8), current)
    fill = cu.cuGraphAddMemsetNode(graph, [copy], 1, bench.fill_params(a, 2, 0), current)
    executable = bench.instantiate(graph)
    cu.cuGraphExecMemcpyNodeSetParams(executable, copy, bench.copy_params(a, c, 8), current)
    cu.cuGraphExecMemsetNodeSetParams(executable, fill, bench.fill_params(b, 1, 0x3F800000), current)
    cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    np.testing.assert_array_equal(bench.read(c, 2), [1, 2])
    np.testing.assert_array_equal(bench.read(b, 2), [1, 0])
    np.testing.assert_array_equal(bench.read(a, 2), [1, 2])


def test_fills_and_copies_of_two_dimensions_keep_their_shape(bench: Any, cu: Any) -> None:
    y, graph, current = bench.device(np.zeros(8)), bench.graph(), cu.cuCtxGetCurrent()
    fill = cu.cuGraphAddMemsetNode(graph, [], 0, bench.fill_params(y, 2, height=2), current)
    p = bench.copy_params(y, y, 4)
    p.Height, p.srcPitch, p.dstPitch = 2, 8, 8
    copy = cu.cuGraphAddMemcpyNode(graph, [], 0, p, current)
    executable = bench.instantiate(graph)
    cu.cuGraphExecMemsetNodeSetParams(executable, fill, bench.fill_params(y, 2, 5, height=2), current)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphExecMemsetNodeSetParams(executable, fill, bench.fill_params(y, 3, height=2), current)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphExecMemcpyNodeSetParams(executable, copy, p, current)


def test_a_copy_node_changes_neither_direction_nor_to_nothing(bench: Any, cu: Any) -> None:
    a, pinned, graph, current = bench.device([1.0]), bench.pinned(1), bench.graph(), cu.cuCtxGetCurrent()
    copy = cu.cuGraphAddMemcpyNode(graph, [], 0, bench.copy_params(a, pinned.ctypes.data, 4, to_host=True), current)
    executable = bench.instantiate(graph)
    for wrong in (bench.copy_params(a, a, 4), bench.copy_params(a, pinned.ctypes.data, 0, to_host=True)):
        with pytest.raises(RuntimeError, match="INVALID_VALUE"):
            cu.cuGraphExecMemcpyNodeSetParams(executable, copy, wrong, current)
    pinned[0] = 0
    cu.cuGraphLaunch(executable, bench.stream)
    assert pinned[0] == 0
    bench.finish()
    assert pinned[0] == 1


def test_launches_of_one_executable_wait_for_each_other(bench: Any, cu: Any) -> None:
    y, graph, other = bench.device([1.0]), bench.graph(), bench.new_stream()
    cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, 2.0))
    executable = bench.instantiate(graph)
    cu.cuGraphLaunch(executable, bench.stream)
    cu.cuGraphLaunch(executable, other)
    cu.cuStreamSynchronize(other)
    assert bench.read(y, 1)[0] == 4


def test_an_executable_destroyed_in_flight_still_finishes(bench: Any, cu: Any) -> None:
    y, graph = bench.device([1.0]), bench.graph()
    cu.cuGraphAddKernelNode(graph, [], 0, bench.scale(y, 1, 2.0))
    executable = cu.cuGraphInstantiate(graph, 0)
    cu.cuGraphLaunch(executable, bench.stream)
    cu.cuGraphExecDestroy(executable)
    bench.finish()
    assert bench.read(y, 1)[0] == 2


def test_event_nodes_stamp_when_they_run(bench: Any, cu: Any) -> None:
    y, graph, start, end = bench.device([1.0]), bench.graph(), bench.event(), bench.event()
    first = cu.cuGraphAddEventRecordNode(graph, [], 0, start)
    work = cu.cuGraphAddKernelNode(graph, [first], 1, bench.scale(y, 1, 2.0))
    last = cu.cuGraphAddEventRecordNode(graph, [work], 1, end)
    executable = bench.instantiate(graph)
    cu.cuGraphLaunch(executable, bench.stream)
    with pytest.raises(RuntimeError, match="NOT_READY"):
        cu.cuEventElapsedTime(start, end)
    bench.finish()
    assert cu.cuEventElapsedTime(start, end) >= 0
    other = bench.event()
    cu.cuGraphExecEventRecordNodeSetEvent(executable, last, other)
    cu.cuGraphLaunch(executable, bench.stream)
    cu.cuEventSynchronize(other)
    assert cu.cuEventElapsedTime(end, other) > 0


def test_child_graphs_are_clones(bench: Any, cu: Any) -> None:
    y, child, graph = bench.device([1.0]), bench.graph(), bench.graph()
    inner = cu.cuGraphAddKernelNode(child, [], 0, bench.scale(y, 1, 2.0))
    node = cu.cuGraphAddChildGraphNode(graph, [], 0, child)
    cu.cuGraphKernelNodeSetParams(inner, bench.scale(y, 1, 100.0))
    cloned = cu.cuGraphNodeFindInClone(inner, cu.cuGraphChildGraphNodeGetGraph(node))
    executable = bench.instantiate(graph)
    cu.cuGraphLaunch(executable, bench.stream)
    cu.cuGraphExecKernelNodeSetParams(executable, cloned, bench.scale(y, 1, 3.0))
    cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 6
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphDestroy(cu.cuGraphChildGraphNodeGetGraph(node))


def test_a_child_graph_is_replaced_by_one_of_the_same_topology(bench: Any, cu: Any) -> None:
    y, graph, child, same, other = bench.device([1.0]), bench.graph(), bench.graph(), bench.graph(), bench.graph()
    cu.cuGraphAddKernelNode(child, [], 0, bench.scale(y, 1, 2.0))
    node = cu.cuGraphAddChildGraphNode(graph, [], 0, child)
    executable = bench.instantiate(graph)
    cu.cuGraphAddKernelNode(same, [], 0, bench.scale(y, 1, 5.0))
    cu.cuGraphExecChildGraphNodeSetParams(executable, node, same)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphExecChildGraphNodeSetParams(executable, node, other)
    cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 5


def test_memory_nodes_live_while_the_graph_runs(bench: Any, cu: Any) -> None:
    graph, y = bench.graph(), bench.device([0.0])
    params = cu.CUDA_MEM_ALLOC_NODE_PARAMS()
    params.poolProps.allocType = cu.raw.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    params.poolProps.location.type = cu.raw.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    params.bytesize = 4
    made = cu.cuGraphAddMemAllocNode(graph, [], 0, params)
    address, current = int(params.dptr), cu.cuCtxGetCurrent()
    fill = cu.cuGraphAddMemsetNode(graph, [made], 1, bench.fill_params(address, 1, 0x40000000), current)
    copy = cu.cuGraphAddMemcpyNode(graph, [fill], 1, bench.copy_params(address, y, 4), current)
    cu.cuGraphAddMemFreeNode(graph, [copy], 1, address)
    executable = bench.instantiate(graph)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphInstantiate(graph, 0)  # one executable at a time
    for _ in range(2):
        cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 2


def test_user_objects_go_when_the_last_graph_goes(bench: Any, cu: Any, emulation: Any) -> None:
    destroyed: list[int] = []
    destroy = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: destroyed.append(1))
    address = ctypes.cast(destroy, ctypes.c_void_p).value
    graph = cu.cuGraphCreate(0)
    user = cu.cuUserObjectCreate(0, cu.raw.CUhostFn(_ptr=ctypes.addressof(ctypes.c_void_p(address))), 1, 1)
    cu.cuGraphRetainUserObject(graph, user, 1, 1)  # moved: the graph holds the only reference
    executable = cu.cuGraphInstantiate(graph, 0)
    cu.cuGraphDestroy(graph)
    assert destroyed == []
    cu.cuGraphLaunch(executable, bench.stream)
    cu.cuGraphExecDestroy(executable)
    assert destroyed == []  # the launch in flight still shares it
    bench.finish()
    assert destroyed == [1]
