from __future__ import annotations

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from cudagraph.engine.reachability import Reachability


@st.composite
def dags(draw):
    count = draw(st.integers(0, 16))
    near = draw(st.integers(1, 16))  # small: narrow graphs with many cuts
    parents = [st.lists(st.integers(max(0, i - near), i - 1), max_size=3, unique=True) for i in range(1, count)]
    return [(), *(tuple(draw(parent)) for parent in parents)][:count]


@given(dags())
@settings(max_examples=300, deadline=None)
def test_precedes_is_the_transitive_closure(after):
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(after)))
    graph.add_edges_from((before, node) for node, edges in enumerate(after) for before in edges)
    reachability = Reachability(after)
    for node in graph:
        behind = nx.descendants(graph, node)
        assert {other for other in graph if reachability.precedes(node, other)} == behind


@given(dags())
@settings(deadline=None)
def test_phases_are_as_wide_as_they_say(after):
    reachability = Reachability(after)
    for phase in set(reachability.phase):
        assert reachability.width(phase) == reachability.phase.count(phase)
        assert phase % 2 == 0 or reachability.width(phase) == 1


def test_a_chain_is_all_cuts():
    assert Reachability([(), (0,), (1,)]).phase == [1, 3, 5]


def test_a_diamond_has_a_wide_middle():
    assert Reachability([(), (0,), (0,), (1, 2)]).phase == [1, 2, 2, 3]
