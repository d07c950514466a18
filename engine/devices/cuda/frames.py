"""The ring of frames in flight: events that mark their ends, and the records they leave behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import FrameRecord, Timing
from .bound import BoundPlan
from .counters import FRAMES
from .driver import Driver, DriverError
from .instance import GraphInstance


class Slot:
    """One frame in flight."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.start: Any = None
        self.end: Any = None
        self.frame = 0
        self.timing = Timing.OFF
        self.bound: BoundPlan | None = None
        self.instance: GraphInstance | None = None


class Frames:
    """At most three frames run at a time; the records of the three newest finished ones are kept."""

    def __init__(self, driver: Driver, fault: Callable[[Slot, Any], DriverError]) -> None:
        self._driver = driver
        self._raw = driver.raw
        self._fault = fault
        self._slots = [Slot(index) for index in range(FRAMES)]
        try:
            for slot in self._slots:
                slot.start = driver.cuEventCreate(0)
                slot.end = driver.cuEventCreate(0)
        except BaseException:
            self.close()
            raise
        self._next = 0
        self.in_flight: deque[Slot] = deque()  # oldest first
        self._records: deque[FrameRecord] = deque(maxlen=FRAMES)

    def acquire(self) -> Slot:
        """The slot for the next frame; waits for the oldest frame when all are in flight."""
        slot = self._slots[self._next]
        while slot in self.in_flight:
            self._retire_oldest()
        return slot

    def started(self, slot: Slot, frame: int, timing: Timing, bound: BoundPlan, instance: GraphInstance) -> None:
        """The frame in this slot is on its way. An interrupt after any of these lines leaves nothing that is wrong."""
        slot.frame, slot.timing, slot.bound, slot.instance = frame, timing, bound, instance
        self.in_flight.append(slot)
        self._next = (slot.index + 1) % FRAMES

    def collect(self) -> None:
        """Make the records of frames that are done, while what they were measured with exists."""
        while self.in_flight:
            status = self._raw.cuEventQuery(self.in_flight[0].end)[0]
            if status == self._raw.CUresult.CUDA_ERROR_NOT_READY:
                break
            self._finish_oldest(status)

    def finished(self) -> list[FrameRecord]:
        """Records of the frames that ended since the last call, oldest first."""
        self.collect()
        records = list(self._records)
        self._records.clear()
        return records

    def wait(self) -> None:
        """Block until every frame is done."""
        while self.in_flight:
            self._retire_oldest()

    def abandon(self) -> None:
        """Forget the frames in flight: the context died with them."""
        for slot in self._slots:
            slot.bound, slot.instance = None, None
        self.in_flight.clear()

    def _retire_oldest(self) -> None:
        self._finish_oldest(self._raw.cuEventSynchronize(self.in_flight[0].end)[0])

    def _finish_oldest(self, status: Any) -> None:
        slot = self.in_flight[0]
        if status:
            raise self._fault(slot, status)
        record = self._record(slot)
        self.in_flight.popleft()
        self._records.append(record)
        slot.bound, slot.instance = None, None

    def _record(self, slot: Slot) -> FrameRecord:
        assert slot.bound is not None and slot.instance is not None
        elapsed = self._driver.cuEventElapsedTime(slot.start, slot.end) if slot.timing >= Timing.FRAME else None
        counters = slot.bound.counters
        times = self._node_times(slot.start, slot.instance.pairs) if slot.timing >= Timing.NODE else None
        return FrameRecord(slot.frame, elapsed, None if counters is None else counters.values[slot.index].copy(), times)

    def _node_times(self, start: Any, events: list[tuple[Any, Any]]) -> np.ndarray:
        elapsed = self._driver.cuEventElapsedTime
        return np.array([(elapsed(start, a), elapsed(start, b)) for a, b in events], np.float64).reshape(len(events), 2)

    def close(self) -> None:
        """Destroy the events; nothing may be in flight."""
        for slot in self._slots:
            for event in (slot.start, slot.end):
                if event is not None:
                    self._raw.cuEventDestroy(event)
        self._slots = []
