"""Ctrl-C while the engine goes from one graph to the next: it is heard as soon as one of them is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class HeldInterrupts:
    """From `hold()` to the end of the `with` block a Ctrl-C is noted, then raised. A second one is raised at once."""

    def __init__(self) -> None:
        self._handler: Callable[[int, FrameType | None], Any] | None = None
        self._noted: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> HeldInterrupts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def hold(self) -> None:
        """Begin to hold. Signals reach the main thread only, so elsewhere there is nothing to do."""
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(handler):
            return
        try:
            signal.signal(signal.SIGINT, self._note)
        except ValueError:  # an interpreter inside another one gets no signals
            return
        self._handler = handler

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self._noted is not None
        self._noted = (number, frame)
        if again:
            self._release()

    def _release(self) -> None:
        handler = self._handler
        if handler is not None:
            signal.signal(signal.SIGINT, handler)  # first: what comes before is noted, what comes after is raised
            self._handler = None
            if self._noted is not None:
                handler(*self._noted)
