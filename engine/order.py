"""The order of work: which step must wait for which, a deterministic sequence, and the shortest list of edges."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

Edges = list[set[int]]  # for each step, the steps it waits for


class Cycle(Exception):
    """The steps wait for each other. `steps` are the ones in one such circle, in order."""

    def __init__(self, steps: list[int]) -> None:
        super().__init__(steps)
        self.steps = steps


def topological_order(before: Edges) -> list[int]:
    """Steps in an order that respects `before`, the earliest declared one first wherever there is a choice."""
    waiting = [len(edges) for edges in before]
    after: list[list[int]] = [[] for _ in before]
    for step, edges in enumerate(before):
        for earlier in edges:
            after[earlier].append(step)
    ready = [step for step, count in enumerate(waiting) if count == 0]
    order: list[int] = []
    while ready:
        step = heapq.heappop(ready)
        order.append(step)
        for later in after[step]:
            waiting[later] -= 1
            if waiting[later] == 0:
                heapq.heappush(ready, later)
    if len(order) < len(before):
        raise Cycle(_find_cycle(before, waiting))
    return order


def _find_cycle(before: Edges, waiting: Sequence[int]) -> list[int]:
    step = next(step for step, count in enumerate(waiting) if count)
    path: list[int] = []
    position: dict[int, int] = {}
    while step not in position:
        position[step] = len(path)
        path.append(step)
        step = min(earlier for earlier in before[step] if waiting[earlier])
    return path[position[step] :][::-1]


def ancestors(before: Sequence[Sequence[int]] | Edges, order: Sequence[int]) -> list[int]:
    """For each step, the set of all steps before it as a bit mask."""
    masks = [0] * len(before)
    for step in order:
        mask = 0
        for earlier in before[step]:
            mask |= masks[earlier] | 1 << earlier
        masks[step] = mask
    return masks


def reduce_edges(before: Edges, order: Sequence[int]) -> list[tuple[int, ...]]:
    """Drop every edge that another path implies: fewer edges are fewer waits on the device."""
    masks = ancestors(before, order) if any(len(edges) > 1 for edges in before) else []
    reduced: list[tuple[int, ...]] = []
    for edges in before:
        if len(edges) > 1:
            implied = 0
            for earlier in edges:
                implied |= masks[earlier]
            edges = {earlier for earlier in edges if not implied >> earlier & 1}
        reduced.append(tuple(sorted(edges)))
    return reduced
