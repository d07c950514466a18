"""Whatever is wired, the plan's order gives what the blocks describe, in every order that its edges allow."""

from __future__ import annotations

from typing import Any

from described import bound, describe, kernel
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_checks import Frames, Meaning, check_plan

import cudagraph as cg
from cudagraph.context import Context
from cudagraph.engine.flatten import flatten
from cudagraph.engine.lower import lower
from cudagraph.port import DelayPort, Direction

SIZE = 4  # elements of every tensor that is wired


def fixed(block: Any, b: cg.BlockBuilder, *names: str) -> list[Any]:
    for name in names:
        setattr(block, name, b.input(name, (SIZE,)))
    return [getattr(block, name) for name in names]


def map_(block, b):
    (x,) = fixed(block, b, "x")
    y = b.output("y", (SIZE,))
    b.kernel(kernel("const float* x, float* y", "map"), grid=1, x=x, y=y)


def two_steps(block, b):
    (x,) = fixed(block, b, "x")
    inner = b.scratch((SIZE,))
    y, z = b.output("y", (SIZE,)), b.output("z", (SIZE,))
    b.kernel(kernel("const float* x, float* y", "first"), grid=1, x=x, y=inner)
    b.kernel(kernel("const float* x, const float* i, float* y", "second"), grid=1, x=x, i=inner, y=y)
    b.kernel(kernel("const float* x, const float* y, float* z, float* i", "third"), grid=1, x=x, y=y, z=z, i=inner)


def add(block, b):
    x, z = fixed(block, b, "x", "z")
    y = b.output("y", (SIZE,))
    b.kernel(kernel("const float* x, const float* z, float* y", "add"), grid=1, x=x, z=z, y=y)


def overwrite(block, b):
    (x,) = fixed(block, b, "x")
    y = b.output("y", (SIZE,), inplace=x)
    b.kernel(kernel("float* y", "overwrite"), grid=1, y=y)


def overwrite_reading(block, b):
    x, z = fixed(block, b, "x", "z")
    y = b.output("y", (SIZE,), inplace=x)
    b.kernel(kernel("const float* x, const float* z, float* y", "overwrite_reading"), grid=1, x=x, z=z, y=y)


def overwrite_both(block, b):
    x, z = fixed(block, b, "x", "z")
    y, w = b.output("y", (SIZE,), inplace=x), b.output("w", (SIZE,), inplace=z)
    b.kernel(kernel("float* y, float* w", "overwrite_both"), grid=1, y=y, w=w)


def late_reader(block, b):
    (x,) = fixed(block, b, "x")
    y, z = b.output("y", (SIZE,), inplace=x), b.output("z", (SIZE,))
    b.kernel(kernel("float* y", "early"), grid=1, y=y)
    b.kernel(kernel("const float* x, float* z", "late"), grid=1, x=x, z=z)


def overwrite_and_delay(block, b):
    (x,) = fixed(block, b, "x")
    y = b.output("y", (SIZE,), inplace=x)
    b.delay(x, name="before_x")
    b.delay(y, name="before_y")
    b.kernel(kernel("float* y", "overwrite"), grid=1, y=y)


def delayed(block, b):
    b.delay(*fixed(block, b, "x"), name="y")


def feedback(block, b):
    (x,) = fixed(block, b, "x")
    y = b.output("y", (SIZE,))
    before = b.delay(y, name="before")
    b.kernel(kernel("const float* x, const float* before, float* y", "feedback"), grid=1, x=x, before=before, y=y)


def feedback_through_view(block, b):
    (x,) = fixed(block, b, "x")
    y = b.output("y", (SIZE,))
    half = b.view(b.view(b.delay(y, name="before"), (SIZE,)), (SIZE // 2,), offset=SIZE // 2, name="half")
    again = b.delay(b.view(y, (SIZE // 2,), name="front"), name="again")
    b.kernel(kernel("const float* x, const float* h, const float* a, float* y"), grid=1, x=x, h=half, a=again, y=y)


def views(block, b):
    (x,) = fixed(block, b, "x")
    wide = b.output("wide", (2 * SIZE,))
    b.kernel(kernel("const float* x, float* wide", "widen"), grid=1, x=x, wide=wide)
    b.view(wide, (SIZE,), name="y")
    b.view(b.view(wide, (SIZE + 1,), offset=SIZE - 1, name="w"), (SIZE,), offset=1, name="z")


def view_of_input(block, b):
    b.view(*fixed(block, b, "x"), (SIZE,), name="y")


def state(block, b):
    (x,) = fixed(block, b, "x")
    total = b.state("total", (SIZE,))
    y = b.output("y", (SIZE,))
    b.kernel(kernel("const float* t, float* y", "before"), grid=1, t=total, y=y)
    b.kernel(kernel("const float* x, float* total", "accumulate"), grid=1, x=x, total=total)


def captured(block, b):
    (x,) = fixed(block, b, "x")
    y = b.output("y", (SIZE,))
    b.capture(lambda stream, *arrays: None, inputs=[x], outputs=[y])


def append(block, b):
    (x,) = fixed(block, b, "x")
    y = b.append_output("y", "float32", SIZE)
    b.kernel(kernel("const float* x, float* y, unsigned int* y_count", "append"), grid=1, x=x, y=y, y_count=y.count)
    z = b.output("z", (SIZE,))
    b.kernel(kernel("const unsigned int* n, float* z", "use_count"), grid=1, n=y.count, z=z)
    b.delay(y.count, name="count_before")


def composite(inner: Any, also_inside: bool) -> Any:
    """Around one block: an output of its own, one of another child, and one that is delayed."""

    def say(block: Any, b: cg.BlockBuilder) -> None:
        (x,) = fixed(block, b, "x")
        block.inner = b.child(describe(inner))
        for port in block.inner.inputs:
            b.connect(x, port)
        first = next(port for port in block.inner.outputs if tuple(port.shape) == (SIZE,))
        b.connect(first, b.output("y", (SIZE,)))
        if also_inside:
            block.after = b.child(describe(overwrite))
            b.connect(first, block.after.inputs[0])
            b.expose(block.after.outputs[0], "z")
        else:
            b.delay(first, name="before")

    return lambda block, b: say(block, b)


PLAIN = [
    map_, two_steps, add, overwrite, overwrite_reading, overwrite_both, late_reader, overwrite_and_delay, feedback,
    feedback_through_view, views, view_of_input, state, captured, append,
]  # fmt: skip
COMPUTES = (map_, add, overwrite, overwrite_reading, feedback, state, captured)
KINDS = [*PLAIN, *(composite(inner, inside) for inner in PLAIN for inside in (False, True))]


@st.composite
def pipelines(draw: st.DrawFn) -> Context:
    made = Context()
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=7))
    kinds += [delayed] * draw(st.integers(0, 3))
    kinds = draw(st.permutations(kinds))
    blocks = [describe(kind) for kind in kinds]
    for block in blocks:
        made.add(block)
    outputs: list[Any] = []
    everything = [port for block in blocks for port in block.outputs if tuple(port.shape) == (SIZE,)]
    computed = [block.outputs[0] for block, kind in zip(blocks, kinds, strict=True) if kind in COMPUTES]
    for block, kind in zip(blocks, kinds, strict=True):
        for port in block.inputs:
            choices = outputs + computed if kind is delayed else outputs  # circles go through a delay
            if choices and draw(st.integers(0, 5)):
                made.connect(draw(st.sampled_from(choices)), port)
        outputs += [port for port in block.outputs if tuple(port.shape) == (SIZE,)]
    made.keep(*(port for port in everything if draw(st.integers(0, 7)) == 0))
    return made


@settings(max_examples=300)
@given(pipelines(), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_a_plan_computes_what_its_blocks_describe(made: Context, keep_all: bool, reuse: bool, seed: int):
    ports = [port for block in made.walk() for port in block.description.ports]
    fed = {destination for block in made.walk() for _, destination in block.description.wires} | made.wires.keys()
    free = [port for port in ports if port.direction is Direction.INPUT and port not in fed]
    plan = lower(made, bound(*free, shape=(SIZE,)), keep_all=keep_all)
    check_plan(plan)
    inputs = {port: bytes([i + 1] * 4 * SIZE) for i, port in enumerate(free)}
    frames, meaning = Frames(plan, inputs, reuse=reuse, seed=seed), Meaning(made, inputs, SIZE)
    wired = set(made.wires.values())
    shown = [*made.kept, *(port for block in made.blocks.values() for port in block.outputs if port not in wired)]
    if keep_all:
        shown += [port for port in ports if port.direction is Direction.OUTPUT]
    # What a delay holds between two frames depends on whether it was swapped or copied.
    flat = flatten(made)
    shown = [port for port in shown if flat.viewed(port) not in free and not isinstance(flat.viewed(port), DelayPort)]
    blocks = {block.identity: block for block in made.walk()}
    for _ in range(3):
        frames.run(blocks)
        meaning.run()
        for port in shown:
            assert frames.read(port) == meaning.value(port), f"{port}\n{plan}"
