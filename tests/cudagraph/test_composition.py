"""Blocks made of blocks: names, wires, order, and what a composite shows of its children."""

from __future__ import annotations

import pytest
from described import Described, binary, describe, inplace, kernel, unary
from hypothesis import given
from hypothesis import strategies as st

import cudagraph as cg
from cudagraph.errors import DescriptionError


def refused(message, say):
    with pytest.raises(DescriptionError, match=message):
        describe(say)


class Everything(cg.Block):
    """One of each thing that has a name."""

    def __init__(self):
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.x = b.input("x", (4,))
            self.p = b.parameter("p", 1.0)
            self.o = b.option("o", 1, (1, 2))
            self.w = b.weight("w", (2,))
            self.s = b.state("s", (2,))
            self.y = b.output("y", (4,))
            b.kernel(kernel("const float* x, float* y, float p"), grid=1, x=self.x, y=self.y, p=self.p)


def test_children_are_named_by_attribute_list_and_dict():
    def say(block, b):
        block.first = b.child(unary())
        block.layers = [b.child(unary()), b.child(unary())]
        block.pair = (b.child(unary()),)
        block.heads = {"q": b.child(unary()), "k": b.child(unary()), 3: b.child(unary())}
        block._hidden = b.child(unary())
        b.child(unary())
        b.child(unary(), "named")
        block.other = b.child(unary(), "given")
        block.same = block.first

    names = list(describe(say).children)
    assert names == [
        "first", "layers/0", "layers/1", "pair/0", "heads/q", "heads/k", "heads/3", "described", "described_2", "named",
        "given",
    ]  # fmt: skip


def test_automatic_names_avoid_given_ones():
    def say(block, b):
        block.a = b.child(unary())
        b.child(unary(), "a")

    assert list(describe(say).children) == ["a_2", "a"]


def test_names_of_children_that_cannot_be():
    refused("two children have the same name: a, a", lambda block, b: (b.child(unary(), "a"), b.child(unary(), "a")))
    for name in ("", "a.b"):
        refused(f"{name!r} cannot name a child of described", lambda block, b, n=name: b.child(unary(), n))
    refused("a child is a block, not 3", lambda block, b: b.child(3))


def test_a_block_has_one_place():
    child = unary()
    describe(lambda block, b: b.child(child))
    refused("already belongs to a block; build a new one", lambda block, b: b.child(child))
    twice = unary()
    refused("already belongs to a block", lambda block, b: (b.child(twice), b.child(twice)))
    refused("described cannot contain itself", lambda block, b: b.child(block))

    class Undescribed(cg.Block):
        """Its constructor says nothing."""

    refused("Undescribed has no description", lambda block, b: b.child(Undescribed()))
    owned = unary()
    owned.owner = object()
    refused("already belongs to an engine", lambda block, b: b.child(owned))


def nest(depth):
    """A block inside of a block, and so on."""

    def say(block, b):
        x = b.input("x", (4,))
        block.inner = b.child(nest(depth - 1) if depth else Everything())
        b.connect(x, block.inner.x if depth == 0 else block.inner.inputs[0])
        block.y = b.output("y", (4,))
        b.connect(block.inner.y, block.y)

    return describe(say)


@given(st.integers(0, 12))
def test_things_have_paths_at_any_depth(depth):
    block = nest(depth)
    path = "/".join(["inner"] * (depth + 1))
    assert list(block.parameters) == [f"{path}/p"]
    assert list(block.options) == [f"{path}/o"]
    assert list(block.weights) == [f"{path}/w"]
    assert list(block.states) == [f"{path}/s"]
    assert f"{path}/x" in block.ports
    assert {"x", "y"} <= block.ports.keys()
    parameter = block.parameters[f"{path}/p"]
    assert parameter.path == f"described/{path}.p"
    assert parameter.block.root is block
    assert [prefix for prefix, _ in block.walk()] == ["/".join(["inner"] * i) for i in range(depth + 2)]
    assert list(block.state_dict()) == [f"{path.replace('/', '.')}.{name}" for name in ("w", "s")]


def test_nesting_is_deep_without_recursion():
    block = nest(0)
    for _ in range(300):
        inner = block

        def say(block, b, inner=inner):
            block.inner = b.child(inner)
            b.connect(b.input("x", (4,)), inner.inputs[0])
            block.y = b.output("y", (4,))
            b.connect(inner.y, block.y)

        block = describe(say)
    assert len(list(block.walk())) == 302


def test_apply_puts_wires_and_returns_outputs():
    def say(block, b):
        x, z = b.input("x", (...,)), b.input("z", (...,))
        block.out = b.expose(b.apply(binary(), b.apply(unary(), x), z), "y")
        block.two = b.apply(describe(two))

    def two(block, b):
        for name in ("p", "q"):
            b.fill(b.output(name, (1,)))

    block = describe(say)
    assert [port.name for port in block.two] == ["p", "q"]
    assert [port.name for port in block.outputs] == ["c"]
    assert list(block.ports)[:3] == ["x", "z", "y"]
    assert len(block.description.wires) == 3
    with pytest.raises(DescriptionError, match=r"described has 2 inputs \(a, b\); 1 were given"):
        describe(lambda block, b: b.apply(binary(), b.input("x", (1,))))
    with pytest.raises(DescriptionError, match="a wire joins two ports, not 3 and"):
        describe(lambda block, b: b.apply(unary(), 3))


def test_fan_out_and_fan_in():
    def say(block, b):
        x = b.input("x", (...,))
        left, right = (b.apply(unary(), x) for _ in range(2))
        block.y = b.expose(b.apply(binary(), left, right), "y")

    block = describe(say)
    sources = [source for source, _ in block.description.wires]
    assert sources.count(block.ports["x"]) == 2


def test_exposed_things_are_own_things_under_a_new_name():
    def say(block, b):
        inner = b.child(Everything())
        block.gain = b.expose(inner.p, "gain")
        block.x = b.expose(inner.x)
        block.y = b.expose(inner.y, "out")

    block = describe(say)
    assert block.parameters["gain"] is block.parameters["everything/p"]
    assert block.ports["out"] is block.ports["everything/y"]
    assert (block.inputs, block.outputs) == ((block.x,), (block.y,))
    outer = describe(lambda o, b: b.expose(b.child(block, "middle").gain, "g"))
    assert list(outer.parameters) == ["g", "middle/gain", "middle/everything/p"]


def test_what_cannot_be_exposed():
    foreign = Everything()
    refused(
        "everything.p is not part of a child of described; only a child's ports", lambda block, b: b.expose(foreign.p)
    )
    refused("described.x is not part of a child", lambda block, b: b.expose(b.input("x", (1,))))
    refused(
        "already has something called 'x'", lambda block, b: (b.input("x", (1,)), b.expose(b.child(Everything()).x))
    )


def test_wires_that_cannot_be_drawn():
    def inner(block, b):
        block.one, block.two = b.child(unary()), b.child(unary())
        b.connect(block.one.y, block.two.x)
        b.expose(block.one.x, "x")
        b.expose(block.two.y, "y")

    foreign = unary()
    cases = {
        "described.x belongs to neither described nor one": lambda block, b: b.connect(foreign.x, b.child(unary()).x),
        "described.y belongs to neither": lambda block, b: b.connect(foreign.y, b.child(unary()).x),
        "described.x is this block's own input; it is fed from outside": lambda block, b: b.connect(
            b.child(unary()).y, b.input("x", (1,))
        ),
        "cannot feed itself; put a delay between": lambda block, b: b.connect(*[b.child(unary()).x] * 2),
        "is an output and takes no wire; the order is connect.output, input": lambda block, b: b.connect(
            b.input("x", (1,)), b.child(unary()).y
        ),
        "a wire joins two ports, not .*p: float32 = 1.0": lambda block, b: b.connect(
            b.parameter("p", 1.0), b.child(unary()).x
        ),
        "two.x is already fed by .*one.y, inside": lambda block, b: b.connect(
            b.input("x", (1,)), b.child(describe(inner)).two.x
        ),
    }
    for message, say in cases.items():
        refused(message, say)

    def twice(block, b):
        child = b.child(unary())
        for name in ("a", "b"):
            b.connect(b.input(name, (...,)), child.x)

    refused("described.x is already fed by described.a; disconnect it first", twice)


def test_an_own_output_has_one_maker():
    def wire(make):
        return lambda block, b: b.connect(b.child(unary()).y, make(b))

    def written(b):
        y = b.output("y", (...,))
        b.fill(y)
        return y

    for make in (
        written, lambda b: b.delay(b.input("x", (...,))), lambda b: b.view(b.input("x", (...,)), (1,)),
        lambda b: b.append_output("a", "float32", 1), lambda b: b.append_output("a", "float32", 1).count,
        lambda b: b.output("y", (...,), inplace=b.input("x", (...,))),
    ):  # fmt: skip
        refused("is made by described itself, so no wire can feed it", wire(make))

    def after(block, b):
        y = b.output("y", (...,))
        b.connect(b.child(unary()).y, y)
        b.fill(y)

    refused("it writes, but described.y is already fed by", after)


def test_work_may_use_the_tensors_of_children():
    def say(block, b):
        child = b.child(Everything())
        y = b.output("y", (2,))
        b.kernel(
            kernel("const float* a, const float* w, float* s, float* y"), grid=1, a=child.y, w=child.w, s=child.s, y=y
        )

    describe(say)

    def writes(block, b):
        b.fill(b.child(Everything()).y)

    refused("it writes, but everything.y is an output of another block, which alone makes it", writes)


def test_after():
    def say(block, b):
        one, two, three = (b.child(unary()) for _ in range(3))
        b.after(three, one, two)

    order = describe(say).description.order
    assert [(earlier.name, later.name) for earlier, later in order] == [
        ("described", "described_3"),
        ("described_2", "described_3"),
    ]
    foreign = unary()
    refused("after: described is not a child of described", lambda block, b: b.after(b.child(unary()), foreign))

    def itself(block, b):
        child = b.child(unary())
        b.after(child, child)

    refused("cannot run after described: they are, or share, one block", itself)


def test_blocks_print_and_compare_alone():
    one, other = Everything(), Everything()
    assert repr(one) == "Everything(x: float32[4], y: float32[4]; p=1.0)"
    assert repr(describe(lambda block, b: None)) == "Described()"
    assert repr(unary()) == "Described(x: float32[...], y: float32[...])"
    assert one == one
    assert one != other
    assert len({one, other, one}) == 2
    assert one.identity != other.identity
    assert (one.name, inplace().name) == ("everything", "described")
    assert isinstance(inplace(), Described)


def test_replacing_a_source_needs_the_same_arguments():
    block = unary("first")
    old = block.source_of(0)
    new = 'extern "C" __global__ void other(const float* x, float* y, long long n) { y[0] = 1; }'
    block.replace_source(new)
    assert block.source_of(0).signature.entry == "other"
    assert block.description.work[0].source is old
    with pytest.raises(
        DescriptionError,
        match=r"takes \(input float x\), the block binds \(input float x, output float y, value long long n\)",
    ):
        block.replace_source('extern "C" __global__ void third(const float* x) {}')
    with pytest.raises(DescriptionError, match="there is no kernel 'nope'; choose one of first"):
        block.replace_source(new, "nope")
    assert block.source_of(0).signature.entry == "other"
    two = describe(lambda block, b: (b.kernel(kernel("", "p"), grid=1), b.kernel(kernel("", "q"), grid=1)))
    with pytest.raises(DescriptionError, match="no kernel was named; choose one of p, q"):
        two.replace_source('extern "C" __global__ void p() {}')
    two.replace_source('extern "C" __global__ void p2() {}', "q")
    assert [two.source_of(i).signature.entry for i in (0, 1)] == ["p", "p2"]
