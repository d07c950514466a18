from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cudagraph.engine.check import check_plan, find_problems
from cudagraph.engine.plan import (
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
    ParameterSlot,
    Place,
    Plan,
    Pointer,
    RegionKind,
    RegionNode,
)
from cudagraph.errors import DeviceError
from cudagraph.program import Program

FLOAT = np.dtype(np.float32)


def make_buffer(index, name, count=16, place=Place.ARENA, base=None, offset=0):
    return Buffer(index, name, (count,), FLOAT, place, index if base is None else base, offset)


@pytest.fixture
def plan():
    """x -> first -> y (and its view) -> second -> z, with everything a plan can hold."""
    buffers = (
        make_buffer(0, "x", place=Place.INPUT),
        make_buffer(1, "y"),
        make_buffer(2, "z"),
        make_buffer(3, "upper y", 8, base=1, offset=32),
        make_buffer(4, "parameters", 4, Place.PARAMETERS),
        make_buffer(5, "counters", 2, Place.COUNTERS),
        make_buffer(6, "now", place=Place.DELAY),
        make_buffer(7, "before", place=Place.DELAY),
    )
    kernel = {"program": 0, "grid": (1, 1, 1), "threads": (32, 1, 1)}
    nodes = (
        FillNode(index=0, name="reset", block="", writes=(5,), target=5, value=0, nbytes=8),
        KernelNode(
            index=1,
            name="first",
            block="a",
            reads=(0,),
            writes=(1,),
            arguments=(Pointer(0), Pointer(1), Hot(0), Constant(b"1234")),
            **kernel,
        ),
        KernelNode(
            index=2,
            name="second",
            block="b",
            reads=(3,),
            writes=(2,),
            after=(1,),
            arguments=(Pointer(3), Pointer(2)),
            **kernel,
        ),
    )
    return Plan(
        buffers,
        nodes,
        (Program("// text", "entry", "a.cu"),),
        parameters=(ParameterSlot("a.gain", FLOAT, 4, ((1, 2),)),),
        counters=(Counter(0, "a.one", 10), Counter(1, "b.two", 10)),
        delays=(DelayPair(6, 7),),
        parameter_buffer=4,
        counter_buffer=5,
    )


def with_buffer(plan, index, /, **changes):
    buffers = list(plan.buffers)
    buffers[index] = replace(buffers[index], **changes)
    return replace(plan, buffers=tuple(buffers))


def with_node(plan, index, /, **changes):
    nodes = list(plan.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return replace(plan, nodes=tuple(nodes))


def added(plan, kind, /, **facts):
    node = kind(**({"index": len(plan.nodes), "name": "extra", "block": "c", "after": (len(plan.nodes) - 1,)} | facts))
    return replace(plan, nodes=(*plan.nodes, node))


def test_a_sound_plan_passes(plan):
    check_plan(plan)
    check_plan(Plan((), (), ()))


BROKEN = {
    "buffer out of place": (lambda p: with_buffer(p, 2, index=9, base=9), "at position 2 and says 9"),
    "offset of a root": (lambda p: with_buffer(p, 2, offset=4), "z owns its memory and has the offset 4"),
    "view of nothing": (lambda p: with_buffer(p, 3, base=99), "view upper y is of buffer 99"),
    "view of a view": (lambda p: with_buffer(with_buffer(p, 1, base=0), 3, base=1), "is a view itself"),
    "view of another place": (lambda p: with_buffer(p, 3, place=Place.KEPT), "said to be in kept"),
    "view past the end": (lambda p: with_buffer(p, 3, offset=36), "covers bytes 36 to 68 of y, which has 64"),
    "misaligned view": (lambda p: with_buffer(p, 3, offset=2), "float32 needs a multiple of 4"),
    "node out of place": (lambda p: with_node(p, 1, index=5), "node first is at position 1 and says 5"),
    "not topological": (lambda p: with_node(p, 1, after=(2,)), "waits for node 2, which is not before it"),
    "waits for itself": (lambda p: with_node(p, 1, after=(1,)), "waits for node 1"),
    "unknown operand": (lambda p: with_node(p, 1, reads=(99,)), "uses the buffers (99,)"),
    "unknown program": (lambda p: with_node(p, 1, program=1), "runs program 1; there are 1"),
    "empty grid": (lambda p: with_node(p, 1, grid=(0, 1, 1)), "has a grid of (0, 1, 1)"),
    "large grid": (lambda p: with_node(p, 1, grid=(1, 65536, 1)), "has a grid of (1, 65536, 1)"),
    "many threads": (lambda p: with_node(p, 1, threads=(64, 32, 1)), "has (64, 32, 1) threads"),
    "deep threads": (lambda p: with_node(p, 1, threads=(1, 1, 65)), "has (1, 1, 65) threads"),
    "undeclared pointer": (lambda p: with_node(p, 2, arguments=(Pointer(0),)), "arguments of second hold buffer 0"),
    "unknown parameter": (lambda p: with_node(p, 2, arguments=(Hot(3),)), "argument 0 of second follows parameter 3"),
    "one-sided use": (lambda p: with_node(p, 2, arguments=(Hot(0),)), "argument 0 of second follows parameter 0"),
    "lost use": (lambda p: with_node(p, 1, arguments=()), "a.gain is used by argument 2 of node 1"),
    "parameter outside": (
        lambda p: replace(p, parameters=(replace(p.parameters[0], offset=16),)),
        "a.gain is at byte 16 of a block of 16",
    ),
    "counter outside": (lambda p: replace(p, counters=(Counter(2, "c.three", 1),)), "c.three is number 2 of 2"),
    "counters without a buffer": (lambda p: replace(p, counter_buffer=None), "a.one is number 0 of 0"),
    "unequal delay": (lambda p: with_buffer(p, 7, shape=(3,)), "now and before cannot swap"),
    "large fill": (lambda p: with_node(p, 0, nbytes=12), "reset moves 12 bytes; counters has 8"),
    "wide fill value": (lambda p: with_node(p, 0, value=256), "fills with 256"),
    "undeclared fill": (lambda p: with_node(p, 0, target=4), "target of reset hold buffer 4"),
    "undeclared copy": (
        lambda p: added(p, CopyNode, reads=(1,), writes=(2,), source=0, target=2, nbytes=4),
        "source of extra hold buffer 0",
    ),
    "undeclared operand": (
        lambda p: added(p, LibraryNode, reads=(1,), operation="cublas.gemm", operands={"a": 1, "c": 2}, options={}),
        "operands of extra hold buffer 2",
    ),
    "undeclared output": (
        lambda p: added(p, CaptureNode, reads=(1, 2), function=print, host=None, inputs=(1,), outputs=(2,)),
        "outputs of extra hold buffer 2",
    ),
    "broken body": (
        lambda p: added(p, RegionNode, kind=RegionKind.WHEN, condition=0, bodies=((replace(p.nodes[2], index=0),),)),
        "in extra: node 0 (second) waits for node 1",
    ),
    "read after write": (lambda p: with_node(p, 2, after=()), "first writes y and second reads it, but nothing orders"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_told(plan, name):
    change, message = BROKEN[name]
    with pytest.raises(DeviceError) as caught:
        check_plan(change(plan))
    assert message in str(caught.value)


def test_library_scalars_live_in_the_parameter_block(plan):
    operands = {"c": 2, "alpha": 4}
    check_plan(added(plan, LibraryNode, writes=(2,), operation="cublas.gemm", operands=operands, options={}))


def accesses(*nodes):
    """Nodes given as (reads, writes, after) over four floats (0), their halves (1 and 2) and their middle (3)."""
    views = [make_buffer(1, "low", 2, base=0), make_buffer(2, "high", 2, base=0, offset=8)]
    buffers = (make_buffer(0, "t", 4), *views, make_buffer(3, "middle", 2, base=0, offset=4))
    made = [
        CaptureNode(
            index=index,
            name=f"n{index}",
            block="",
            reads=reads,
            writes=writes,
            after=after,
            function=print,
            host=None,
            inputs=reads,
            outputs=writes,
        )
        for index, (reads, writes, after) in enumerate(nodes)
    ]
    return Plan(buffers, tuple(made), ())


@pytest.mark.parametrize(
    ("nodes", "problems"),
    [
        ([((0,), (), ()), ((0,), (), ())], 0),  # two readers
        ([((), (0,), ()), ((0,), (), ())], 1),  # read after write
        ([((0,), (), ()), ((), (0,), ())], 1),  # write after read
        ([((), (1,), ()), ((), (2,), ())], 0),  # two halves
        ([((), (1,), ()), ((), (3,), ())], 1),  # half and middle
        ([((), (1,), ()), ((), (2,), ()), ((0,), (), (0,))], 1),  # waits for one of its two writers
        ([((), (1,), ()), ((), (2,), ()), ((0,), (), (1,))], 1),
        ([((0,), (0,), ())], 0),  # in place
        ([((), (1,), ()), ((), (2,), ()), ((0,), (), (0, 1))], 0),
        ([((), (0,), ()), ((0,), (), (0,)), ((0,), (), (0,)), ((), (0,), (1,))], 1),  # one reader is overtaken
        ([((), (0,), ()), ((0,), (), (0,)), ((0,), (), (0,)), ((), (0,), (1, 2))], 0),
    ],
)
def test_accesses_to_the_same_bytes_are_ordered(nodes, problems):
    assert len(find_problems(accesses(*nodes))) == problems


def test_what_a_body_touches_counts_for_its_region(plan):
    inner = FillNode(index=0, name="inner", block="c", writes=(1,), target=1, value=0, nbytes=64)
    region = {"kind": RegionKind.WHEN, "condition": 0, "bodies": ((inner,),), "reads": (0,)}
    assert not find_problems(added(plan, RegionNode, **region))
    (problem,) = find_problems(added(plan, RegionNode, **region, after=(1,)))
    assert problem == "second reads y and extra writes it, but nothing orders the two"


def test_a_long_list_is_cut_short(plan):
    nodes = tuple(replace(plan.nodes[1], index=i, grid=(0, 1, 1)) for i in range(20))
    with pytest.raises(DeviceError, match=r"more$"):
        check_plan(replace(plan, nodes=nodes))
