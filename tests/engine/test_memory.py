"""The memory planner against checkers that share nothing with it."""

from __future__ import annotations

import itertools
import random

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cudagraph.engine import packing
from cudagraph.engine.memory import Layout, find_lifetimes, plan_memory
from cudagraph.engine.packing import pack_backwards, pack_by_size, peak_nbytes
from cudagraph.engine.plan import Buffer, CopyNode, FillNode, Place, Plan, RegionKind, RegionNode

BYTE = np.dtype(np.uint8)


def make_buffer(index, nbytes, place=Place.ARENA, base=None, offset=0):
    return Buffer(index, f"b{index}", (nbytes,), BYTE, place, index if base is None else base, offset)


def make_node(index, after, reads=(), writes=()):
    return FillNode(
        index=index,
        name=f"n{index}",
        block="",
        reads=tuple(reads),
        writes=tuple(writes),
        after=tuple(after),
        target=0,
        value=0,
        nbytes=0,
    )


def make_chain(sizes, kept=()):
    """Node i reads buffer i - 1 and writes buffer i."""
    buffers = [make_buffer(i, size, Place.KEPT if i in kept else Place.ARENA) for i, size in enumerate(sizes)]
    nodes = [make_node(i, (i - 1,) if i else (), (i - 1,) if i else (), (i,)) for i in range(len(sizes))]
    return Plan(tuple(buffers), tuple(nodes), ())


@st.composite
def plans(draw):
    """Any DAG, with any access to roots and views of every place."""
    roots = draw(st.integers(1, 10))
    places = st.sampled_from([Place.ARENA, Place.ARENA, Place.ARENA, Place.KEPT, Place.STATE])
    buffers = [make_buffer(i, draw(st.integers(0, 2000)), draw(places)) for i in range(roots)]
    for index in range(roots, roots + draw(st.integers(0, 4))):
        base = buffers[draw(st.integers(0, roots - 1))]
        buffers.append(make_buffer(index, base.nbytes, base.place, base.index))
    nodes = []
    for index in range(draw(st.integers(0, 14))):
        before = st.lists(st.integers(max(0, index - 4), index - 1), max_size=3, unique=True)
        after = draw(before) if index else []
        operands = st.lists(st.sampled_from(range(len(buffers))), max_size=3, unique=True)
        nodes.append(make_node(index, sorted(after), draw(operands), draw(operands)))
    return Plan(tuple(buffers), tuple(nodes), ())


def check_layout(plan: Plan, layout: Layout, alignment: int = 256) -> None:
    """Buffers that overlap must be ordered: all users of the one before all users of the other, on every device."""
    order = nx.DiGraph()
    order.add_nodes_from(["start", *range(len(plan.nodes)), "end"])
    order.add_edge("start", "end")
    for node in plan.nodes:
        order.add_edges_from((before, node.index) for before in node.after)
        order.add_edges_from([("start", node.index), (node.index, "end")])
    before = {node: nx.ancestors(order, node) for node in order}
    users = {}
    for root in plan.roots():
        if root.place in (Place.ARENA, Place.KEPT):
            views = {buffer.index for buffer in plan.buffers if buffer.base == root.index}
            users[root.index] = {node.index for node in plan.nodes if views & {*node.reads, *node.writes}}
            if root.place is Place.KEPT:
                users[root.index] |= {"end"} if users[root.index] else {"start", "end"}
    assert layout.offsets.keys() == users.keys()
    for index, offset in layout.offsets.items():
        assert offset >= 0 and offset % alignment == 0
        assert offset + plan.buffers[index].nbytes <= layout.arena_nbytes
    for one, other in itertools.combinations(users, 2):
        first, second = layout.offsets[one], layout.offsets[other]
        overlap = first < second + plan.buffers[other].nbytes and second < first + plan.buffers[one].nbytes
        if overlap and plan.buffers[one].nbytes and plan.buffers[other].nbytes:
            forwards = all(a in before[b] for a in users[one] for b in users[other])
            backwards = all(b in before[a] for a in users[one] for b in users[other])
            assert forwards or backwards, f"b{one} and b{other} may be in use at once"


@given(plans(), st.sampled_from([96, 0]), st.sampled_from([16_384, 3]), st.sampled_from([1536, 0]))
@settings(max_examples=300, deadline=None)
def test_buffers_share_bytes_only_if_ordered(plan, narrow, widest, few):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_NARROW", narrow)
        patch.setattr(packing, "_FEW", few)
        patch.setattr("cudagraph.engine.memory._WIDEST_PHASE", widest)
        check_layout(plan, plan_memory(plan))


@given(plans(), st.sampled_from([pack_by_size, lambda lifetimes: pack_backwards(lifetimes, 512)]))
@settings(max_examples=100, deadline=None)
def test_each_way_of_packing_is_sound_by_itself(plan, pack):
    sizes = {b.index: -(-b.nbytes // 256) * 256 for b in plan.roots() if b.place in (Place.ARENA, Place.KEPT)}
    lifetimes = [lifetime for lifetime in find_lifetimes(plan, sizes) if lifetime.size]
    result = pack(lifetimes)
    offsets = {index: result.offsets.get(index, 0) for index in sizes}
    largest = max(sizes.values(), default=0)
    check_layout(plan, Layout(offsets, max(result.nbytes, largest), sum(sizes.values())))
    assert result.nbytes >= peak_nbytes(lifetimes)


@given(plans())
@settings(deadline=None)
def test_same_plan_same_layout(plan):
    assert plan_memory(plan) == plan_memory(plan)


@given(plans())
@settings(max_examples=50, deadline=None)
def test_without_reuse_nothing_overlaps(plan):
    layout = plan_memory(plan, reuse=False)
    end = 0
    for index, offset in sorted(layout.offsets.items(), key=lambda item: (item[1], item[0])):
        assert offset >= end
        end = offset + plan.buffers[index].nbytes
    assert end <= layout.arena_nbytes == layout.without_reuse_nbytes


@st.composite
def programs(draw):
    """A plan in which each node computes one buffer from others, as real plans do."""
    count = draw(st.integers(1, 16))
    reads = [draw(st.lists(st.integers(0, i - 1), max_size=3, unique=True)) if i else [] for i in range(count)]
    read = {index for used in reads for index in used}
    buffers = [
        make_buffer(i, draw(st.integers(1, 1500)), Place.ARENA if i in read else Place.KEPT) for i in range(count)
    ]
    return Plan(tuple(buffers), tuple(make_node(i, sorted(reads[i]), reads[i], (i,)) for i in range(count)), ())


@given(programs(), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_frames_run_in_any_legal_order_on_a_poisoned_arena(plan, seed):
    """Nodes overlap in time at random: each spoils its outputs when it starts and computes when it ends."""
    layout = plan_memory(plan)
    arena = np.full(layout.arena_nbytes, 0xFF, np.uint8)
    memory = [arena[layout.offsets[b.index] :][: b.nbytes] for b in plan.buffers]
    chance = random.Random(seed)
    waiting, running, done = set(range(len(plan.nodes))), set(), set()
    while waiting or running:
        ready = [node for node in sorted(waiting) if done.issuperset(plan.nodes[node].after)]
        node = chance.choice(ready + sorted(running))
        if node in waiting:
            waiting.remove(node)
            running.add(node)
            memory[node][:] = 0xFF
        else:
            running.remove(node)
            done.add(node)
            assert all((memory[index] == index).all() for index in plan.nodes[node].reads)
            memory[node][:] = node
    assert all((memory[b.index] == b.index).all() for b in plan.buffers if b.place is Place.KEPT)


@pytest.mark.parametrize("kept", [(), (9,), (0, 9)])
def test_a_chain_of_equal_buffers_needs_two_slots(kept):
    layout = plan_memory(make_chain([1000] * 10, kept))
    assert layout.arena_nbytes == 1024 * (3 if 0 in kept else 2)
    assert layout.without_reuse_nbytes == 10 * 1024


def lifetimes_of(plan):
    return find_lifetimes(plan, {b.index: b.nbytes for b in plan.roots() if b.place in (Place.ARENA, Place.KEPT)})


@pytest.mark.parametrize("seed", range(5))
def test_a_chain_of_any_sizes_needs_the_largest_two_neighbours(seed):
    chance = random.Random(seed)
    sizes = [chance.randrange(1, 100) * 256 for _ in range(300)]
    enough = max(map(sum, itertools.pairwise(sizes)))
    assert plan_memory(make_chain(sizes)).arena_nbytes == enough
    assert pack_backwards(lifetimes_of(make_chain(sizes)), enough).nbytes == enough


@pytest.mark.parametrize("pack", [pack_by_size, lambda lifetimes: pack_backwards(lifetimes, 1024)])
def test_small_buffers_share_what_a_large_one_left(pack):
    """Two of 512 bytes are in use at once, before and after one of 1024."""
    sizes = [512, 512, 0, 1024, 0, 512, 512]
    touched = [(0, 1), (0, 1), (2,), (3,), (4,), (5, 6), (5, 6)]
    nodes = tuple(make_node(i, (i - 1,) if i else (), (), touched[i]) for i in range(len(touched)))
    plan = Plan(tuple(make_buffer(i, size) for i, size in enumerate(sizes)), nodes, ())
    assert pack([lifetime for lifetime in lifetimes_of(plan) if lifetime.size]).nbytes == 1024


def test_independent_nodes_do_not_share_although_listed_one_after_the_other():
    buffers = tuple(make_buffer(i, 256) for i in range(2))
    apart = Plan(buffers, (make_node(0, (), (), (0,)), make_node(1, (), (), (1,))), ())
    ordered = Plan(buffers, (make_node(0, (), (), (0,)), make_node(1, (0,), (), (1,))), ())
    assert plan_memory(apart).arena_nbytes == 512
    assert plan_memory(ordered).arena_nbytes == 256


def test_order_through_several_edges_counts():
    nodes = (make_node(0, (), (), (0,)), make_node(1, (0,)), make_node(2, ()), make_node(3, (1,), (), (1,)))
    assert plan_memory(Plan((make_buffer(0, 256), make_buffer(1, 256)), nodes, ())).arena_nbytes == 256


def test_a_chain_beside_an_independent_node_still_reuses():
    chain = make_chain([256] * 50)
    free = make_node(50, (), (), (50,))
    plan = Plan((*chain.buffers, make_buffer(50, 256)), (*chain.nodes, free), ())
    assert plan_memory(plan).arena_nbytes == 3 * 256


def test_a_view_keeps_its_memory_alive():
    nodes = (make_node(0, (), (), (0,)), make_node(1, (0,), (0,), (1,)), make_node(2, (1,), (1, 3), (2,)))
    buffers = [make_buffer(i, 256) for i in range(3)]
    with_view = Plan((*buffers, make_buffer(3, 128, base=0, offset=128)), nodes, ())
    offsets = plan_memory(with_view).offsets
    assert set(offsets) == {0, 1, 2}
    assert len(set(offsets.values())) == 3


def test_only_arena_and_kept_buffers_are_placed():
    buffers = tuple(make_buffer(i, 64, place) for i, place in enumerate(Place))
    layout = plan_memory(Plan(buffers, (), ()))
    assert {buffers[index].place for index in layout.offsets} == {Place.ARENA, Place.KEPT}


def test_empty_plans_and_empty_buffers():
    assert plan_memory(Plan((), (), ())) == Layout({}, 0, 0)
    assert plan_memory(make_chain([0, 0])) == Layout({0: 0, 1: 0}, 0, 0)


@pytest.mark.parametrize("alignment", [16, 4096])
def test_alignment(alignment):
    plan = make_chain([1, 1, 1])
    check_layout(plan, plan_memory(plan, alignment=alignment), alignment)
    assert plan_memory(plan, alignment=alignment).arena_nbytes == 2 * alignment


def test_what_a_region_uses_inside_lives_as_long_as_the_region():
    buffers = tuple(make_buffer(i, 256) for i in range(3))
    body = (make_node(0, (), (), (1,)), make_node(1, (0,), (1,), (2,)))
    region = RegionNode(index=0, name="loop", block="", kind=RegionKind.LOOP, condition=0, bodies=(body,))
    assert plan_memory(Plan(buffers, (region,), ())).arena_nbytes == 3 * 256


def test_a_copy_needs_both_ends_at_once():
    copy = CopyNode(index=0, name="copy", block="", reads=(0,), writes=(1,), source=0, target=1, nbytes=256)
    assert plan_memory(Plan((make_buffer(0, 256), make_buffer(1, 256)), (copy,), ())).arena_nbytes == 512
