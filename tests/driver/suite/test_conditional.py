"""IF, WHILE and SWITCH nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def condition(bench: Any, graph: Any, initial: int) -> Any:
    """A handle that starts every launch with the same value."""
    cu = bench.cu
    return cu.cuGraphConditionalHandleCreate(graph, cu.cuCtxGetCurrent(), initial, cu.raw.CU_GRAPH_COND_ASSIGN_DEFAULT)


def add(bench: Any, graph: Any, handle: Any, kind: str, size: int = 1) -> list[Any]:
    """A conditional node; gives its bodies."""
    cu = bench.cu
    params = cu.CUgraphNodeParams()
    params.type = cu.raw.CUgraphNodeType.CU_GRAPH_NODE_TYPE_CONDITIONAL
    params.conditional.handle = handle
    params.conditional.type = getattr(cu.raw.CUgraphConditionalNodeType, f"CU_GRAPH_COND_TYPE_{kind}")
    params.conditional.size = size
    params.conditional.ctx = cu.cuCtxGetCurrent()
    edges = [None] if cu.cuDriverGetVersion() >= 13000 else []
    cu.cuGraphAddNode(graph, [], *edges, 0, params)
    return list(params.conditional.phGraph_out)


def test_while_runs_until_a_kernel_says_so(bench: Any, cu: Any) -> None:
    y, left, graph = bench.device([1.0]), bench.device([5], np.int32), bench.graph()
    handle = condition(bench, graph, 1)
    (body,) = add(bench, graph, handle, "WHILE")
    first = cu.cuGraphAddKernelNode(body, [], 0, bench.params("count_down", int(handle), left, threads=1))
    cu.cuGraphAddKernelNode(body, [first], 1, bench.scale(y, 1, 2.0))
    cu.cuGraphLaunch(bench.instantiate(graph), bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 32


@pytest.mark.parametrize(("value", "expected"), [(0, 3.0), (1, 2.0), (9, 2.0)])
def test_if_and_else(bench: Any, cu: Any, value: int, expected: float) -> None:
    y, graph = bench.device([1.0]), bench.graph()
    bodies = add(bench, graph, condition(bench, graph, value), "IF", 2)
    for body, factor in zip(bodies, (2.0, 3.0), strict=True):
        cu.cuGraphAddKernelNode(body, [], 0, bench.scale(y, 1, factor))
    cu.cuGraphLaunch(bench.instantiate(graph), bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == expected


@pytest.mark.parametrize(("value", "expected"), [(0, 2.0), (2, 4.0), (3, 1.0)])
def test_switch(bench: Any, cu: Any, value: int, expected: float) -> None:
    y, graph = bench.device([1.0]), bench.graph()
    bodies = add(bench, graph, condition(bench, graph, value), "SWITCH", 3)
    for body, factor in zip(bodies, (2.0, 3.0, 4.0), strict=True):
        cu.cuGraphAddKernelNode(body, [], 0, bench.scale(y, 1, factor))
    cu.cuGraphLaunch(bench.instantiate(graph), bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == expected


def test_nodes_in_bodies_can_be_changed_in_the_executable(bench: Any, cu: Any) -> None:
    y, graph = bench.device([1.0]), bench.graph()
    (body,) = add(bench, graph, condition(bench, graph, 1), "IF")
    node = cu.cuGraphAddKernelNode(body, [], 0, bench.scale(y, 1, 2.0))
    executable = bench.instantiate(graph)
    cu.cuGraphExecKernelNodeSetParams(executable, node, bench.scale(y, 1, 8.0))
    cu.cuGraphLaunch(executable, bench.stream)
    bench.finish()
    assert bench.read(y, 1)[0] == 8


def test_what_may_not_be_done_with_conditionals(bench: Any, cu: Any) -> None:
    graph, parent = bench.graph(), bench.graph()
    handle = condition(bench, graph, 1)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphInstantiate(graph, 0)  # a handle without a node
    (body,) = add(bench, graph, handle, "IF")
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        add(bench, graph, handle, "IF")  # a handle serves one node
    with pytest.raises(RuntimeError, match="NOT_SUPPORTED"):
        cu.cuGraphAddEventRecordNode(body, [], 0, bench.event())
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphAddChildGraphNode(parent, [], 0, graph)
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cu.cuGraphDestroy(body)
