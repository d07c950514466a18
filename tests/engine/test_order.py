"""Order: a deterministic topological one, and no edge that another path implies, as networkx sees it."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cudagraph.engine.order import Cycle, ancestors, reduce_edges, topological_order


@st.composite
def graphs(draw, acyclic=True):
    """For each step, the steps before it, in a random numbering."""
    count = draw(st.integers(0, 14))
    names = draw(st.permutations(range(count)))
    before = [set() for _ in range(count)]
    for step in range(count):
        earlier = st.integers(0, step - 1 if acyclic else count - 1)
        for other in draw(st.sets(earlier, max_size=4)) if step or not acyclic else ():
            before[names[step]].add(names[other])
    return before


def graph_of(before):
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(before)))
    graph.add_edges_from((earlier, step) for step, edges in enumerate(before) for earlier in edges)
    return graph


@settings(max_examples=300)
@given(graphs())
def test_the_order_is_the_smallest_topological_one(before):
    assert topological_order(before) == list(nx.lexicographical_topological_sort(graph_of(before)))


@settings(max_examples=300)
@given(graphs())
def test_edges_are_the_transitive_reduction(before):
    reduced = reduce_edges(before, topological_order(before))
    assert {(a, b) for b, edges in enumerate(reduced) for a in edges} == set(
        nx.transitive_reduction(graph_of(before)).edges
    )
    assert all(list(edges) == sorted(edges) for edges in reduced)


@given(graphs())
def test_ancestors_are_all_that_lie_before(before):
    masks = ancestors(before, topological_order(before))
    graph = graph_of(before)
    for step, mask in enumerate(masks):
        assert {other for other in range(len(before)) if mask >> other & 1} == nx.ancestors(graph, step)


@settings(max_examples=300)
@given(graphs(acyclic=False))
def test_a_circle_is_found_where_there_is_one(before):
    graph = graph_of(before)
    if nx.is_directed_acyclic_graph(graph):
        topological_order(before)
        return
    with pytest.raises(Cycle) as caught:
        topological_order(before)
    steps = caught.value.steps
    assert steps
    assert all(graph.has_edge(a, b) for a, b in zip(steps, steps[1:] + steps[:1], strict=True))


def test_a_long_chain_needs_no_recursion():
    before = [set()] + [{i} for i in range(20_000)]
    assert topological_order(before) == list(range(20_001))
    assert reduce_edges(before, range(20_001))[-1] == (19_999,)
