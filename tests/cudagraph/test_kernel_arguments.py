"""Binding arguments by name: every mistake gets a message with the valid choices."""

from __future__ import annotations

import numpy as np
import pytest
from described import describe, kernel

import cudagraph as cg
from cudagraph.errors import DescriptionError
from cudagraph.signature import ArgumentKind

SIGNATURE = "const float* x, const float* gain, float* y, float factor, int count, long long n"


def say(block, b):
    block.x = b.input("x", (...,))
    block.record = b.input("record", ("n",), np.dtype([("a", "f4"), ("b", "f4")]))
    block.open = b.input("open", ("n",), "T")
    block.y = b.output("y", block.x.shape)
    block.half = b.output("half", block.x.shape, "float16")
    block.w = b.weight("w", (4,))
    block.s = b.state("s", (4,))
    block.scratch = b.scratch((4,))
    block.gain = b.parameter("gain", 1.0)
    block.count = b.parameter("count", 1, "int32")
    block.vector = b.parameter("vector", (0, 0, 0), "float3")
    block.before = b.delay(block.y)
    block.view = b.view(block.y, (1,))
    b.fill(block.half)
    b.fill(block.y)
    good = {"x": block.x, "gain": block.gain, "y": block.y, "factor": 2.0, "count": 3, "n": block.y.size}
    b.kernel(kernel(SIGNATURE), elements=block.y.size, **(good | block.changes(block)))


def bind(changes=lambda block: {}):
    class Binding(cg.Block):
        def __init__(self):
            super().__init__()
            self.changes = changes
            with cg.BlockBuilder(self) as b:
                say(self, b)

    return Binding()


def refused(message, changes):
    with pytest.raises(DescriptionError, match=message) as caught:
        bind(changes)
    assert "binding:work (work.cu)" in str(caught.value)


def test_arguments_are_kept_in_the_kernel_s_order():
    work = bind().description.work[2]
    assert [argument.name for argument, _ in work.arguments] == ["x", "gain", "y", "factor", "count", "n"]
    assert [argument.kind for argument, _ in work.arguments][:4] == [
        ArgumentKind.INPUT, ArgumentKind.INPUT, ArgumentKind.OUTPUT, ArgumentKind.VALUE,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        lambda block: {"x": block.w}, lambda block: {"x": block.s, "y": block.s}, lambda block: {"x": block.scratch},
        lambda block: {"x": block.before}, lambda block: {"x": block.view}, lambda block: {"gain": block.x},
        lambda block: {"factor": block.gain, "count": block.count}, lambda block: {"factor": 2, "count": np.int64(3)},
        lambda block: {"factor": np.float32(2), "n": "n"}, lambda block: {"n": cg.Dim("n") * 2, "count": True},
        lambda block: {"factor": block.x.size, "x": block.record},
    ],
)  # fmt: skip
def test_what_fits(changes):
    bind(changes)


def test_unknown_argument_lists_the_names_and_the_nearest():
    refused(
        "has no argument 'gane'; it takes x, gain, y, factor, count, n; did you mean 'gain'?", lambda block: {"gane": 1}
    )
    with pytest.raises(DescriptionError, match=r"has no argument 'zzz'; it takes x, gain, y, factor, count, n$"):
        bind(lambda block: {"zzz": 1})


def test_an_unknown_argument_may_mean_the_one_that_is_not_bound():
    class Renamed(cg.Block):
        def __init__(self):
            super().__init__()
            with cg.BlockBuilder(self) as b:
                b.kernel(kernel("int radius"), elements=1, size=3)

    with pytest.raises(DescriptionError, match="has no argument 'size'; it takes radius; did you mean 'radius'"):
        Renamed()


def test_unbound_arguments_are_named_with_the_whole_signature():
    class Missing(cg.Block):
        def __init__(self):
            super().__init__()
            with cg.BlockBuilder(self) as b:
                b.kernel(kernel(SIGNATURE), elements=1, factor=1.0)

    with pytest.raises(DescriptionError) as caught:
        Missing()
    assert str(caught.value).endswith(
        "nothing is bound to x, gain, y, count, n: give it x=...; "
        "it takes const float* x, const float* gain, float* y, float factor, int count, long long n"
    )


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        # wrong kind
        ("factor is float, by value; .*x is a tensor. It takes a parameter", lambda block: {"factor": block.x}),
        ("is a pointer .const float. x.; it takes a tensor to read, or a parameter, not", lambda block: {"x": 1.0}),
        ("argument y is a pointer .float. y.; it takes a tensor to write, not None", lambda block: {"y": None}),
        ("written by the kernel; .*gain is a parameter. It takes a tensor to write", lambda block: {"y": block.gain}),
        (r"argument factor takes a parameter, a number or a size, not \[1\]", lambda block: {"factor": [1]}),
        ("takes a parameter, a number or a size, not a complex64", lambda block: {"factor": np.complex64(1)}),
        # const mismatch
        ("but binding.x is an input. Declare an output .with inplace=x to", lambda block: {"y": block.x}),
        ("binding.w is a weight, which kernels only read; use b.state", lambda block: {"y": block.w}),
        ("binding.y_before is a delay of another port and cannot be written", lambda block: {"y": block.before}),
        ("binding.y_view is a view of another port and cannot be written", lambda block: {"y": block.view}),
        # wrong types
        (r"argument y is float\* \(float32\); binding.half is float16", lambda block: {"y": block.half}),
        (r"float\*; binding.open has the open type T. Declare it float32, or use T", lambda block: {"x": block.open}),
        ("count is int; the parameter .*gain is float32. Declare it 'int32'", lambda block: {"count": block.gain}),
        ("the parameter binding.vector is float3. Declare it 'float32'", lambda block: {"factor": block.vector}),
        ("argument gain is float; the parameter binding.count is int32", lambda block: {"gain": block.count}),
        ("argument count is int; 1.5 is not an integer", lambda block: {"count": 1.5}),
        ("argument n is long long; .* is not an integer", lambda block: {"n": np.float32(3)}),
        ("argument n is long long; nan is not an integer", lambda block: {"n": float("nan")}),
    ],
)  # fmt: skip
def test_what_does_not_fit(message, changes):
    refused(message, changes)


def test_a_tensor_of_another_block_cannot_be_bound():
    other = bind()
    refused("binding.x belongs to neither binding nor one of its children", lambda block: {"x": other.x})
    refused("binding.s belongs to neither", lambda block: {"y": other.s})


def test_vectors_bind_to_vector_arguments():
    def good(block, b):
        block.p = b.parameter("p", (1, 2, 3), "float3")
        block.x = b.input("x", ("n", 4))
        block.y = b.output("y", ("n", 4))
        b.kernel(
            kernel("const float4* x, float4* y, float3 p, const float3* q"),
            elements="n",
            x=block.x,
            y=block.y,
            p=block.p,
            q=block.p,
        )

    describe(good)

    def bad(block, b):
        b.kernel(kernel("float3 p"), grid=1, p=b.parameter("p", (1, 2), "float2"))

    with pytest.raises(
        DescriptionError, match=r"argument p is float3; the parameter described.p is float2. Declare it 'float3'"
    ):
        describe(bad)

    def literal(block, b):
        b.kernel(kernel("float3 p"), grid=1, p=(1, 2, 3))

    with pytest.raises(DescriptionError, match="argument p takes a parameter, a number or a size"):
        describe(literal)


def test_open_types_take_any_element_type():
    def say_open(block, b):
        x = b.input("x", (...,), "T")
        b.kernel(
            kernel("const T* x, T* y, T gain"),
            elements=x.size,
            x=x,
            y=b.output("y", x.shape, "T"),
            gain=b.parameter("gain", 1.0),
        )

    describe(say_open)


def test_a_kernel_without_arguments():
    describe(lambda block, b: b.kernel(kernel(""), grid=1))
    with pytest.raises(DescriptionError, match="has no argument 'x'"):
        describe(lambda block, b: b.kernel(kernel(""), grid=1, x=1))
