"""The words of a constructor: each is checked as it is said, and nothing half-said remains."""

from __future__ import annotations

import numpy as np
import pytest
from described import Described, describe, inplace, kernel, unary

import cudagraph as cg
from cudagraph.errors import DescriptionError, ShapeError
from cudagraph.option import Option
from cudagraph.shape import Dim
from cudagraph.work import Capture, Copy, Fill, Kernel, LibraryCall


def refused(message, say, error=DescriptionError):
    with pytest.raises(error, match=message):
        describe(say)


def launch(block, b, **options):
    x = b.input("x", (...,))
    y = b.output("y", x.shape)
    b.kernel(kernel("const float* x, float* y"), x=x, y=y, **options)


def test_an_exception_leaves_nothing_described():
    kept = {}
    child = unary()

    class Failing(cg.Block):
        def __init__(self):
            super().__init__()
            kept["block"] = self
            with cg.BlockBuilder(self) as b:
                b.input("x", (4,))
                b.child(child)
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Failing()
    with pytest.raises(
        DescriptionError, match=r"Failing has no description: its constructor needs `with cg.BlockBuilder"
    ):
        _ = kept["block"].description
    assert repr(kept["block"]) == "Failing(not described yet)"
    assert child.parent is None
    describe(lambda block, b: b.child(child))  # it is free for another one


def test_a_description_never_changes():
    builders = []
    block = describe(lambda block, b: builders.append(b))
    (b,) = builders
    words = [
        lambda: b.input("x", (1,)), lambda: b.output("y", (1,)), lambda: b.parameter("p", 1.0),
        lambda: b.option("o", 1, [1]), lambda: b.weight("w", (1,)), lambda: b.state("s", (1,)), lambda: b.scratch((1,)),
        lambda: b.append_output("a", "int8", 1), lambda: b.child(unary()), lambda: b.kernel(kernel(""), grid=1),
        lambda: b.after(block), lambda: b.capture(print),
        lambda: b.connect(unary().y, unary().x), lambda: b.library("cublas.gemm"),
    ]  # fmt: skip
    for word in words[:-1]:
        with pytest.raises(
            DescriptionError, match="described is described; a description never changes after the `with`"
        ):
            word()
    with pytest.raises(DescriptionError, match="described is already described; a description never changes"):
        cg.BlockBuilder(block)
    with pytest.raises(AttributeError):
        block.description.ports = ()
    assert block.description.ports == ()


def test_two_builders_at_once():
    class Twice(cg.Block):
        def __init__(self):
            super().__init__()
            with cg.BlockBuilder(self) as first, cg.BlockBuilder(self) as second:
                first.input("x", (1,))
                second.input("x", (1,))

    with pytest.raises(DescriptionError, match="already described"):
        Twice()


def test_super_comes_first():
    class Forgot(cg.Block):
        def __init__(self):
            with cg.BlockBuilder(self):
                pass

    with pytest.raises(DescriptionError, match=r"Forgot.__init__ must call super\(\).__init__\(\) before it describes"):
        Forgot()


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a.b", "1a"])
def test_names_are_identifiers(name):
    refused(f"described: {name!r} is not a name; use letters, digits", lambda block, b: b.input(name, (1,)))


def test_names_are_unique_among_all_things_of_a_block():
    words = [
        lambda b: b.input("a", (1,)), lambda b: b.parameter("a", 1.0), lambda b: b.option("a", 1, [1]),
        lambda b: b.weight("a", (1,)),
        lambda b: b.state("a", (1,)), lambda b: b.scratch((1,), name="a"), lambda b: b.append_output("a", "int8", 1),
    ]  # fmt: skip
    for first in words:
        for second in words:
            refused(
                "already has something called 'a'; names are unique", lambda block, b, f=first, s=second: (f(b), s(b))
            )


def test_every_output_is_made_by_something():
    refused("nothing makes described.y: bind it to an output of a kernel", lambda block, b: b.output("y", (1,)))
    refused("nothing makes described.y", lambda block, b: b.output("y", (1,), inplace=b.input("x", (1,))))
    describe(lambda block, b: b.fill(b.output("y", (1,))))
    describe(
        lambda block, b: (b.append_output("y", "int8", 1), b.delay(b.input("x", (1,))), b.view(b.input("z", (1,)), ()))
    )


@pytest.mark.parametrize(
    "make", [lambda b: b.output("o", (4,)), lambda b: unary().x, lambda b: b.view(b.input("i", (4,)), (4,))]
)
def test_inplace_takes_an_own_input(make):
    refused(
        "output y: inplace must be an input of described, not", lambda block, b: b.output("y", (4,), inplace=make(b))
    )


def test_a_launch_has_either_elements_or_a_grid():
    cases = ((None, None, "neither was"), (1, 1, "both were"), (cg.Dim("n"), cg.Dim("n"), "both were"))
    for elements, grid, given in cases:
        refused(
            f"give either elements= .one thread each. or grid=; {given} given",
            lambda block, b, e=elements, g=grid: launch(block, b, elements=e, grid=g),
        )


def test_threads_and_grids():
    work = describe(lambda block, b: launch(block, b, grid=(2, "n"), threads=(8, 4))).description.work[0]
    assert (work.grid, work.threads, work.elements) == ((2, "n", 1), (8, 4, 1), None)
    work = describe(lambda block, b: launch(block, b, elements=3)).description.work[0]
    assert (work.grid, work.threads, work.shared) == (None, (256, 1, 1), 0)
    bounded = describe(lambda block, b: b.kernel(kernel("", bounds="__launch_bounds__(64)"), grid=1)).description.work[
        0
    ]
    assert bounded.threads == (64, 1, 1)
    for wrong in ((), (1, 2, 3, 4)):
        refused(
            "threads and grid have one to three dimensions, not", lambda block, b, w=wrong: launch(block, b, grid=w)
        )


def test_shared_memory_may_depend_on_shapes():
    work = describe(lambda block, b: launch(block, b, grid=1, shared=cg.Dim("n") * 4)).description.work[0]
    assert str(work.shared) == "(n * 4)"


def test_equal_kernels_get_names_of_their_own():
    def say(block, b):
        for _ in range(3):
            b.kernel(kernel("", "same"), grid=1)

    assert [work.name for work in describe(say).description.work] == ["same", "same_2", "same_3"]


def test_macros():
    def say(block, b):
        option = b.option("mode", 1, (1, 2))
        b.kernel(kernel(""), grid=1, define={"N": cg.Dim("n"), "EPS": "1e-5f", "MODE": option, "K": 3, "ON": True})

    define = dict(describe(say).description.work[0].define)
    assert isinstance(define["MODE"], Option)
    assert (define["EPS"], define["K"]) == ("1e-5f", 3)
    for name, value in (("EPS", 1e-5), ("X", None), ("X", [1])):
        refused(
            f"the macro {name} is an integer, a size or C.. text such as '0.5f', not",
            lambda block, b, n=name, v=value: b.kernel(kernel(""), grid=1, define={n: v}),
        )
    refused("'a b' cannot name a macro", lambda block, b: b.kernel(kernel(""), grid=1, define={"a b": 1}))
    refused("not 0.5", lambda block, b: b.kernel(kernel(""), grid=1, define={"X": b.option("o", 0.5, [0.5])}))


def test_elementwise_binds_what_it_names():
    def say(block, b):
        x, s = b.input("x", (...,), "T"), b.input("s", (1,))
        y = b.output("y", x.shape, "T")
        b.elementwise("y = gain * x + s * k", x=x, s=s, y=y, gain=b.parameter("gain", 2.0), k=3.0)

    (work,) = describe(say).description.work
    assert [argument.name for argument, _ in work.arguments] == ["x", "s", "y", "gain", "k", "n"]
    assert str(work.arguments[-1][1]) == "y.size" and str(work.elements).startswith("ceil_div(y.size, ")


@pytest.mark.parametrize("name", ["n", "grid", "shared", "elements", "define"])
def test_elementwise_operands_may_be_called_anything(name):
    def say(block, b):
        x = b.input("x", (...,))
        b.elementwise(f"y = {name} * 2", y=b.output("y", x.shape), **{name: x})

    (work,) = describe(say).description.work
    assert {argument.name: bound for argument, bound in work.arguments}[name].name == "x"


def test_elementwise_writes_tensors():
    refused(
        "y: a port, weight, state or scratch is wanted, not 1.0",
        lambda block, b: b.elementwise("y = x", x=b.input("x", (1,)), y=1.0),
    )
    refused("y is not bound to anything", lambda block, b: b.elementwise("y = x", x=b.input("x", (1,))))
    refused("it writes, but described.x is an input", lambda block, b: b.elementwise("x = 1", x=b.input("x", (1,))))


def gemm(block, b, **changes):
    tensors = {"a": b.input("a", ("m", "k")), "b": b.input("b", ("k", "n")), "c": b.output("c", ("m", "n"))}
    b.fill(tensors["c"])
    arguments = {name: value(block, b) if callable(value) else value for name, value in changes.items()}
    b.library("cublas.gemm", **{name: value for name, value in (tensors | arguments).items() if value is not None})


def test_library_calls_have_defaults():
    call = describe(lambda block, b: gemm(block, b, alpha=2, epilogue="relu")).description.work[1]
    assert isinstance(call, LibraryCall)
    assert (call.name, list(call.inputs), list(call.outputs)) == ("gemm", ["a", "b"], ["c"])
    assert call.scalars == {"alpha": 2, "beta": 0.0}
    assert call.options == {"transpose_a": False, "transpose_b": False, "epilogue": "relu", "tf32": False}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"d": 1},
            "described:cublas.gemm has no argument 'd'; choose from a, b, c_in, bias, c, alpha, beta, transpose_a",
        ),
        ({"a": None}, "described:cublas.gemm needs a="),
        ({"c": None}, "described:cublas.gemm needs c="),
        ({"a": 1.0}, "cublas.gemm a: a port, weight, state or scratch is wanted, not 1.0"),
        ({"c": lambda block, b: b.input("z", (1,))}, "cublas.gemm c: it writes, but described.z is an input"),
        ({"alpha": "2"}, "alpha: a parameter or a number is wanted, not '2'"),
        ({"alpha": True}, "alpha: a parameter or a number is wanted, not True"),
        ({"epilogue": "tanh"}, "epilogue cannot be 'tanh'; choose one of 'none', 'relu', 'gelu_tanh'"),
        ({"epilogue": lambda block, b: b.option("e", "relu", ("relu", "tanh"))}, "epilogue cannot be 'tanh'"),
    ],
)
def test_library_mistakes(changes, message):
    refused(message, lambda block, b: gemm(block, b, **changes))


def convolution(block, b, **changes):
    x, weight, y = b.input("x", ("n", 4, "h")), b.input("w", (4, 4, 3)), b.output("y", ("n", 4, "h"))
    b.library("cudnn.convolution", x=x, weight=weight, y=y, **changes)


def test_library_options_that_are_no_choice_are_numbers_or_sizes():
    size = Dim("h") // 2
    call = describe(lambda block, b: convolution(block, b, before=(1,), after=size)).description.work[0]
    assert isinstance(call, LibraryCall)
    assert call.options["before"] == (1,) and call.options["after"] is size
    assert (call.options["stride"], call.options["activation"]) == (1, "none")


@pytest.mark.parametrize(("name", "value"), [("stride", 0), ("before", -1), ("dilation", (1, 2.5)), ("after", True)])
def test_library_sizes_that_are_none(name, value):
    low = int(name in ("stride", "dilation"))
    message = f"cudnn.convolution {name}: a whole number from {low} on, a size, or a tuple of them is wanted, not"
    refused(message, lambda block, b: convolution(block, b, **{name: value}))


def test_unknown_library_operations():
    refused(
        "there is no library operation 'cublas.gem'; choose one of .*cublas.gemm",
        lambda block, b: b.library("cublas.gem"),
    )


def test_copy_fill_and_capture():
    def say(block, b):
        x, y, z = b.input("x", (4,)), b.output("y", (4,)), b.output("z", (4,))
        b.copy(x, y)
        b.fill(z, 255)
        b.capture(print, inputs=[x], outputs=[y], host=max)
        b.copy(x, y)

    copy, fill, capture, again = describe(say).description.work
    assert (type(copy), type(fill), type(capture)) == (Copy, Fill, Capture)
    assert (copy.name, again.name, capture.name, fill.value) == ("copy", "copy_2", "print", 255)
    for wrong in (-1, 256, 1.5, "1", None):
        refused("fill sets bytes: the value is 0 to 255, not", lambda block, b, w=wrong: b.fill(b.output("y", (1,)), w))
    refused(
        "copy target: it writes, but described.x is an input",
        lambda block, b: b.copy(b.output("y", (1,)), b.input("x", (1,))),
    )
    refused(
        "copy source: a port, weight, state or scratch is wanted, not 3",
        lambda block, b: b.copy(3, b.output("y", (1,))),
    )
    refused(
        "print outputs: it writes, but described.x is an input",
        lambda block, b: b.capture(print, outputs=[b.input("x", (1,))]),
    )
    refused("print inputs: a port, weight", lambda block, b: b.capture(print, inputs=[np.ones(3)]))


@pytest.mark.parametrize("capacity", [0, -1, 1.5, True, "8", None])
def test_capacities_are_numbers_of_elements(capacity):
    refused(
        "append output a: capacity is a number of elements, at least 1, not",
        lambda block, b: b.append_output("a", "int8", capacity),
    )


def test_the_counter_takes_a_name_too():
    refused(
        "already has something called 'a_count'",
        lambda block, b: (b.input("a_count", ()), b.append_output("a", "int8", 1)),
    )


def test_views_and_delays_are_of_own_tensors():
    refused("a view is of a port, not of 3", lambda block, b: b.view(3, (1,)))
    refused("a delay is of a port, not of .*s: float32", lambda block, b: b.delay(b.state("s", (1,))))
    foreign = unary()
    refused(
        "work.*belongs to neither|belongs to neither described nor one of its children",
        lambda block, b: b.view(foreign.y, (1,)),
    )
    refused("belongs to neither described nor one of its children", lambda block, b: b.delay(foreign.y))


def test_views_and_delays_are_outputs_when_they_are_named():
    def views(block, b):
        state = b.state("s", (4,))
        b.view(state, (2,))
        b.view(b.weight("w", (4,)), (2,), offset=2, name="half")

    block = describe(views)
    assert set(block.ports) == {"s_view", "half"}
    assert [port.name for port in block.outputs] == ["half"]


def test_several_views_of_one_tensor_are_numbered():
    def views(block, b):
        weight = b.weight("w", (6,))
        return [b.view(weight, (2,), offset=offset) for offset in (0, 2, 4)]

    assert list(describe(views).ports) == ["w_view", "w_view2", "w_view3"]


def test_scratch_is_numbered():
    block = describe(lambda block, b: (b.scratch((1,)), b.scratch((2,), "T"), b.scratch((3,), name="mine")))
    assert [tensor.name for tensor in block.description.tensors] == ["scratch0", "scratch1", "mine"]


def test_wrong_types_and_shapes_name_the_thing():
    refused("'float33' is not an element type; choose one of float32", lambda block, b: b.input("x", (1,), "float33"))
    refused("'T' is not an element type", lambda block, b: b.state("s", (1,), "T"))
    refused("described.x: a dimension cannot be negative", lambda block, b: b.input("x", (-1,)))
    refused(
        "weight w has the shape .2.; its initial value has .3.",
        lambda block, b: b.weight("w", (2,), init=[1, 2, 3]),
        ShapeError,
    )


def test_kernels_are_found_beside_the_file_of_their_block(tmp_path):
    (tmp_path / "mine.cu").write_text('extern "C" __global__ void mine(float* y) {}')
    code = compile(
        "import cudagraph as cg\n"
        "class Mine(cg.Block):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        with cg.BlockBuilder(self) as b:\n"
        "            b.kernel('mine', grid=1, y=b.output('y', (1,)))\n",
        str(tmp_path / "mine.py"),
        "exec",
    )
    (tmp_path / "mine.py").write_text("x")
    import sys
    import types

    module = types.ModuleType("module_of_mine")
    module.__file__ = str(tmp_path / "mine.py")
    sys.modules[module.__name__] = module
    try:
        exec(code, module.__dict__)
        (work,) = module.Mine().description.work
        assert isinstance(work, Kernel)
        assert work.source.files == (tmp_path / "mine.cu",)
    finally:
        del sys.modules[module.__name__]


def test_described_blocks_are_what_the_other_tests_use():
    assert isinstance(inplace(), Described)
