"""Measuring: profile levels, and what finished frames leave on the blocks."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cudagraph.block import Block
from cudagraph.errors import DescriptionError
from cudagraph.port import AppendPort, FaultPort

from .devices.base import Device, FrameRecord, Timing
from .plan import Plan

if TYPE_CHECKING:
    from .build import Running

_KEPT_FRAMES = 256  # for traces and the mean frame time


class ProfileLevel(StrEnum):
    """How much is measured."""

    OFF = "off"
    FRAME = "frame"  # the whole frame
    BLOCK = "block"  # each block
    KERNEL = "kernel"  # each kernel, copy and call
    DEEP = "deep"  # as `kernel`, and every frame is waited for: exact, and slow


_TIMINGS = {ProfileLevel.OFF: Timing.OFF, ProfileLevel.FRAME: Timing.FRAME}


class Profile:
    """Hands frame records to the blocks' `debug`, and remembers the recent ones."""

    def __init__(self, level: ProfileLevel) -> None:
        self.level = level
        self.frames: deque[FrameRecord] = deque(maxlen=_KEPT_FRAMES)
        self._first_frame = 0
        self._blocks: list[tuple[Block, np.ndarray]] | None = None  # made when times are first published
        self._ports: list[tuple[AppendPort | FaultPort, int]] | None = None

    @property
    def observing(self) -> bool:
        """Whether results are collected at every frame, asked for or not."""
        return self.level is not ProfileLevel.OFF

    @property
    def timing(self) -> Timing:
        """What the executable has to measure for this level."""
        return _TIMINGS.get(self.level, Timing.NODE)

    def set_level(self, level: str | ProfileLevel) -> None:
        """Measure at another level from the next frame on."""
        try:
            self.level = ProfileLevel(level)
        except ValueError:
            raise DescriptionError(
                f"there is no profile level {level!r}; choose one of {', '.join(ProfileLevel)}"
            ) from None
        self.frames.clear()

    def reset(self, first_frame: int) -> None:
        """Another plan runs from this frame on: its nodes and counters belong to other blocks."""
        self.frames.clear()
        self._first_frame = first_frame
        self._blocks = None
        self._ports = None

    def publish(self, running: Running) -> None:
        """Collect finished frames, oldest first. What is left of frames of an earlier plan is dropped."""
        for record in running.executable.finished():
            if record.frame < self._first_frame:
                continue
            self.frames.append(record)
            if record.counters is not None:
                self._publish_counts(record.frame, record.counters, running)
            if record.node_times is not None:
                self._publish_times(record.frame, record.node_times, running)

    def _publish_counts(self, frame: int, counters: np.ndarray, running: Running) -> None:
        if self._ports is None:
            self._ports = [(c.port, c.index) for c in running.plan.counters]
        for port, index in self._ports:
            count = int(counters[index])
            if isinstance(port, FaultPort):
                port.block.debug.add_fault(frame, port.message, count)
            else:
                port.block.debug.add_count(frame, port.name, count, port.capacity)

    def _publish_times(self, frame: int, times: np.ndarray, running: Running) -> None:
        if self._blocks is None:
            self._blocks = _nodes_of_blocks(running)
        lengths = times[:, 1] - times[:, 0]
        for block, nodes in self._blocks:
            block.debug.add_time(frame, float(lengths[nodes].sum()))

    def mean_frame_ms(self) -> float | None:
        """Mean device time of the remembered frames."""
        times = [record.elapsed_ms for record in self.frames if record.elapsed_ms is not None]
        return sum(times) / len(times) if times else None

    def mean_node_ms(self) -> np.ndarray | None:
        """Mean device time of each node over the remembered frames."""
        times = [record.node_times for record in self.frames if record.node_times is not None]
        return np.mean([stamps[:, 1] - stamps[:, 0] for stamps in times], axis=0) if times else None

    def write_trace(self, path: str | Path, plan: Plan, device: Device) -> None:
        """The remembered frames as a Perfetto trace."""
        from .trace import write_frames

        measured = [record for record in self.frames if record.node_times is not None]
        if not measured:
            raise DescriptionError(
                "no frame was measured per kernel yet: engine.profile = 'kernel', then update() a few times"
            )
        write_frames(path, measured, plan, device.description)


def _nodes_of_blocks(running: Running) -> list[tuple[Block, np.ndarray]]:
    """Every block with the nodes inside it; a composite's time covers everything that it contains."""
    by_path = {block.path: block for block in running.context.walk()}
    members: dict[str, list[int]] = {}
    for node in running.plan.nodes:
        path = node.block
        while path:
            members.setdefault(path, []).append(node.index)
            path = path.rpartition("/")[0]
    return [(by_path[path], np.array(nodes)) for path, nodes in members.items() if path in by_path]
