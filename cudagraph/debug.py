"""What a block tells about its last frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum


class BlockState(StrEnum):
    """How a block is doing."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    NOT_COMPILED = "not_compiled"


class BlockDebug:
    """State, timings and append counts of one block. Reading a value collects what finished frames left behind.

    Times are milliseconds of device time and need the profile level `block` or finer; they are None until then.
    """

    __slots__ = (
        "_append_counts",
        "_append_overflow",
        "_faults",
        "_collect",
        "_frame",
        "_mean_ms",
        "_samples",
        "_time_ms",
        "message",
        "state",
    )

    def __init__(self) -> None:
        self.state = BlockState.NOT_COMPILED
        self.message = "not in a running engine yet: add the block and call engine.update()"
        self._collect: Callable[[], None] | None = None
        self.reset()

    def reset(self) -> None:
        """Forget times and counts, as after a rebuild."""
        self._time_ms: float | None = None
        self._mean_ms: float | None = None
        self._samples = 0
        self._append_counts: dict[str, int] = {}
        self._append_overflow: dict[str, int] = {}
        self._faults: dict[str, int] = {}  # message -> how often in the last frame
        self._frame = -1

    @property
    def time_ms(self) -> float | None:
        """Device time of the last measured frame."""
        self._fresh()
        return self._time_ms

    @property
    def mean_time_ms(self) -> float | None:
        """Running mean over the measured frames (weight of a new one: 1/32, equal weights for the first 32)."""
        self._fresh()
        return self._mean_ms

    @property
    def append_counts(self) -> Mapping[str, int]:
        """Elements appended in that frame, by append port. May exceed the capacity: see `append_overflow`."""
        self._fresh()
        return self._append_counts

    @property
    def append_overflow(self) -> Mapping[str, int]:
        """Elements that did not fit in that frame, by append port; only ports that lost some."""
        self._fresh()
        return self._append_overflow

    @property
    def frame(self) -> int:
        """Number of the last finished frame that left results here; -1 before the first."""
        self._fresh()
        return self._frame

    def attach(self, collect: Callable[[], None] | None) -> None:
        """Ask `collect` for the results of finished frames before anything is read."""
        self._collect = collect

    def set_state(self, state: BlockState, message: str = "") -> None:
        """Called by the engine when the block compiled, failed or recovered."""
        self.state = state
        self.message = message

    def add_time(self, frame: int, time_ms: float) -> None:
        """Called by the engine for each measured frame."""
        self._frame = frame
        self._time_ms = time_ms
        self._samples = min(self._samples + 1, 32)
        mean = time_ms if self._mean_ms is None else self._mean_ms
        self._mean_ms = mean + (time_ms - mean) / self._samples

    def add_count(self, frame: int, port: str, count: int, capacity: int) -> None:
        """Called by the engine for each append port and finished frame."""
        self._frame = frame
        self._append_counts[port] = count
        if count > capacity:
            self._append_overflow[port] = count - capacity
            lost = ", ".join(f"{name} lost {number:,}" for name, number in self._append_overflow.items())
            self.set_state(BlockState.WARNING, f"append overflow: {lost} elements; raise the capacity or append less")
        elif self._append_overflow.pop(port, None) is not None and not self._append_overflow:
            self.set_state(BlockState.OK)

    def add_fault(self, frame: int, message: str, count: int) -> None:
        """Called by the engine for each fault counter and finished frame."""
        self._frame = frame
        if not count and message not in self._faults:
            return
        shown = self._shown_faults()
        if count:
            self._faults[message] = count
        else:
            del self._faults[message]
        if self.state is not BlockState.ERROR or self.message == shown:  # another error is the one to mend first
            self.set_state(BlockState.ERROR if self._faults else BlockState.OK, self._shown_faults())

    def _shown_faults(self) -> str:
        return "; ".join(f"{text} ({number:,} times)" for text, number in self._faults.items())

    def _fresh(self) -> None:
        if self._collect is not None:
            self._collect()

    def __repr__(self) -> str:
        time = "" if self.time_ms is None else f", {self.time_ms:.3f} ms"
        counts = "".join(f", {name}: {count:,}" for name, count in self._append_counts.items())
        return f"{self.state}{time}{counts}" + (f" ({self.message})" if self.message else "")
