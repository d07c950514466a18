"""Device memory behind a plan: one arena for what lives within a frame, separate allocations for what survives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from cudagraph.errors import CudaGraphError, DescriptionError
from cudagraph.port import DelayPort, Port
from cudagraph.tensor import State, Weight, initial

from .allocate import allocate
from .devices.base import Device
from .memory import Layout
from .plan import Buffer, Place, Plan

IN_ARENA = (Place.ARENA, Place.KEPT)


@dataclass(slots=True)
class Allocation:
    """Device memory of one persistent buffer."""

    address: int
    nbytes: int
    shape: tuple[int, ...]
    fresh: bool = True  # nothing but its initial contents was ever in it


Sides = tuple[Allocation, Allocation, bool, bool]


@dataclass
class Draft:
    """Memory for a plan that is not running yet. `commit` makes it the current one, `discard` gives it back."""

    addresses: list[int]
    persistent: dict[object, Allocation]
    arena: Allocation | None
    views: dict[int, list[Buffer]] = field(default_factory=dict)  # by the root buffer whose memory they see
    created: list[Allocation] = field(default_factory=list)
    sent: list[tuple[State, np.ndarray]] = field(default_factory=list)  # assigned contents that are in new memory now


class Storage:
    """Owns every allocation of an engine, keyed by what it belongs to, so that contents survive a new plan."""

    def __init__(self, device: Device, *, poison: bool = False) -> None:
        self._device = device
        self._poison = poison
        self._persistent: dict[object, Allocation] = {}
        self._arena: Allocation | None = None
        self._left: set[object] = set()  # owners that were taken out: the next plan makes their memory anew
        self.addresses: list[int] = []
        self._views: dict[int, list[Buffer]] = {}

    @property
    def arena_nbytes(self) -> int:
        """Size of the arena."""
        return self._arena.nbytes if self._arena else 0

    @property
    def persistent_nbytes(self) -> int:
        """Size of everything outside the arena that the engine allocated."""
        return sum(allocation.nbytes for allocation in self._persistent.values())

    def draft(self, plan: Plan, layout: Layout, bound: Callable[[Port], int]) -> Draft:
        """Addresses for every buffer of the plan, allocating what is missing. On an error nothing stays allocated."""
        draft = Draft([0] * len(plan.buffers), {}, None)
        try:
            draft.arena = self._arena_for(layout.arena_nbytes, plan, draft)
            base = draft.arena.address if draft.arena else 0
            for buffer in plan.roots():
                if buffer.place in IN_ARENA:
                    draft.addresses[buffer.index] = base + layout.offsets[buffer.index]
                elif buffer.place is Place.INPUT:
                    draft.addresses[buffer.index] = bound(buffer.owner)  # type: ignore[arg-type]
                else:
                    draft.addresses[buffer.index] = self._persistent_for(buffer, plan, draft).address
        except BaseException:
            self.discard(draft)
            raise
        for buffer in plan.buffers:
            if buffer.is_view:
                draft.addresses[buffer.index] = draft.addresses[buffer.base] + buffer.offset
                draft.views.setdefault(buffer.base, []).append(buffer)
        return draft

    def commit(self, draft: Draft) -> None:
        """Use the draft from now on; what it does not use is freed."""
        for owner, allocation in self._persistent.items():
            if draft.persistent.get(owner) is not allocation:
                self._device.free(allocation.address)
        if self._arena is not None and self._arena is not draft.arena:
            self._device.free(self._arena.address)
        self._persistent = draft.persistent
        self._left.clear()
        self._arena = draft.arena
        self.addresses = draft.addresses
        self._views = draft.views
        for state, contents in draft.sent:
            state.sent(contents)
        for owner, allocation in draft.persistent.items():
            if isinstance(owner, State):
                owner.settle(allocation.shape)

    def discard(self, draft: Draft) -> None:
        """Give back what only the draft uses."""
        for allocation in draft.created:
            self._device.free(allocation.address)

    def leave(self, owners: Iterable[object]) -> None:
        """These may come back with other contents; until the next plan runs, the present one keeps their memory."""
        self._left.update(owners)

    def poison_arena(self) -> None:
        """Fill what lives within a frame with 0xFF: data that no kernel wrote shows as NaN."""
        if self._arena is not None:
            self._device.fill(self._arena.address, self._arena.nbytes, 0xFF)

    def move(self, index: int, address: int) -> None:
        """Record that a root buffer (and its views) has another address."""
        self.addresses[index] = address
        for view in self._views.get(index, ()):
            self.addresses[view.index] = address + view.offset

    def sides(self, current: Buffer, previous: Buffer) -> Sides:
        """The memory of a delay's two buffers, to go back to."""
        here, there = self._persistent[current.owner], self._persistent[previous.owner]
        return here, there, here.fresh, there.fresh

    def restore(self, current: Buffer, previous: Buffer, sides: Sides) -> None:
        """Go back, whatever a swap did or did not do."""
        here, there, here.fresh, there.fresh = sides
        self._persistent[current.owner], self._persistent[previous.owner] = here, there
        self.move(current.index, here.address)
        self.move(previous.index, there.address)

    def swap(self, current: Buffer, previous: Buffer) -> bool:
        """Exchange the memory of a delay's two buffers; False before the first frame: nothing to pass on."""
        here, there = self._persistent[current.owner], self._persistent[previous.owner]
        if here.fresh:
            here.fresh = there.fresh = False
            return False
        self._persistent[current.owner], self._persistent[previous.owner] = there, here
        self.move(current.index, there.address)
        self.move(previous.index, here.address)
        return True

    def mark_fresh(self, current: Buffer, previous: Buffer) -> None:
        """A delay's buffers have been exchanged ahead of the next frame, which must not do it again."""
        self._persistent[current.owner].fresh = self._persistent[previous.owner].fresh = True

    def close(self) -> None:
        """Free everything."""
        for allocation in (*self._persistent.values(), *((self._arena,) if self._arena else ())):
            self._device.free(allocation.address)
        self._persistent = {}
        self._arena = None

    def _arena_for(self, nbytes: int, plan: Plan, draft: Draft) -> Allocation | None:
        if nbytes == 0:
            return None
        if self._arena is not None and nbytes <= self._arena.nbytes <= 2 * nbytes:
            return self._arena
        largest = max((each for each in plan.roots() if each.place in IN_ARENA), key=lambda each: each.nbytes)
        subject = f"what lives within a frame (the largest part is {largest.name}: {largest.nbytes:,} bytes)"
        return self._allocate(nbytes, (nbytes,), draft, subject, largest)

    def _persistent_for(self, buffer: Buffer, plan: Plan, draft: Draft) -> Allocation:
        owner = buffer.owner if buffer.owner is not None else buffer.name
        known = None if owner in self._left else self._persistent.get(owner)
        if known is None or known.shape != buffer.shape or known.nbytes < buffer.nbytes:
            known = self._allocate(buffer.nbytes, buffer.shape, draft, buffer.name, buffer)
            self._initialise(buffer, plan, known, draft)
        draft.persistent[owner] = known
        return known

    def _allocate(self, nbytes: int, shape: tuple[int, ...], draft: Draft, subject: str, blamed: Buffer) -> Allocation:
        address = allocate(self._device, nbytes, subject, getattr(blamed.owner, "block", None))
        allocation = Allocation(address, nbytes, shape)
        draft.created.append(allocation)
        if self._poison:
            self._device.fill(allocation.address, max(nbytes, 1), 0xFF)
        return allocation

    def _initialise(self, buffer: Buffer, plan: Plan, allocation: Allocation, draft: Draft) -> None:
        try:
            contents = first_contents(buffer, plan)
        except CudaGraphError:
            raise
        except Exception as problem:  # a user's initialiser may raise anything; the running graph must not stop for it
            error = DescriptionError(f"the initial value of {buffer.name} could not be made: {problem!r}")
            error.block = getattr(buffer.owner, "block", None)
            raise error from problem
        if contents is not None and contents.nbytes:
            self._device.upload(allocation.address, contents)
        if isinstance(buffer.owner, State) and contents is buffer.owner.pending and contents is not None:
            draft.sent.append((buffer.owner, contents))


def first_contents(buffer: Buffer, plan: Plan) -> np.ndarray | None:
    """What a persistent buffer holds before the first frame; None when a frame writes it before anyone reads."""
    owner = buffer.owner
    if isinstance(owner, Weight):
        return owner.value
    if isinstance(owner, State):
        return owner.contents_for(buffer.shape)
    if isinstance(owner, DelayPort):
        return initial(owner.init, buffer.shape, buffer.dtype, owner.path)
    if buffer.place is Place.PARAMETERS:
        return np.frombuffer(plan.parameter_image, np.uint8)
    return None
