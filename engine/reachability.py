"""Which node certainly runs after which other: the question behind memory reuse and behind hazard checks.

Nodes may run at the same time on a device unless a path of `after` edges orders them. Most graphs are narrow: again and
again one node waits for everything before it and everything after it waits for that node. Such a node cuts the graph,
so the nodes fall into phases, and nodes of different phases are always ordered. Only within a phase between two cuts do
masks of descendants decide, so a chain of any length costs linear time.
"""

from __future__ import annotations

from collections.abc import Sequence


class Reachability:
    """Order between the nodes of a DAG; `after[i]` holds the direct predecessors of node i, all smaller than i.

    `phase[i]` is odd for a cutting node, which is alone in its phase. `start[p]` is the first node of phase p.
    """

    def __init__(self, after: Sequence[Sequence[int]]) -> None:
        self._after = after
        cuts = _cutting_nodes(after)
        self.phase: list[int] = []
        self.start: list[int] = []
        for index, cut in enumerate((*cuts, len(after))):
            begin = cuts[index - 1] + 1 if index else 0
            self.phase.extend([2 * index] * (cut - begin))
            self.start.extend((begin, cut))
            if cut < len(after):
                self.phase.append(2 * index + 1)
        self._descendants: dict[int, list[int]] = {}

    def precedes(self, first: int, second: int) -> bool:
        """Whether node `first` is a (transitive) predecessor of node `second`."""
        phase = self.phase[first]
        if phase != self.phase[second]:
            return phase < self.phase[second]
        begin = self.start[phase]
        return bool(self.descendants(phase)[first - begin] >> (second - begin) & 1)

    def width(self, phase: int) -> int:
        """How many nodes a phase has."""
        following = phase + 1
        return (self.start[following] if following < len(self.start) else len(self._after)) - self.start[phase]

    def descendants(self, phase: int) -> list[int]:
        """Per node of the phase, a mask of its descendants in the phase (bit 0 is the phase's first node)."""
        masks = self._descendants.get(phase)
        if masks is None:
            begin = self.start[phase]
            masks = self._descendants[phase] = _descendants(self._after, begin, begin + self.width(phase))
        return masks


def _cutting_nodes(after: Sequence[Sequence[int]]) -> list[int]:
    """Nodes that are ordered with every other node: the only sink of all before, the only source of all behind."""
    count = len(after)
    followed = bytearray(count)
    entered = [0] * count  # per node, how many nodes have it as their latest predecessor
    only_sink = bytearray(count)
    sinks = 0
    for node, predecessors in enumerate(after):
        for predecessor in predecessors:
            if not followed[predecessor]:
                followed[predecessor] = 1
                sinks -= 1
        sinks += 1
        only_sink[node] = sinks == 1
        if predecessors:
            entered[max(predecessors)] += 1
    cuts: list[int] = []
    sources = 0
    for node in range(count - 1, -1, -1):
        sources += 1 - entered[node]
        if sources == 1 and only_sink[node]:
            cuts.append(node)
    return cuts[::-1]


def _descendants(after: Sequence[Sequence[int]], begin: int, end: int) -> list[int]:
    masks = [0] * (end - begin)
    for node in range(end - 1, begin - 1, -1):
        predecessors = after[node]
        if not predecessors:
            continue
        mask = masks[node - begin] | 1 << (node - begin)
        for predecessor in predecessors:
            if predecessor >= begin:
                masks[predecessor - begin] |= mask
    return masks
