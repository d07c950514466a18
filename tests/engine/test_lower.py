"""From descriptions to a plan: buffers, launches, arguments, programs, and the same plan every time."""

from __future__ import annotations

import itertools
import random
import time

import numpy as np
import pytest
from described import binary, bound, context, delay, describe, inplace, kernel, unary
from hypothesis import given
from hypothesis import strategies as st
from plan_checks import check_plan

import cudagraph as cg
from cudagraph.engine.lower import lower
from cudagraph.engine.plan import Constant, Hot, KernelNode, LibraryNode, Place, Plan, Pointer
from cudagraph.errors import CudaGraphError, DescriptionError, ShapeError
from cudagraph.shape import Dim


def plan_of(block, *inputs, **options):
    plan = lower(context(block), bound(*(inputs or block.inputs), **options))
    check_plan(plan)
    return plan


def refused(message, say, error=CudaGraphError):
    block = describe(say)
    with pytest.raises(error, match=message) as caught:
        lower(context(block), bound(*block.inputs))
    assert caught.value.block is block


def launch(arguments="", bounds="", **options):
    return describe(lambda block, b: b.kernel(kernel(arguments, bounds=bounds), **options))


# Launches


@pytest.mark.parametrize(
    ("options", "grid", "threads"),
    [
        ({"elements": 1}, (1, 1, 1), (256, 1, 1)),
        ({"elements": 256}, (1, 1, 1), (256, 1, 1)),
        ({"elements": 257}, (2, 1, 1), (256, 1, 1)),
        ({"elements": 0}, (1, 1, 1), (256, 1, 1)),
        ({"elements": 100, "threads": (4, 2, 2)}, (7, 1, 1), (4, 2, 2)),
        ({"grid": (2, 3), "threads": 1024}, (2, 3, 1), (1024, 1, 1)),
        ({"grid": (2**31 - 1, 65535, 65535), "threads": (1, 16, 64)}, (2**31 - 1, 65535, 65535), (1, 16, 64)),
    ],
)
def test_grids(options, grid, threads):
    (node,) = plan_of(launch(**options)).nodes
    assert (node.grid, node.threads) == (grid, threads)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": 0}, r"a grid of \(0, 1, 1\) blocks cannot be launched"),
        ({"grid": (1, 65536)}, r"a grid of \(1, 65536, 1\) blocks cannot"),
        ({"grid": 2**31}, "cannot be launched"),
        ({"grid": (1, 1, -1)}, "cannot be launched"),
        ({"elements": 2**40}, "cannot be launched"),
        (
            {"elements": 1, "threads": 0},
            r"\(0, 1, 1\) threads cannot be launched \(1 to 1024 in all, at most 64 in z\)",
        ),
        ({"elements": 1, "threads": (32, 33)}, r"\(32, 33, 1\) threads cannot"),
        ({"grid": 1, "threads": (1, 1, 65)}, "threads cannot"),
        ({"grid": 1, "threads": -1}, "threads cannot"),
        (
            {"grid": 1, "threads": 128, "bounds": "__launch_bounds__(64)"},
            r"\(128, 1, 1\) threads are more than the 64 of the kernel's",
        ),
        ({"grid": 1, "shared": -4}, "-4 bytes of shared memory cannot be launched"),
    ],
)
def test_launches_that_cannot_be(options, message):
    block = launch(**options)
    with pytest.raises(ShapeError, match=f"described:work: .*{message}") as caught:
        lower(context(block), {})
    assert caught.value.block is block


def test_sizes_are_evaluated():
    def say(block, b):
        block.x = b.input("x", (..., "n"))
        b.kernel(kernel("const float* x, int n"), grid=(block.x.rows, 2), threads=cg.minimum(cg.Dim("n"), 64),
                 shared=cg.Dim("n") * 4, x=block.x, n="n")  # fmt: skip

    (node,) = plan_of(describe(say), shape=(3, 5, 70)).nodes
    assert (node.grid, node.threads, node.shared, node.arguments[1]) == (
        (15, 2, 1),
        (64, 1, 1),
        280,
        Constant(b"\x46\0\0\0"),
    )


# Arguments


def test_arguments_become_pointers_constants_and_hot_values():
    def say(block, b):
        block.x = b.input("x", ("n",))
        block.y = b.output("y", ("n",))
        block.p, block.q = b.parameter("p", 2.0), b.parameter("q", (1, 2, 3), "float3")
        arguments = "const float* x, float* y, float p, const float* p2, float3 q, const float3* q2, double d, bool f"
        hot = {"p": block.p, "p2": block.p, "q": block.q, "q2": block.q}
        b.kernel(kernel(arguments), grid=1, x=block.x, y=block.y, d=0.5, f=True, **hot)
        b.kernel(kernel("float p", "again"), grid=1, p=block.p)

    block = describe(say)
    plan = plan_of(block)
    first = plan.nodes[0]
    p, q = (plan.buffers[first.arguments[i].buffer] for i in (3, 5))
    assert first.arguments[0] == Pointer(plan.ports[block.x])
    assert first.arguments[2] == Hot(0)
    assert first.arguments[4] == Hot(1)
    assert first.arguments[6:] == (Constant(np.float64(0.5).tobytes()), Constant(b"\1"))
    assert (p.name, p.shape, p.place, q.shape) == ("described.p", (), Place.PARAMETERS, (3,))
    assert p.index in first.reads
    slots = {slot.path: slot for slot in plan.parameters}
    assert slots["described.p"].uses == ((0, 2), (1, 0))
    assert slots["described.q"].uses == ((0, 4),)
    assert [slot.parameter for slot in plan.parameters] == [block.p, block.q]
    root = plan.buffers[plan.parameter_buffer]
    assert (root.place, root.shape) == (Place.PARAMETERS, (len(plan.parameter_image),))
    for slot in plan.parameters:
        assert plan.parameter_image[slot.offset :].startswith(slot.parameter.pack())


def test_a_parameter_that_no_kernel_points_at_is_not_in_the_block():
    plan = plan_of(describe(lambda block, b: b.kernel(kernel("float p"), grid=1, p=b.parameter("p", 2.0))))
    assert plan.parameters[0].offset is None
    assert (plan.parameter_buffer, plan.parameter_image) == (None, b"")


@given(st.integers(-(2**65), 2**65), st.sampled_from(["int", "unsigned", "long long", "unsigned char", "size_t"]))
def test_integers_fit_or_are_refused(value, ctype):
    dtype = {"int": "i4", "unsigned": "u4", "long long": "i8", "unsigned char": "u1", "size_t": "u8"}[ctype]
    block = launch(f"{ctype} n", grid=1, n=value)
    limits = np.iinfo(dtype)
    if limits.min <= value <= limits.max:
        assert plan_of(block).nodes[0].arguments == (Constant(np.array(value, dtype).tobytes()),)
    else:
        with pytest.raises(
            ShapeError,
            match=f"argument n is {value}, too large for",
        ):
            lower(context(block), {})


@pytest.mark.parametrize(
    ("ctype", "value", "wanted"),
    [("float", 1, np.float32(1)), ("float", np.float64(0.1), np.float32(0.1)), ("__half", 0.5, np.float16(0.5)),
     ("float", 1e300, np.float32(np.inf)), ("short", -2, np.int16(-2)), ("bool", 0, np.bool_(0)),
     ("float", float("nan"), np.float32("nan"))],
)  # fmt: skip
def test_literals_in_every_type(ctype, value, wanted):
    assert plan_of(launch(f"{ctype} v", grid=1, v=value)).nodes[0].arguments == (Constant(wanted.tobytes()),)


def test_a_struct_takes_no_number():
    block = launch("Particle p", grid=1, p=1)
    with pytest.raises(DescriptionError, match="argument p is Particle; bind a parameter of that type, not 1"):
        lower(context(block), {})


# Programs


def test_blocks_share_programs_but_types_do_not():
    blocks = [unary(dtype="T") for _ in range(4)]
    types = {block.x: ((8,), np.dtype(dtype)) for block, dtype in zip(blocks, ["f4", "f4", "f2", "i4"], strict=True)}
    plan = lower(context(*blocks), types)
    assert [node.program for node in plan.nodes] == [0, 0, 1, 2]
    assert [program.define for program in plan.programs] == [(("T", "float"),), (("T", "__half"),), (("T", "int"),)]
    assert len({program.text for program in plan.programs}) == 1


def test_macros_are_given_as_text():
    def say(block, b):
        block.mode = b.option("mode", 2, (1, 2))
        b.kernel(kernel(""), grid=1, define={"N": cg.Dim("n") + 1, "EPS": "1e-5f", "MODE": block.mode, "ON": True})
        block.x = b.input("x", ("n",))

    block = describe(say)
    made = context(block)
    define = (("EPS", "1e-5f"), ("MODE", "2"), ("N", "9"), ("ON", "1"))
    assert lower(made, bound(block.x)).programs[0].define == define
    block.mode.value = 1
    assert dict(lower(made, bound(block.x)).programs[0].define)["MODE"] == "1"


def test_one_type_name_means_one_type():
    def say(block, b):
        x, y = b.input("x", ("n",)), b.output("y", ("n",), "float16")
        b.kernel(kernel("const T* x, T* y"), grid=1, x=x, y=y)

    refused("described:work: T is float, but y is float16", say, ShapeError)


def test_a_replaced_source_is_what_runs():
    block = unary("first")
    made = context(block)
    before = lower(made, bound(block.x))
    block.replace_source('extern "C" __global__ void second(const float* x, float* y, long long n) {}')
    after = lower(made, bound(block.x))
    assert [plan.programs[0].entry for plan in (before, after)] == ["first", "second"]
    assert before.nodes[0].key == after.nodes[0].key
    assert before.nodes[0].arguments == after.nodes[0].arguments


PARTICLE = np.dtype([("position", "f4", 3), ("mass", "f4")])


def test_structs_are_compared_with_their_dtypes_by_the_compiler():
    source = kernel("const Particle* p, Particle* q")

    def say(dtype):
        def inner(block, b):
            block.x = b.input("x", ("n",), dtype)
            b.kernel(source, grid=1, p=block.x, q=b.output("y", ("n",), dtype))

        return describe(inner)

    wide = np.dtype([("position", "f4", 3), ("mass", "f8")])
    one, two, three = say(PARTICLE), say(PARTICLE), say(wide)
    plan = lower(
        context(one, two, three),
        {block.x: ((3,), dtype) for block, dtype in ((one, PARTICLE), (two, PARTICLE), (three, wide))},
    )
    assert [node.program for node in plan.nodes] == [0, 0, 1]  # the same source, but another size to compare
    checks = [program.text.splitlines()[-1] for program in plan.programs]
    assert checks[0].startswith("static_assert(sizeof(Particle) == 16, ")
    assert checks[1].startswith("static_assert(sizeof(Particle) == 20, ")


def test_a_struct_has_one_size():
    def say(block, b):
        x, y = b.input("x", ("n",), PARTICLE), b.output("y", ("n",), np.dtype([("mass", "f4"), ("speed", "f4")]))
        b.kernel(kernel("const Particle* p, Particle* q"), grid=1, p=x, q=y)

    block = describe(say)
    with pytest.raises(ShapeError, match="described:work: Particle has 16 bytes, but the elements of q 8"):
        lower(context(block), bound(block.inputs[0], dtype=PARTICLE))


# Buffers


def test_places():
    def say(block, b):
        block.x = b.input("x", (4,))
        block.w, block.s, block.t = b.weight("w", (4,)), b.state("s", (4,)), b.scratch((4,))
        block.y, block.unread = b.output("y", (4,)), b.output("unread", (4,))
        block.inner = b.child(unary())
        b.connect(block.y, block.inner.x)
        b.kernel(kernel("const float* x, const float* w, float* s, float* t, float* y, float* u"), grid=1,
                 x=block.x, w=block.w, s=block.s, t=block.t, y=block.y, u=block.unread)  # fmt: skip

    block, last = describe(say), unary()
    made = context(block, last, wires=[(block.y, last.x)])
    plan = lower(made, bound(block.x, shape=(4,)))
    check_plan(plan)
    places = {buffer.name: buffer.place for buffer in plan.buffers}
    assert places == {
        "described.x": Place.INPUT, "described.w": Place.WEIGHT, "described.s": Place.STATE,
        "described.scratch0": Place.ARENA, "described.y": Place.ARENA, "described.unread": Place.KEPT,
        "described/inner.y": Place.KEPT, "described_2.y": Place.KEPT,
    }  # fmt: skip
    owners = {buffer.owner for buffer in plan.buffers}
    assert {block.x, block.w, block.s} <= owners
    assert plan.ports[last.x] == plan.ports[block.y]
    made.keep(last.x)
    kept = lower(made, bound(block.x, shape=(4,)))
    assert kept.buffers[kept.ports[block.y]].place is Place.KEPT
    assert all(
        buffer.place is not Place.ARENA or "scratch" in buffer.name
        for buffer in lower(made, bound(block.x, shape=(4,)), keep_all=True).buffers
    )


def test_the_outputs_of_the_pipeline_can_be_read_even_if_an_inner_block_reads_them_too():
    def say(block, b):
        block.x = b.input("x", (...,))
        block.one, block.two = b.child(unary()), b.child(unary())
        b.connect(block.x, block.one.x)
        b.connect(block.one.y, block.two.x)
        block.y, block.z = b.expose(block.one.y, "y"), b.expose(block.two.y, "z")

    block = describe(say)
    plan = plan_of(block, block.x)
    assert {plan.buffers[plan.ports[port]].place for port in (block.y, block.z)} == {Place.KEPT}


def test_views_share_memory_at_an_offset():
    def say(block, b):
        block.x = b.input("x", (8,), "float64")
        block.y = b.output("y", (8,), "float64")
        block.half = b.view(block.y, (2, 2), offset=4, name="half")
        block.part = b.view(block.half, (1,), offset=3, name="part")
        b.copy(block.x, block.y)

    block = describe(say)
    plan = plan_of(block, dtype=np.float64)
    half, part = (plan.buffers[plan.ports[port]] for port in (block.half, block.part))
    assert (half.base, half.offset, half.shape, half.nbytes) == (plan.ports[block.y], 32, (2, 2), 32)
    assert (part.base, part.offset) == (plan.ports[block.y], 56)
    assert (half.place, half.dtype, half.is_view) == (Place.KEPT, np.float64, True)


@pytest.mark.parametrize(("shape", "offset"), [((9,), 0), ((8,), 1), ((1,), -1), ((3, 3), 0)])
def test_views_stay_inside(shape, offset):
    def say(block, b):
        x = b.input("x", (8,))
        b.kernel(kernel("const float* v"), grid=1, v=b.view(x, shape, offset=offset, name="v"))

    refused("described.v covers bytes .* of described.x, which has 32", say, ShapeError)


def test_counters_are_one_array():
    def append(block, b):
        block.y = b.append_output("y", PARTICLE, 8)
        b.kernel(kernel("P* y, unsigned int* n"), grid=1, y=block.y, n=block.y.count)

    blocks = [describe(append) for _ in range(3)]
    plan = lower(context(*blocks), {})
    check_plan(plan)
    assert [(counter.index, counter.name, counter.capacity, counter.port) for counter in plan.counters] == [
        (i, f"{block.name}.y", 8, block.y) for i, block in enumerate(blocks)
    ]
    root = plan.buffers[plan.counter_buffer]
    assert (root.place, root.shape, root.dtype) == (Place.COUNTERS, (3,), np.uint32)
    for i, block in enumerate(blocks):
        view = plan.buffers[plan.ports[block.y.count]]
        assert (view.base, view.offset, view.shape) == (root.index, 4 * i, ())


def test_copies_are_of_equal_size():
    refused("described:copy: described.x has 32 bytes, described.y has 16",
            lambda block, b: b.copy(b.input("x", ("n",)), b.output("y", (4,))), ShapeError)  # fmt: skip


# Library calls


def gemm(dtype="float32", alpha="float32", default=2.0):
    def say(block, b):
        block.a, block.b = b.input("a", ("m", "k"), dtype), b.input("b", ("k", "n"), dtype)
        block.alpha = b.parameter("alpha", default, alpha)
        block.epilogue = b.option("epilogue", "none", ("none", "relu"))
        b.library(
            "cublas.gemm",
            a=block.a,
            b=block.b,
            c=b.output("c", ("m", "n"), dtype),
            alpha=block.alpha,
            epilogue=block.epilogue,
        )

    return describe(say)


@pytest.mark.parametrize(("dtype", "scalar"), [("float32", "float32"), ("float16", "float32"), ("float64", "float64")])
def test_library_scalars_live_on_the_device(dtype, scalar):
    block = gemm(dtype, scalar)
    block.epilogue.value = "relu"
    plan = plan_of(block, shape=(2, 2), dtype=dtype)
    (node,) = plan.nodes
    assert isinstance(node, LibraryNode)
    assert (node.operation, node.options["epilogue"]) == ("cublas.gemm", "relu")
    alpha, beta = (plan.buffers[node.operands[name]] for name in ("alpha", "beta"))
    assert alpha.dtype == beta.dtype == np.dtype(scalar)
    image = plan.parameter_image
    assert np.frombuffer(image[alpha.offset :][: alpha.nbytes], scalar) == 2
    assert np.frombuffer(image[beta.offset :][: beta.nbytes], scalar) == 0
    assert [slot.parameter for slot in plan.parameters] == [block.alpha]


@pytest.mark.parametrize(
    ("dtype", "scalar", "alpha"),
    [("float64", "float64", "float32"), ("float32", "float32", "int32"), ("float16", "float32", "float16")],
)
def test_library_scalars_have_the_type_of_the_computation(dtype, scalar, alpha):
    block = gemm(dtype, alpha, 2)
    with pytest.raises(
        DescriptionError, match=f"described:gemm: alpha is a {scalar} here; the parameter described.alpha is a {alpha}"
    ):
        lower(context(block), bound(block.a, block.b, shape=(2, 2), dtype=dtype))


def test_library_sizes_are_numbers_in_the_plan():
    def say(block, b):
        block.x, block.w = b.input("x", ("n", 4, "h")), b.input("w", (4, 4, 3))
        after = (Dim("h") // 2,)
        b.library(
            "cudnn.convolution", x=block.x, weight=block.w, y=b.output("y", ("n", 4, 9)), before=Dim("n"), after=after
        )

    block = describe(say)
    plan = lower(context(block), bound(block.x, shape=(2, 4, 5)) | bound(block.w, shape=(4, 4, 3)))
    (node,) = plan.nodes
    assert isinstance(node, LibraryNode)
    assert (node.options["before"], node.options["after"], node.options["stride"]) == (2, (2,), 1)


# The plan as a whole


def random_pipeline(seed, shuffled):
    """The same blocks and wires, said in another order where that must not matter."""
    generator = random.Random(seed)
    blocks = [generator.choice([unary, binary, inplace, delay])() for _ in range(8)]
    outputs, wires = [], []
    for block in blocks:
        wires += [(generator.choice(outputs), port) for port in block.inputs if outputs and generator.random() < 0.8]
        outputs += block.outputs
    order = [(a, b) for a, b in ((blocks[0], blocks[-1]), (blocks[1], blocks[-1])) if a is not b]
    if shuffled:
        random.Random(seed + 1).shuffle(wires)
        order.reverse()
    made = context(*blocks, wires=wires)
    for earlier, later in order:
        made.after(later, earlier)
    fed = made.wires.keys()
    return made, bound(*(port for block in blocks for port in block.inputs if port not in fed))


@given(st.integers(0, 10**6))
def test_the_same_context_gives_the_same_plan(seed):
    made, types = random_pipeline(seed, False)
    plan = lower(made, types)
    check_plan(plan)
    assert lower(made, types) == plan
    assert [node.key for node in lower(made, types).nodes] == [node.key for node in plan.nodes]
    other, others = random_pipeline(seed, True)
    assert lower(other, others) == plan  # equal blocks, wires said in another order
    assert str(lower(other, others)) == str(plan)
    assert lower(made, dict(reversed(types.items()))) == plan


def test_keys_outlive_edits():
    first, two, last = unary(), inplace(), inplace()
    made = context(first, two, last, wires=[(first.y, two.x), (first.y, last.x)])
    keys = {node.name: node.key for node in lower(made, bound(first.x)).nodes}
    assert keys["described_3:copy_y"][1] < 0
    assert len(set(keys.values())) == 4
    made.add(unary())
    made.remove(two)
    after = {node.name: node.key for node in lower(made, bound(first.x, made.blocks["described_4"].x)).nodes}
    assert all(after[name] == keys[name] for name in after.keys() & keys.keys())
    assert "described_3:copy_y" not in after


def test_a_plan_prints():
    first, taker = unary(), inplace()
    plan = lower(context(first, taker, wires=[(first.y, taker.x)]), bound(first.x))
    assert str(plan).splitlines() == [
        "plan: 2 nodes, 3 buffers, 2 programs",
        "  %0 = input float32[8] described.x",
        "  %1 = kept float32[8] described.y",
        "  %2 = kept float32[8] described_2.y in %1+0",
        "  0: KernelNode described:work (%0) -> (%1)",
        "  1: KernelNode described_2:inplace () -> (%2)  after 0",
    ]


def test_an_empty_context_is_an_empty_plan():
    assert lower(context(), {}) == Plan((), (), ())


def test_captures():
    def say(block, b):
        block.x, block.y = b.input("x", ("n",)), b.output("y", ("n",))
        b.capture(min, inputs=[block.x, block.x], outputs=[block.y], host=max)

    block = describe(say)
    plan = plan_of(block)
    (node,) = plan.nodes
    x, y = plan.ports[block.x], plan.ports[block.y]
    assert (node.function, node.host, node.inputs, node.outputs, node.reads, node.writes) == (
        min,
        max,
        (x, x),
        (y,),
        (x,),
        (y,),
    )


def chain(length):
    source = kernel("const float* x, float* y, float gain, long long n", "scale")

    def say(block, b):
        block.x = b.input("x", (...,))
        block.gain = b.parameter("gain", 1.0)
        block.y = b.output("y", block.x.shape)
        b.kernel(source, elements=block.y.size, x=block.x, y=block.y, gain=block.gain, n=block.y.size)

    blocks = [describe(say) for _ in range(length)]
    return blocks, context(*blocks, wires=[(a.y, b.x) for a, b in itertools.pairwise(blocks)])


def test_a_long_chain(capsys):
    """Not a benchmark: far above what it takes, so that only another order of growth fails."""
    spent = {}
    for length in (1000, 10_000):
        blocks, made = chain(length)
        started = time.perf_counter()
        plan = lower(made, bound(blocks[0].x))
        spent[length] = time.perf_counter() - started
        assert len(plan.nodes) == length
        assert all(node.after == ((node.index - 1,) if node.index else ()) for node in plan.nodes)
        assert isinstance(plan.nodes[-1], KernelNode)
    with capsys.disabled():
        print(f" [lower: {spent[1000] * 1e3:.0f} ms for 1,000 blocks, {spent[10_000] * 1e3:.0f} ms for 10,000]", end="")
    assert spent[10_000] < 100 * spent[1000]


def test_views_of_inputs_that_no_work_reads_can_be_read():
    def say(block, b):
        block.x = b.input("x", (8,))
        block.v = b.view(block.x, (2, 2), offset=4, name="v")

    block = describe(say)
    plan = plan_of(block)
    view = plan.buffers[plan.ports[block.v]]
    assert (view.base, view.offset, view.place) == (plan.ports[block.x], 16, Place.INPUT)
