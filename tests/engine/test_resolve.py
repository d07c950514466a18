"""Shapes and dtypes found along wires, and what is said when they cannot be."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from described import binary, bound, context, delay, describe, kernel, unary
from hypothesis import given
from hypothesis import strategies as st

import cudagraph as cg
from cudagraph.engine.flatten import flatten
from cudagraph.engine.lower import lower
from cudagraph.engine.resolve import Resolver
from cudagraph.errors import CudaGraphError, ShapeError

F4 = np.dtype(np.float32)


def shapes(made, types):
    """Every buffer's shape and dtype by name."""
    return {buffer.name: (buffer.shape, buffer.dtype) for buffer in lower(made, types).buffers}


def refused(made, types, message, block=None):
    with pytest.raises(ShapeError, match=message) as caught:
        lower(made, types)
    if block is not None:
        assert caught.value.block is block


def matmul(block, b):
    block.a, block.b = b.input("a", (..., "m", "k"), "T"), b.input("b", ("k", "n"), "T")
    block.c = b.output("c", (*block.a.shape[:-1], "n"), "T")
    b.kernel(
        kernel("const T* a, const T* b, T* c, int k"), elements=block.c.size, a=block.a, b=block.b, c=block.c, k="k"
    )


@given(st.lists(st.integers(1, 4), max_size=2).map(tuple), *[st.integers(1, 5)] * 4, st.permutations(range(3)))
def test_names_are_found_whatever_the_order_of_blocks(lead, m, k, n, p, order):
    first, second, third = describe(matmul), describe(matmul), unary()
    made = context(*[[first, second, third][i] for i in order], wires=[(first.c, second.a), (second.c, third.x)])
    types = {**bound(first.a, shape=(*lead, m, k)), **bound(first.b, shape=(k, n)), **bound(second.b, shape=(n, p))}
    found = shapes(made, types)
    assert found[f"{first.path}.c"] == ((*lead, m, n), F4)
    assert found[f"{third.path}.y"] == ((*lead, m, p), F4)


def test_a_new_batch_size_needs_no_new_block():
    block = unary()
    made = context(block)
    for batch in (1, 7, 1000):
        plan = lower(made, bound(block.x, shape=(batch, 3)))
        assert plan.buffers[plan.ports[block.y]].shape == (batch, 3)
        assert plan.nodes[0].grid == (-(-3 * batch // 256), 1, 1)


@pytest.mark.parametrize(
    "dtype", [np.float64, np.int32, ml_dtypes.bfloat16, np.bool_, np.dtype([("a", "f4"), ("b", "f4")])]
)
def test_open_types_run_along_wires(dtype):
    def fixed(block, b):
        block.x = b.input("x", (...,), dtype)
        b.kernel(kernel("const S* x"), elements=block.x.size, x=block.x)

    one, two, last = unary(dtype="T"), unary(dtype="T"), describe(fixed)
    made = context(last, two, one, wires=[(one.y, two.x), (two.y, last.x)])
    assert {dtype for _, dtype in shapes(made, bound(one.x, dtype=dtype)).values()} == {np.dtype(dtype)}


def test_the_same_letter_is_the_same_type_in_a_block_only():
    one, two = describe(matmul), unary(dtype="T")
    made = context(one, two)
    types = {**bound(one.a, one.b, shape=(2, 2), dtype=np.float16), **bound(two.x, dtype=np.int8)}
    found = shapes(made, types)
    assert found["described.c"][1] == np.float16
    assert found["described_2.y"][1] == np.int8
    refused(made, {**bound(one.a, shape=(2, 2), dtype=np.float16), **bound(one.b, shape=(2, 2)), **bound(two.x)},
            r"bound to described.b: float32\[2, 2\] does not fit T\[k, n\]: float32 is not float16", one)  # fmt: skip


def test_contradictions_name_both_ends():
    def flat(block, b):
        block.x = b.input("x", ("n",))
        block.y = b.output("y", ("n",))
        b.copy(block.x, block.y)

    def take(*shape, dtype="float32"):
        def say(block, b):
            block.x = b.input("x", shape, dtype)
            b.kernel(kernel("const X* x"), grid=1, x=block.x)

        return describe(say)

    one = describe(flat)
    for other, problem in (
        (take(4), r"float32\[8\] does not fit float32\[4\]: 8 is not 4"),
        (take("a", "b"), r"float32\[8\] does not fit float32\[a, b\]: it needs 2 dimensions"),
        (take("n", dtype="float16"), r"float32\[8\] does not fit float16\[n\]: float32 is not float16"),
    ):
        made = context(one, other, wires=[(one.y, other.x)])
        refused(made, bound(one.x), rf"described.y -> described_2.x: {problem}", other)
        made.remove(other)
        made.remove(one)


def test_two_inputs_of_a_block_contradict_each_other():
    block = binary()
    made = context(block)
    refused(made, {**bound(block.a), **bound(block.b, shape=(4,))},
            r"described.b: float32\[4\] does not fit float32\[...\]: `...` is already \[8\]", block)  # fmt: skip


def test_inputs_with_sizes_in_their_shape_are_checked():
    def say(block, b):
        block.x = b.input("x", ("n",))
        block.half = b.input("half", (block.x.size // 2,))
        block.y = b.output("y", ("n",))
        b.kernel(kernel("const float* x, const float* h, float* y"), grid=1, x=block.x, h=block.half, y=block.y)

    block = describe(say)
    made = context(block)
    lower(made, {**bound(block.x), **bound(block.half, shape=(4,))})
    refused(made, {**bound(block.x), **bound(block.half, shape=(5,))},
            r"float32\[5\] does not fit float32\[\(x.size // 2\)\]: that is \[4\] here", block)  # fmt: skip


def test_what_nothing_feeds_says_what_to_type():
    one, two = unary(), unary()
    made = context(one, two, wires=[(one.y, two.x)])
    refused(
        made,
        {},
        r"x is fed by nothing: engine.connect\(some_output, described.x\) or engine.bind\(described.x, array\)",
        one,
    )

    def say(block, b):
        block.x = b.input("x", (...,))
        block.inner = b.child(unary())
        b.connect(block.x, block.inner.x)

    outer = describe(say)
    refused(context(outer), {}, r"described.x is fed by nothing: engine.connect", outer)


def test_what_nothing_decides_says_so():
    def say(block, b):
        block.y = b.output("y", ("n", 2))
        block.s = b.scratch(("m",))
        b.fill(block.y)

    block = describe(say)
    refused(
        context(block),
        {},
        r"described.y: the shape \[n, 2\] \(float32\) of this output is not known; connect or bind the inputs",
        block,
    )

    def scratch(block, b):
        b.fill(b.scratch(("m",)))

    refused(context(describe(scratch)), {}, r"scratch0: the shape \[m\] .* of this scratch is not known")

    def state(block, b):
        b.fill(b.state("s", ("m",)))

    refused(context(describe(state)), {}, r"described.s: the shape \[m\] .* of this state is not known")

    def grid(block, b):
        b.kernel(kernel(""), grid=cg.Dim("m") * 2)

    refused(context(describe(grid)), {}, r"described: \(m \* 2\) is not known, because nothing decides m")

    def literal(block, b):
        b.kernel(kernel("int n"), grid=1, n="rows")

    refused(context(describe(literal)), {}, r"described: rows is not known, because nothing decides rows")


def test_dimensions_that_come_out_negative():
    def say(block, b):
        block.x = b.input("x", ("n",))
        block.y = b.output("y", (cg.Dim("n") - 10,))
        b.fill(block.y)

    block = describe(say)
    refused(context(block), bound(block.x), r"\(n - 10\) is -2; a dimension cannot be negative", block)


def test_a_dimension_that_is_not_there():
    def say(block, b):
        block.x = b.input("x", (...,))
        block.y = b.output("y", (block.x.shape[2],))
        b.fill(block.y)

    block = describe(say)
    refused(
        context(block),
        bound(block.x),
        r"x.shape\[2\] does not exist: described.x.* has 1 dimension here: \[8\]",
        block,
    )


def test_empty_tensors_are_tensors():
    block = unary()
    plan = lower(context(block), bound(block.x, shape=(0, 3)))
    assert plan.nodes[0].grid == (1, 1, 1)
    assert plan.buffers[plan.ports[block.y]].nbytes == 0


def test_sizes_of_grandchildren_decide_an_outer_shape():
    def middle(block, b):
        block.x = b.input("x", (...,))
        first, block.inner = b.child(unary()), b.child(unary())
        b.connect(block.x, first.x)
        b.connect(first.y, block.inner.x)

    def outer(block, b):
        block.source, block.middle = b.child(unary()), b.child(describe(middle))
        b.connect(block.source.y, block.middle.x)
        b.fill(b.scratch((block.middle.inner.y.size * 2,)))

    block, before = describe(outer), unary()
    made = context(block, before, wires=[(before.y, block.source.x)])
    assert shapes(made, bound(before.x))["described.scratch0"][0] == (16,)


def test_a_delay_has_the_type_of_its_source_not_the_names():
    """Its block may use the same names for something else."""

    def inner(block, b):
        block.x = b.input("x", ("n",), "T")
        block.y = b.output("y", ("n",), "T")
        b.copy(block.x, block.y)

    def outer(block, b):
        block.x, block.z = b.input("x", ("n",), "T"), b.input("z", (5,), "float16")
        block.inner = b.child(describe(inner))
        b.connect(block.z, block.inner.x)
        block.before = b.delay(block.inner.y)
        block.view = b.view(block.inner.y, ("n",), name="view")
        block.later = b.child(unary(dtype="T"))  # the block is looked at once more when this one is known
        b.connect(block.before, block.later.x)
        block.y = b.output("y", (block.before.shape[0] * 2,))
        b.fill(block.y)

    block = describe(outer)
    plan = lower(context(block), {**bound(block.x, shape=(3,)), **bound(block.z, shape=(5,), dtype=np.float16)})
    assert plan.buffers[plan.ports[block.before]].shape == (5,)
    assert plan.buffers[plan.ports[block.before]].dtype == np.float16
    assert plan.buffers[plan.ports[block.view]].shape == (3,)
    assert plan.buffers[plan.ports[block.y]].shape == (10,)


def test_a_circle_gets_its_shape_from_a_delay_that_says_it():
    def said(block, b):
        block.x = b.input("x", (4, 5), "float32")
        block.y = b.delay(block.x, name="y")

    step, before = unary(), describe(said)
    assert shapes(context(step, before, wires=[(step.y, before.x), (before.y, step.x)]), {})["described.y"] == (
        (4, 5),
        F4,
    )
    free = delay()
    made = context(unary(), free)
    made.connect(made.blocks["described"].y, free.x)
    made.connect(free.y, made.blocks["described"].x)
    refused(made, {}, r"of this output is not known; connect or bind the inputs")


def test_blocks_that_do_nothing_need_nothing():
    idle = describe(lambda block, b: setattr(block, "x", b.input("x", ("n",))))
    plan = lower(context(idle, unary_bound := unary()), bound(unary_bound.x))
    assert [node.block for node in plan.nodes] == ["described_2"]


def test_a_resolver_can_be_asked_alone():
    block = unary()
    flat = flatten(context(block))
    resolver = Resolver(flat, bound(block.x))
    resolver.run()
    assert resolver.type_of(block.y) == ((8,), F4)
    assert resolver.scopes[block].size(block.y.size * 2) == 16
    with pytest.raises(CudaGraphError, match="divides by zero"):
        resolver.scopes[block].size(4 // (block.y.size - 8))
