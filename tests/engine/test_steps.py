"""Who gets whose memory, which delays swap, what waits for what: the cases by name. `test_hazards` tries the rest."""

from __future__ import annotations

import networkx as nx
import pytest
from described import binary, bound, context, delay, describe, inplace, kernel, unary
from plan_checks import check_plan, graph_of

from cudagraph.engine.lower import lower
from cudagraph.engine.plan import CopyNode, FillNode, KernelNode, Place
from cudagraph.errors import DescriptionError


def plan_of(made, *inputs, **options):
    plan = lower(made, bound(*inputs), **options)
    check_plan(plan)
    return plan


def copies(plan):
    return [node.name for node in plan.nodes if isinstance(node, CopyNode)]


def names(plan):
    return [node.name for node in plan.nodes]


def runs_before(plan, first, second):
    return nx.has_path(graph_of(plan), names(plan).index(first), names(plan).index(second))


def memory(plan, port):
    return plan.buffers[plan.ports[port]].base


# In place


def test_a_chain_in_place_uses_one_memory():
    first, two, three = unary(), inplace(), inplace()
    plan = plan_of(context(first, two, three, wires=[(first.y, two.x), (two.y, three.x)]), first.x)
    assert copies(plan) == []
    assert memory(plan, first.y) == memory(plan, two.y) == memory(plan, three.y)
    assert plan.buffers[memory(plan, three.y)].place is Place.KEPT
    assert names(plan) == ["described:work", "described_2:inplace", "described_3:inplace"]


def test_memory_that_was_taken_over_dies_with_its_last_reader():
    first, taker, last = unary(), inplace(), unary()
    plan = plan_of(context(first, taker, last, wires=[(first.y, taker.x), (taker.y, last.x)]), first.x)
    assert plan.buffers[memory(plan, first.y)].place is Place.ARENA


def test_a_bound_array_is_never_overwritten():
    block = inplace()
    plan = plan_of(context(block), block.x)
    assert copies(plan) == ["described:copy_y"]
    assert memory(plan, block.y) != memory(plan, block.x)
    assert plan.nodes[0].key == (block.identity, -3)


def test_of_two_takers_one_copies_first():
    first, two, three = unary(), inplace(), inplace()
    plan = plan_of(context(first, two, three, wires=[(first.y, two.x), (first.y, three.x)]), first.x)
    assert copies(plan) == ["described_3:copy_y"]
    assert memory(plan, two.y) == memory(plan, first.y)
    assert runs_before(plan, "described_3:copy_y", "described_2:inplace")


def test_readers_of_the_old_contents_go_first():
    first, taker, reader = unary(), inplace(), unary("read")
    plan = plan_of(context(first, taker, reader, wires=[(first.y, taker.x), (first.y, reader.x)]), first.x)
    assert copies(plan) == []
    assert runs_before(plan, "described_3:read", "described_2:inplace")


def test_a_reader_after_the_writer_makes_a_copy():
    first, taker, reader = unary(), inplace(), binary()
    wires = [(first.y, taker.x), (first.y, reader.a), (taker.y, reader.b)]
    plan = plan_of(context(first, taker, reader, wires=wires), first.x)
    assert copies(plan) == ["described_2:copy_y"]
    assert memory(plan, taker.y) != memory(plan, first.y)


def test_an_explicit_order_can_make_a_reader_late_too():
    first, taker, reader = unary(), inplace(), unary("read")
    made = context(first, taker, reader, wires=[(first.y, taker.x), (first.y, reader.x)])
    made.after(reader, taker)
    assert copies(plan_of(made, first.x)) == ["described_2:copy_y"]


def test_one_refusal_leaves_the_others_in_place():
    first, taker, reader, other, more = unary(), inplace(), binary(), unary(), inplace()
    wires = [(first.y, taker.x), (first.y, reader.a), (taker.y, reader.b), (first.y, other.x), (other.y, more.x)]
    plan = plan_of(context(first, taker, reader, other, more, wires=wires), first.x)
    assert copies(plan) == ["described_2:copy_y"]
    assert memory(plan, more.y) == memory(plan, other.y)


@pytest.mark.parametrize("how", ["kept", "keep_all", "output"])
def test_what_is_to_be_read_is_not_overwritten(how):
    def outer(block, b):
        block.x = b.input("x", (...,))
        block.first, block.taker = b.child(unary()), b.child(inplace())
        b.connect(block.x, block.first.x)
        b.connect(block.first.y, block.taker.x)
        b.expose(block.taker.y, "z")
        if how == "output":
            b.connect(block.first.y, b.output("y", (...,)))

    block = describe(outer)
    made = context(block)
    if how == "kept":
        made.keep(block.first.y)
    plan = plan_of(made, block.x, keep_all=how == "keep_all")
    assert copies(plan) == ["described/taker:copy_y"]
    assert plan.buffers[plan.ports[block.first.y]].place is Place.KEPT


def test_a_block_may_not_overwrite_what_it_still_reads():
    def late(block, b):
        block.x = b.input("x", (...,))
        block.y, block.z = b.output("y", block.x.shape, inplace=block.x), b.output("z", block.x.shape)
        b.kernel(kernel("float* y", "early"), grid=1, y=block.y)
        b.kernel(kernel("const float* x, float* z", "late"), grid=1, x=block.x, z=block.z)

    def aliased(block, b):
        block.x, block.z = b.input("x", (...,)), b.input("z", (...,))
        block.y = b.output("y", block.x.shape, inplace=block.x)
        b.kernel(kernel("const float* x, const float* z, float* y"), grid=1, x=block.x, z=block.z, y=block.y)

    first, block = unary(), describe(late)
    assert copies(plan_of(context(first, block, wires=[(first.y, block.x)]), first.x)) == ["described_2:copy_y"]
    first, block = unary(), describe(aliased)
    assert copies(plan_of(context(first, block, wires=[(first.y, block.x)]), first.x, block.z)) == []
    first, block = unary(), describe(aliased)
    both = context(first, block, wires=[(first.y, block.x), (first.y, block.z)])
    assert copies(plan_of(both, first.x)) == ["described_2:copy_y"]


def test_a_counter_is_never_overwritten():
    def append(block, b):
        block.y = b.append_output("y", "float32", 8)
        b.kernel(kernel("float* y, unsigned int* n"), grid=1, y=block.y, n=block.y.count)

    def take(block, b):
        block.x = b.input("x", (), "uint32")
        block.y = b.output("y", (), "uint32", inplace=block.x)
        b.kernel(kernel("unsigned int* y", "take"), grid=1, y=block.y)

    one, other = describe(append), describe(take)
    assert copies(plan_of(context(one, other, wires=[(one.y.count, other.x)]))) == ["described_2:copy_y"]


def test_another_size_cannot_take_over():
    def wrong(block, b):
        block.x = b.input("x", (...,))
        block.y = b.output("y", (block.x.size * 2,), inplace=block.x)
        b.kernel(kernel("float* y"), grid=1, y=block.y)

    first, block = unary(), describe(wrong)
    with pytest.raises(
        Exception, match=r"described_2.y takes over the memory of described.y, but needs 64 bytes instead of 32"
    ):
        lower(context(first, block, wires=[(first.y, block.x)]), bound(first.x))


# Delays


def test_a_delay_swaps_two_memories():
    first, before, last = unary(), delay(), unary("last")
    plan = plan_of(context(first, before, last, wires=[(first.y, before.x), (before.y, last.x)]), first.x)
    assert copies(plan) == []
    (pair,) = plan.delays
    assert (pair.current, pair.previous) == (plan.ports[first.y], plan.ports[before.y])
    assert {plan.buffers[i].place for i in (pair.current, pair.previous)} == {Place.DELAY}
    assert not runs_before(plan, "described:work", "described_3:last")


def test_a_delay_breaks_a_circle():
    step, before = binary(), delay()
    plan = plan_of(context(step, before, wires=[(step.c, before.x), (before.y, step.b)]), step.a)
    assert names(plan) == ["described:work"]
    assert len(plan.delays) == 1


def copied(made, *inputs):
    plan = plan_of(made, *inputs)
    return [node.name for node in plan.nodes if isinstance(node, CopyNode) and ":keep_" in node.name], plan


def test_delays_that_cannot_swap_are_copied_when_all_is_done():
    first, one, two = unary(), delay(), delay()
    assert copied(context(first, one, two, wires=[(first.y, one.x), (first.y, two.x)]), first.x)[0] == [
        "described_3:keep_y"
    ]
    before = delay()
    names_, plan = copied(context(before, last := unary("last"), wires=[(before.y, last.x)]), before.x)
    assert names_ == ["described:keep_y"]  # a bound array
    assert runs_before(plan, "described_2:last", "described:keep_y")
    assert plan.buffers[plan.ports[before.y]].place is Place.STATE
    first, one, two = unary(), delay(), delay()
    assert copied(context(first, one, two, wires=[(first.y, one.x), (one.y, two.x)]), first.x)[0] == [
        "described_3:keep_y"
    ]


def test_captured_work_keeps_its_addresses():
    def capture(block, b):
        block.x = b.input("x", (...,))
        block.y = b.output("y", block.x.shape)
        b.capture(print, inputs=[block.x], outputs=[block.y])

    for wire in (lambda c, d: (c.y, d.x), lambda c, d: (d.y, c.x)):
        captured, before, first = describe(capture), delay(), unary()
        made = context(captured, before, first, wires=[wire(captured, before)])
        feed = before.x if before.x not in made.wires else captured.x
        made.connect(first.y, feed)
        assert copied(made, first.x)[0] == ["described_2:keep_y"]


def test_the_value_of_an_overwritten_port_is_copied_in_time():
    first, taker, before = unary(), inplace(), delay()
    kept, plan = copied(context(first, taker, before, wires=[(first.y, taker.x), (first.y, before.x)]), first.x)
    assert kept == ["described_3:keep_y"]
    assert runs_before(plan, "described_3:keep_y", "described_2:inplace")


def test_part_of_a_port_is_copied():
    def half(block, b):
        block.x = b.input("x", (8,))
        block.y = b.output("y", (8,))
        b.copy(block.x, block.y)
        block.before = b.delay(b.view(block.y, (4,), offset=4), name="before")

    block = describe(half)
    kept, plan = copied(context(block), block.x)
    assert kept == ["described:keep_before"]
    assert runs_before(plan, "described:copy", "described:keep_before")
    assert not plan.delays


def test_delays_inside_of_composites():
    def loop(block, b):
        block.x = b.input("x", (...,))
        block.sum = b.child(binary())
        b.connect(block.x, block.sum.a)
        b.connect(b.delay(block.sum.c, name="before"), block.sum.b)
        block.y = b.expose(block.sum.c, "y")

    block, last = describe(loop), unary("last")
    plan = plan_of(context(block, last, wires=[(block.y, last.x)]), block.x)
    assert names(plan) == ["described/sum:work", "described_2:last"]
    assert len(plan.delays) == 1


# Order


def test_a_circle_names_its_blocks_and_suggests_a_delay():
    one, two, three = binary(), unary(), unary()
    made = context(one, two, three, wires=[(one.c, two.x), (two.y, three.x), (three.y, one.b)])
    with pytest.raises(DescriptionError) as caught:
        lower(made, bound(one.a, two.x, three.x))
    assert "put a delay on one of the wires (blocks.Delay, or b.delay(...) inside a block)" in str(caught.value)
    circle = str(caught.value).partition(": ")[2].partition(";")[0].split(" -> ")
    assert circle[0] == circle[-1]
    assert circle in [
        [f"described{i}" for i in order]
        for order in (["", "_2", "_3", ""], ["_2", "_3", "", "_2"], ["_3", "", "_2", "_3"])
    ]
    assert caught.value.block in (one, two, three)


def test_a_circle_in_place_is_a_circle_too():
    one, two = inplace(), inplace()
    with pytest.raises(DescriptionError, match="these blocks wait for each other: described"):
        lower(context(one, two, wires=[(one.y, two.x), (two.y, one.x)]), bound(one.x))


def test_explicit_order_holds_for_all_that_is_inside():
    def outer(block, b):
        block.one, block.two = b.child(unary("one")), b.child(unary("two"))
        block.x = b.input("x", (...,))
        for child in (block.one, block.two):
            b.connect(block.x, child.x)
        b.after(block.one, block.two)

    first, last = describe(outer), describe(outer)
    made = context(last, first)
    made.after(last, first)
    plan = plan_of(made, first.x, last.x)
    assert names(plan) == ["described_2/two:two", "described_2/one:one", "described/two:two", "described/one:one"]
    assert [node.after for node in plan.nodes] == [(), (0,), (1,), (2,)]


def test_order_against_the_data_is_a_circle():
    one, two = unary(), unary()
    made = context(one, two, wires=[(one.y, two.x)])
    made.after(one, two)
    with pytest.raises(
        DescriptionError, match=r"these blocks wait for each other: described.* -> described.* -> described"
    ):
        lower(made, bound(one.x))


def test_order_does_not_wait_for_what_is_kept_for_the_next_frame():
    """A delay's copy runs when its readers are done, so it cannot be what its readers wait for."""
    before, reader = delay(), unary("read")
    made = context(before, reader, wires=[(before.y, reader.x)])
    made.after(reader, before)
    assert names(plan_of(made, before.x)) == ["described_2:read", "described:keep_y"]


def test_independent_blocks_do_not_wait():
    blocks = [unary() for _ in range(4)]
    assert all(not node.after for node in plan_of(context(*blocks), *(block.x for block in blocks)).nodes)


def test_work_on_the_same_memory_runs_as_it_was_said():
    def say(block, b):
        x = block.x = b.input("x", (4,))
        y = block.y = b.output("y", (4,))
        b.fill(y)
        for i in range(3):
            b.kernel(kernel("const float* x, float* y", f"add{i}"), grid=1, x=x, y=y)
        b.copy(y, b.output("z", (4,)))

    block = describe(say)
    plan = lower(context(block), bound(block.x, shape=(4,)))
    check_plan(plan)
    assert [node.after for node in plan.nodes] == [(), (0,), (1,), (2,), (3,)]


def test_blocks_that_share_a_state_take_turns():
    def inner(block, b):
        block.s = b.state("s", (4,))
        b.kernel(kernel("float* s", "inside"), grid=1, s=block.s)

    def outer(block, b):
        block.child = b.child(describe(inner))
        b.kernel(kernel("float* s", "outside"), grid=1, s=block.child.s)
        b.kernel(kernel("const float* s, float* y", "look"), grid=1, s=block.child.s, y=b.output("y", (4,)))

    plan = lower(context(describe(outer)), {})
    check_plan(plan)
    assert names(plan)[-1] == "described:look"


def test_all_counters_are_reset_by_one_step():
    def append(block, b):
        block.y = b.append_output("y", "float32", 8)
        b.kernel(kernel("float* y, unsigned int* n", "append"), grid=1, y=block.y, n=block.y.count)

    def count(block, b):
        block.n = b.input("n", (), "uint32")
        block.y = b.output("y", (), "uint32")
        b.copy(b.view(block.n, (1,)), block.y)

    one, two, reader = describe(append), describe(append), describe(count)
    plan = plan_of(context(one, two, reader, wires=[(two.y.count, reader.n)]))
    assert names(plan) == ["reset counters", "described:append", "described_2:append", "described_3:copy"]
    assert [node.after for node in plan.nodes] == [(), (0,), (0,), (2,)]
    fill = plan.nodes[0]
    assert isinstance(fill, FillNode)
    assert (fill.target, fill.value, fill.nbytes, fill.block, fill.key) == (plan.counter_buffer, 0, 8, "", (0, 0))
    assert isinstance(plan.nodes[1], KernelNode)
