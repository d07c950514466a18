"""Things to do once the GPU is past the work that was started before: freeing memory, unloading kernels."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from .driver import Driver, DriverError


class Deferred:
    """A queue of actions, each behind an event on the stream. Nothing here waits, except `drain`."""

    def __init__(self, driver: Driver, stream: Any) -> None:
        self._driver = driver
        self._stream = stream
        self._waiting: deque[tuple[Any, Callable[[], object]]] = deque()

    def after_frames(self, action: Callable[[], object]) -> None:
        """Call `action` when everything on the stream up to now is done; on a dead context that is now."""
        self.collect()
        driver = self._driver
        try:
            event = driver.cuEventCreate(driver.raw.CUevent_flags.CU_EVENT_DISABLE_TIMING)
            driver.cuEventRecord(event, self._stream)
        except DriverError:
            _attempt(action)
        else:
            self._waiting.append((event, action))

    def collect(self) -> None:
        """Run the actions whose time has come."""
        while self._waiting and not self._driver.raw.cuEventQuery(self._waiting[0][0])[0]:
            self._run_first()

    def drain(self) -> None:
        """Wait for the stream, then run every action; on a dead context they are run all the same."""
        self._driver.raw.cuStreamSynchronize(self._stream)
        while self._waiting:
            self._run_first()

    def _run_first(self) -> None:
        event, action = self._waiting.popleft()
        self._driver.raw.cuEventDestroy(event)
        _attempt(action)


def _attempt(action: Callable[[], object]) -> None:
    try:
        action()
    except DriverError:
        pass  # the context died before: it took the thing to be freed with it
