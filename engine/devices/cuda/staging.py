"""Pinned memory through which uploads pass, so that the caller's array may change at once."""

from __future__ import annotations

import ctypes
from typing import Any

from .driver import Driver

SMALL = (64 * 1024, 8)  # bytes and number of slots for parameters, tables and small weights
LARGE = (8 * 1024 * 1024, 2)  # and for everything else: one slot is filled while the other travels


class PinnedBlock:
    """Page-locked host memory. `view` covers it."""

    def __init__(self, driver: Driver, nbytes: int) -> None:
        self._driver = driver
        self.nbytes = nbytes
        self.address = int(driver.cuMemHostAlloc(nbytes, driver.raw.CU_MEMHOSTALLOC_PORTABLE))
        self.view = memoryview((ctypes.c_char * nbytes).from_address(self.address)).cast("B")

    def close(self) -> None:
        """Give the memory back. Safe to call twice."""
        address, self.address = self.address, 0
        if address:
            self._driver.raw.cuMemFreeHost(address)


class StagingRing:
    """Slots of pinned memory used in turn; a slot is reused only when its copy has run."""

    def __init__(self, driver: Driver, stream: Any, slot_bytes: int, slots: int) -> None:
        self._driver = driver
        self._stream = stream
        self._slot_bytes = slot_bytes
        self._block = PinnedBlock(driver, slot_bytes * slots)
        flags = driver.raw.CUevent_flags.CU_EVENT_DISABLE_TIMING
        self._events = [driver.cuEventCreate(flags) for _ in range(slots)]
        self._next = 0

    def send(self, address: int, data: memoryview) -> None:
        """Copy the bytes to the device in stream order; `data` may change as soon as this returns."""
        for start in range(0, len(data), self._slot_bytes):
            self._send_chunk(address + start, data[start : start + self._slot_bytes])

    def _send_chunk(self, address: int, data: memoryview) -> None:
        driver, slot = self._driver, self._next
        self._next = (slot + 1) % len(self._events)
        driver.cuEventSynchronize(self._events[slot])  # returns at once for an event never recorded
        offset = slot * self._slot_bytes
        self._block.view[offset : offset + len(data)] = data
        driver.cuMemcpyHtoDAsync(address, self._block.address + offset, len(data), self._stream)
        driver.cuEventRecord(self._events[slot], self._stream)

    def close(self) -> None:
        """Give everything back; the stream must be idle."""
        for event in self._events:
            self._driver.raw.cuEventDestroy(event)
        self._events = []
        self._block.close()
