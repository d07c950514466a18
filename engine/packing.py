"""Packing lifetimes into one arena: a quick way for every plan, and a thorough one where it is cheap enough."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

_NARROW = 96  # segments; beyond it NumPy scans them faster than a loop
_FEW = 1536  # buffers; packing more of them by size would take longer than a rebuild should


class Lifetime(NamedTuple):
    """When one buffer is in use: from phase `first` to phase `last` of the graph, both included.

    `opening` are the nodes of the first phase that start its use; `behind` are the nodes of the last phase that come
    after all of its use. Both are masks over the nodes of their phase. `first_node` and `last_node` are in plan order.
    """

    buffer: int
    size: int
    first: int
    last: int
    opening: int
    behind: int
    first_node: int
    last_node: int

    def precedes(self, other: Lifetime) -> bool:
        """Whether all that touches this buffer is done before anything touches the other."""
        if self.last != other.first:
            return self.last < other.first
        return not other.opening & ~self.behind


class Packing(NamedTuple):
    """Byte offsets by buffer index, and the end of the last buffer."""

    offsets: dict[int, int]
    nbytes: int


def pack(lifetimes: Iterable[Lifetime]) -> Packing:
    """A small arena, in which buffers share bytes only if one precedes the other."""
    lifetimes = [lifetime for lifetime in lifetimes if lifetime.size]
    lower_bound = peak_nbytes(lifetimes)
    packing = pack_backwards(lifetimes, lower_bound)
    if packing.nbytes > lower_bound and len(lifetimes) <= _FEW:
        packing = min(packing, pack_by_size(lifetimes), key=lambda each: each.nbytes)
    return packing


def peak_nbytes(lifetimes: Iterable[Lifetime]) -> int:
    """The most that is in use at once when nodes run one by one in plan order: no arena can be smaller."""
    changes: list[tuple[int, int]] = []
    for lifetime in lifetimes:
        changes.append((lifetime.first_node, lifetime.size))
        changes.append((lifetime.last_node + 1, -lifetime.size))
    peak = used = 0
    for _, change in sorted(changes):
        used += change
        peak = max(peak, used)
    return peak


def pack_backwards(lifetimes: Iterable[Lifetime], capacity: int) -> Packing:
    """Place buffers from the end of the frame to its start, each in the tightest memory whose users all come later.

    `capacity` is the size to aim for; the arena grows where that is not enough.
    """
    order = sorted(lifetimes, key=lambda each: (-each.last_node, each.first_node, -each.size, each.buffer))
    arena = _Arena(order, capacity)
    offsets = {lifetime.buffer: arena.place(position) for position, lifetime in enumerate(order)}
    return Packing(offsets, arena.nbytes)


class _Arena:
    """The arena while it is packed backwards: segments side by side, each with the user that comes next in time."""

    def __init__(self, lifetimes: Sequence[Lifetime], capacity: int) -> None:
        self.nbytes = 0
        self._lifetimes = lifetimes
        self._starts = array("q", (0, capacity))  # one more than there are segments: the last is the arena's end
        self._users = array("q", (-1,))  # positions in `lifetimes`; -1 where nobody comes
        self._followers = _Followers(lifetimes)

    def place(self, position: int) -> int:
        """Offset of one more buffer. It ends no later than any that was placed before."""
        lifetime = self._lifetimes[position]
        scan = self._scan if len(self._users) <= _NARROW else self._scan_wide
        begin, end = scan(lifetime)
        missing = lifetime.size - (self._starts[end] - self._starts[begin])
        if missing > 0:
            end = self._grow(missing, begin)
        offset = self._starts[begin]
        if self._remaining(end) < self._remaining(begin - 1):  # lean on the neighbour that stays longer
            offset = self._starts[end] - lifetime.size
        self._occupy(offset, offset + lifetime.size, position)
        self.nbytes = max(self.nbytes, offset + lifetime.size)
        return offset

    def _scan(self, lifetime: Lifetime) -> tuple[int, int]:
        """The tightest run of usable segments that is large enough, else the run (maybe empty) at the arena's end."""
        starts, lifetimes = self._starts, self._lifetimes
        size, last, busy = lifetime.size, lifetime.last, ~lifetime.behind
        best: tuple[int, int] | None = None
        best_room = 0
        begin = -1
        for index, user in enumerate(self._users):
            if user < 0 or (other := lifetimes[user])[2] > last or (other[2] == last and not other[4] & busy):
                if begin < 0:
                    begin = index
            elif begin >= 0:
                room = starts[index] - starts[begin]
                if room >= size and (best is None or room < best_room):
                    best, best_room = (begin, index), room
                begin = -1
        count = len(self._users)
        tail = (begin if begin >= 0 else count, count)
        room = starts[count] - starts[tail[0]]
        return tail if best is None or size <= room < best_room else best

    def _scan_wide(self, lifetime: Lifetime) -> tuple[int, int]:
        """The same as `_scan`, for many segments."""
        usable = self._followers.among(np.frombuffer(self._users, np.int64), lifetime)
        starts = np.frombuffer(self._starts, np.int64)
        changes = np.flatnonzero(np.diff(usable, prepend=False, append=False))
        begins, ends = changes[::2], changes[1::2]
        rooms = starts[ends] - starts[begins]
        fits = rooms >= lifetime.size
        if fits.any():
            best = np.where(fits, rooms, np.iinfo(np.int64).max).argmin()
            return int(begins[best]), int(ends[best])
        count = len(usable)
        return (int(begins[-1]) if usable[-1] else count), count

    def _grow(self, missing: int, begin: int) -> int:
        """Make the run at the arena's end larger; returns where it ends now."""
        if begin == len(self._users):
            self._users.append(-1)
            self._starts.append(self._starts[-1])
        self._starts[-1] += missing
        return len(self._users)

    def _remaining(self, segment: int) -> int:
        """How long the user of a segment stays, looking backwards: the smaller, the longer. Walls stay for ever."""
        return self._lifetimes[self._users[segment]].first_node if 0 <= segment < len(self._users) else -2

    def _occupy(self, offset: int, end: int, position: int) -> None:
        starts, users = self._starts, self._users
        first = bisect_right(starts, offset, 0, len(users)) - 1
        stop = bisect_left(starts, end)
        new_starts, new_users = [offset], [position]
        if starts[first] < offset:
            new_starts.insert(0, starts[first])
            new_users.insert(0, users[first])
        if end < starts[stop]:
            new_starts.append(end)
            new_users.append(users[stop - 1])
        starts[first:stop] = array("q", new_starts)
        users[first:stop] = array("q", new_users)


class _Followers:
    """Who comes after a lifetime, for many at once."""

    def __init__(self, lifetimes: Sequence[Lifetime]) -> None:
        nodes = [_single_bit(lifetime.opening) for lifetime in lifetimes]
        self._width = max(nodes, default=0) // 8 + 2  # bytes of a mask; the last bit is never set
        never = 8 * self._width - 1
        self._opening = np.array([*(node if node >= 0 else never for node in nodes), never], np.int64)
        self._first = np.array([*(lifetime.first for lifetime in lifetimes), np.iinfo(np.int64).max], np.int64)

    def among(self, positions: np.ndarray, lifetime: Lifetime) -> np.ndarray:
        """For each position (-1: nobody, who always follows), whether the lifetime precedes it. Same shape, bool.

        A lifetime that several nodes start at the same time counts as not following inside a phase.
        """
        first = self._first[positions]
        follows = first > lifetime.last
        if lifetime.behind:
            inside = np.flatnonzero(first == lifetime.last)
            behind = lifetime.behind & (1 << 8 * self._width - 8) - 1
            bits = np.unpackbits(np.frombuffer(behind.to_bytes(self._width, "little"), np.uint8), bitorder="little")
            follows[inside] = bits[self._opening[positions[inside]]]
        return follows


def _single_bit(mask: int) -> int:
    """Position of the only bit that is set; -1 when there are several."""
    return -1 if mask & (mask - 1) else mask.bit_length() - 1


def pack_by_size(lifetimes: Iterable[Lifetime]) -> Packing:
    """Place the largest buffers first, each in the tightest gap that those in use at the same time leave. Quadratic."""
    order = sorted(lifetimes, key=lambda each: (-each.size, -each.last_node, each.buffer))
    followers, everyone = _Followers(order), np.arange(len(order))
    rows = [followers.among(everyone, lifetime) for lifetime in order]
    ordered = np.array(rows, bool).reshape(len(order), len(order))
    together = ~(ordered | ordered.T)
    starts = np.zeros(len(order), np.int64)
    sizes = np.array([lifetime.size for lifetime in order], np.int64)
    for position, size in enumerate(sizes):
        others = np.flatnonzero(together[position, :position])
        starts[position] = _tightest_gap(starts[others], sizes[others], size)
    offsets = {lifetime.buffer: int(start) for lifetime, start in zip(order, starts, strict=True)}
    return Packing(offsets, int((starts + sizes).max(initial=0)))


def _tightest_gap(starts: np.ndarray, sizes: np.ndarray, size: int) -> int:
    """Start of the smallest gap of at least `size` bytes between segments, else the end of the last one."""
    if not len(starts):
        return 0
    order = np.argsort(starts)
    starts = starts[order]
    ends = np.maximum.accumulate(starts + sizes[order])
    begins = np.concatenate(([0], ends[:-1]))
    gaps = starts - begins
    gaps[gaps < size] = np.iinfo(np.int64).max
    tightest = gaps.argmin()
    return int(begins[tightest] if gaps[tightest] < np.iinfo(np.int64).max else ends[-1])
