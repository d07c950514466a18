"""Where the append counters of each frame in flight land: pinned memory, one slot per frame."""

from __future__ import annotations

import numpy as np

from ...plan import Plan
from .driver import Driver
from .staging import PinnedBlock
from .work import copy_params

FRAMES = 3  # frames in flight


class CounterSlots:
    """Destinations of the one copy node at the end of a frame. `params[slot]` aims it at a slot."""

    def __init__(self, driver: Driver, count: int, address: int) -> None:
        self._block = PinnedBlock(driver, 4 * count * FRAMES)
        self.params = [copy_params(driver.raw, 4 * count, to_host=True) for _ in range(FRAMES)]
        self.values = np.frombuffer(self._block.view, np.uint32).reshape(FRAMES, count)
        for slot, params in enumerate(self.params):
            params.dstHost = self._block.address + 4 * count * slot
        self.move(address)

    @classmethod
    def of(cls, driver: Driver, plan: Plan, addresses: list[int]) -> CounterSlots | None:
        """Slots for a plan's counters; None when it has none."""
        if plan.counter_buffer is None or not plan.counters:
            return None
        return cls(driver, len(plan.counters), addresses[plan.counter_buffer])

    def move(self, address: int) -> None:
        """The counters lie elsewhere on the device from now on."""
        for params in self.params:
            params.srcDevice = address

    def close(self) -> None:
        """Give the pinned memory back; no frame writes into it any more."""
        self.values = np.zeros((FRAMES, 0), np.uint32)
        self._block.close()


def counter_writers(plan: Plan) -> list[int]:
    """The nodes after which the counters are final."""
    own = {buffer.index for buffer in plan.buffers if buffer.base == plan.counter_buffer}
    return [node.index for node in plan.nodes if own.intersection(node.writes)]
