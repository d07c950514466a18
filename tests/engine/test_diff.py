from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cudagraph.engine.diff import compare
from cudagraph.engine.plan import (
    Buffer,
    CaptureNode,
    Constant,
    CopyNode,
    FillNode,
    Hot,
    KernelNode,
    LibraryNode,
    ParameterSlot,
    Place,
    Plan,
    Pointer,
    RegionKind,
    RegionNode,
)
from cudagraph.program import Program

FLOAT = np.dtype(np.float32)
OWNERS = [object() for _ in range(200)]
PARAMETERS = [object() for _ in range(200)]


def make_plan(blocks, size=64):
    """A chain with one kernel per entry of `blocks`; each has its own output, a constant and a hot parameter."""
    programs = (Program("// a", "a", "a.cu"), Program("// b", "b", "b.cu"))
    place = Place.ARENA
    buffers = [Buffer(i, f"x{block}", (size,), FLOAT, place, i, 0, OWNERS[block]) for i, block in enumerate(blocks)]
    slots = [ParameterSlot(f"p{block}", FLOAT, None, ((i, 3),), PARAMETERS[block]) for i, block in enumerate(blocks)]
    nodes = [
        KernelNode(
            index=i,
            name=f"block{block}:run",
            block=f"block{block}",
            reads=(i - 1,) if i else (),
            writes=(i,),
            after=(i - 1,) if i else (),
            key=(block + 1, 0),
            program=block % 2,
            grid=(4, 1, 1),
            threads=(256, 1, 1),
            arguments=(Pointer(max(i - 1, 0)), Pointer(i), Constant(b"1234"), Hot(i)),
        )
        for i, block in enumerate(blocks)
    ]
    return Plan(tuple(buffers), tuple(nodes), programs, tuple(slots))


def with_node(plan, index, /, **changes):
    nodes = list(plan.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return replace(plan, nodes=tuple(nodes))


def with_work(plan, *nodes):
    """The plan's nodes replaced by others that are numbered from 0."""
    return replace(plan, nodes=tuple(replace(node, index=index) for index, node in enumerate(nodes)))


def common(name, key=(1, 0)):
    return {"index": 0, "name": name, "block": "block", "key": key}


def test_equal_plans():
    plan = make_plan(range(5))
    difference = compare(plan, make_plan(range(5)))
    assert difference.empty
    assert difference.kept == (0, 1, 2, 3, 4)
    assert difference.buffers_kept == (0, 1, 2, 3, 4)
    assert difference.summary() == "5 nodes kept; nothing to do"
    assert compare(Plan((), (), ()), Plan((), (), ())).summary() == "no nodes; nothing to do"


def test_one_block_removed_from_a_chain():
    difference = compare(make_plan(range(100)), make_plan([*range(50), *range(51, 100)]))
    assert difference.removed == (50,)
    assert [change.node for change in difference.changed] == [50]
    assert difference.changed[0].reasons == ("arguments",)
    assert len(difference.kept) == 98
    assert difference.buffers_removed == (50,)
    assert difference.origin[49:52] == (49, 51, 52)
    assert not difference.same_topology
    assert difference.summary() == (
        "1 node removed, 1 changed (arguments of block51:run), 98 kept; topology changed -> re-instantiate"
    )


def test_a_block_added():
    difference = compare(make_plan([0, 1]), make_plan([0, 1, 2]))
    assert (difference.added, difference.buffers_added, difference.removed) == ((2,), (2,), ())
    assert difference.origin == (0, 1, -1)
    assert difference.buffer_origin == (0, 1, -1)
    assert difference.summary() == "1 node added, 2 kept; topology changed -> re-instantiate"


def test_indices_do_not_matter():
    """The same blocks listed in another order: every index moves, no node's work does."""
    old = make_plan([0, 1])
    buffers = tuple(replace(b, index=1 - b.index, base=1 - b.base) for b in reversed(old.buffers))
    nodes = tuple(
        replace(
            node,
            program=1 - node.program,
            arguments=(
                Pointer(1 - node.arguments[0].buffer),
                Pointer(1 - node.arguments[1].buffer),
                node.arguments[2],
                Hot(1 - node.index),
            ),
        )
        for node in old.nodes
    )
    new = Plan(buffers, nodes, old.programs[::-1], old.parameters[::-1])
    assert compare(old, new).empty


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"program": 0}, "program"),
        ({"grid": (5, 1, 1)}, "grid"),
        ({"threads": (128, 1, 1)}, "threads"),
        ({"shared": 16}, "shared memory"),
        ({"arguments": (Pointer(0), Pointer(1), Constant(b"1235"), Hot(1))}, "arguments"),
        ({"arguments": (Pointer(1), Pointer(1), Constant(b"1234"), Hot(1))}, "arguments"),
        ({"arguments": (Pointer(0), Pointer(1), Constant(b"1234"), Hot(0))}, "arguments"),
        ({"arguments": (Pointer(0), Pointer(1), Constant(b"1234"), Constant(b"1234"))}, "arguments"),
        ({"arguments": (Pointer(0), Pointer(1), Constant(b"1234"))}, "arguments"),
    ],
)
def test_what_changes_a_kernel_node(changes, reason):
    plan = make_plan(range(3))
    difference = compare(plan, with_node(plan, 1, **changes))
    assert [(change.node, change.reasons) for change in difference.changed] == [(1, (reason,))]
    assert difference.kept == (0, 2)
    assert difference.same_topology
    assert difference.summary() == f"1 node changed ({reason} of block1:run), 2 kept; same topology -> update in place"


def test_several_reasons_and_many_changes_are_cut_short():
    plan = make_plan(range(6))
    new = plan
    for index in range(5):
        new = with_node(new, index, grid=(9, 1, 1), shared=4)
    summary = compare(plan, new).summary()
    assert summary.startswith("5 nodes changed (grid, shared memory of block0:run, ")
    assert " and 2 more), 1 kept; " in summary


def test_new_text_of_a_program_changes_its_users_only():
    plan = make_plan(range(4))
    new = replace(plan, programs=(plan.programs[0], Program("// b2", "b", "b.cu")))
    difference = compare(plan, new)
    assert [change.node for change in difference.changed] == [1, 3]
    assert {change.reasons for change in difference.changed} == {("program",)}


def test_resized_buffers_are_told_apart():
    difference = compare(make_plan(range(3)), make_plan(range(3), size=65))
    assert difference.buffers_resized == (0, 1, 2)
    assert difference.buffers_kept == ()
    assert difference.kept == (0, 1, 2)
    assert not difference.empty


def test_an_edge_more_is_another_topology():
    plan = make_plan(range(3))
    difference = compare(plan, with_node(plan, 2, after=(0, 1)))
    assert not difference.same_topology
    assert difference.kept == (0, 1, 2)
    assert not difference.empty


def test_another_kind_of_node_is_another_topology():
    plan = make_plan([0])
    copy = CopyNode(**common("copy", plan.nodes[0].key), source=0, target=0, nbytes=4)
    difference = compare(plan, with_work(plan, copy))
    assert difference.changed[0].reasons == ("kind",)
    assert not difference.same_topology


def library(**changes):
    node = LibraryNode(**common("gemm"), operation="cublas.gemm", operands={"a": 0, "c": 1}, options={"tf32": False})
    return replace(node, **changes)


def run(*arrays):
    pass


def capture(**changes):
    return replace(CaptureNode(**common("fft"), function=run, host=None, inputs=(0,), outputs=(1,)), **changes)


def copy(**changes):
    return replace(CopyNode(**common("copy"), source=0, target=1, nbytes=256), **changes)


def fill(**changes):
    return replace(FillNode(**common("fill"), target=0, value=0, nbytes=256), **changes)


def region(**changes):
    kind = RegionKind.WHEN
    return replace(RegionNode(**common("when"), kind=kind, condition=0, bodies=((fill(), copy()),)), **changes)


@pytest.mark.parametrize(
    ("node", "changes", "reason", "same_topology"),
    [
        (library, {"operation": "cublas.gemv"}, "operation", False),
        (library, {"operands": {"a": 1, "c": 1}}, "operands", True),
        (library, {"options": {"tf32": True}}, "options", True),
        (capture, {"function": print}, "function", True),
        (capture, {"host": print}, "function", True),
        (capture, {"inputs": (1,)}, "operands", True),
        (copy, {"source": 1}, "operands", True),
        (copy, {"nbytes": 128}, "size", True),
        (fill, {"target": 1}, "operands", True),
        (fill, {"value": 255}, "contents", True),
        (region, {"condition": 1}, "condition", True),
        (region, {"kind": RegionKind.WHILE}, "bodies", False),
        (region, {"bodies": ((fill(),),)}, "bodies", False),
        (region, {"bodies": ((fill(value=1), copy()),)}, "contents in a body", True),
    ],
)
def test_what_changes_the_other_nodes(node, changes, reason, same_topology):
    plan = make_plan([0, 1])
    old, new = with_work(plan, node()), with_work(plan, node(**changes))
    assert compare(old, with_work(plan, node())).empty
    difference = compare(old, new)
    assert difference.changed[0].reasons == (reason,)
    assert difference.same_topology is same_topology


def test_nodes_without_a_key_are_matched_by_name():
    plan = make_plan([0])
    old = with_work(plan, fill(key=(0, 0), name="first"), fill(key=(0, 0), name="second", value=1))
    new = with_work(plan, fill(key=(0, 0), name="second", value=1), fill(key=(0, 0), name="first"))
    assert compare(old, new).kept == (0, 1)


def test_equal_keys_are_matched_in_order():
    plan = make_plan([0])
    old = with_work(plan, fill(value=1), fill(value=2))
    assert compare(old, with_work(plan, fill(value=1), fill(value=2), fill(value=3))).added == (2,)
