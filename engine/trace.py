"""Measured frames as a trace that Perfetto (ui.perfetto.dev) and chrome://tracing open."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cudagraph.errors import DescriptionError

from .devices.base import FrameRecord
from .plan import Plan

_ENGINE, _DEVICE = 1, 2  # process ids of the two groups of tracks
_UPDATES, _FRAMES = 1, 1  # the first track of each


@dataclass(frozen=True, slots=True)
class TraceFrame:
    """One frame: when `update()` began, how long it took (`apply_us` of that for changes), what the device measured.

    Times in microseconds on one clock. `tier` is the most expensive kind of change that the frame brought.
    """

    frame: int
    start_us: float
    update_us: float
    tier: str
    record: FrameRecord
    plan: Plan
    apply_us: float = 0.0


Event = dict[str, Any]


def write_trace(
    path: str | Path, frames: Sequence[TraceFrame], *, device: str = "device", engine: str = "engine"
) -> None:
    """Write frames, oldest first: tracks for `update()`, for frames, for each block's nodes and for append counts."""
    _write(path, _events(frames, device, engine))


def write_frames(path: str | Path, records: Iterable[FrameRecord], plan: Plan, device: str) -> None:
    """Write what the device measured, frame behind frame, without the engine's side of it."""
    _write(path, _events([TraceFrame(record.frame, 0.0, 0.0, "", record, plan) for record in records], device, None))


def _write(path: str | Path, events: Iterable[Event]) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"displayTimeUnit": "ms", "traceEvents": [')
            for index, event in enumerate(events):
                file.write(",\n" if index else "\n")
                json.dump(event, file, allow_nan=False)
            file.write("\n]}\n")
    except OSError as error:
        raise DescriptionError(f"the trace cannot be written to {path}: {error.strerror or error}") from error


def _events(frames: Sequence[TraceFrame], device: str, engine: str | None) -> Iterator[Event]:
    tracks = _Tracks()
    yield _name("process_name", _DEVICE, 0, device)
    yield _name("thread_name", _DEVICE, _FRAMES, "frames")
    if engine is not None:
        yield _name("process_name", _ENGINE, 0, engine)
        yield _name("thread_name", _ENGINE, _UPDATES, "update")
    free = 0.0  # when the device is done with the frame before
    for frame in frames:
        begin = max(free, frame.start_us + frame.update_us)
        free = begin + _length_us(frame)
        if engine is not None:
            yield from _update(frame, begin)
        yield from _device_frame(frame, begin, free, tracks)
    yield from tracks.names()


def _length_us(frame: TraceFrame) -> float:
    record = frame.record
    length = record.elapsed_ms or 0.0
    if record.node_times is not None:  # NaN where a node did not run
        length = float(np.fmax.reduce(record.node_times[:, 1], initial=length))
    return 1e3 * length


def _update(frame: TraceFrame, device_begin: float) -> Iterator[Event]:
    launch = frame.start_us + frame.apply_us
    end = frame.start_us + frame.update_us
    args = {"frame": frame.frame, "tier": frame.tier}
    yield _slice(_ENGINE, _UPDATES, f"update {frame.frame}", frame.start_us, end, args)
    if frame.apply_us:
        yield _slice(_ENGINE, _UPDATES, "apply", frame.start_us, launch, {"tier": frame.tier})
    yield _slice(_ENGINE, _UPDATES, "launch", launch, end, {})
    arrow = {"cat": "frame", "name": "launch", "id": frame.frame}
    yield {"ph": "s", "pid": _ENGINE, "tid": _UPDATES, "ts": launch, **arrow}
    yield {"ph": "f", "bp": "e", "pid": _DEVICE, "tid": _FRAMES, "ts": device_begin, **arrow}


def _device_frame(frame: TraceFrame, begin: float, end: float, tracks: _Tracks) -> Iterator[Event]:
    record = frame.record
    yield _slice(_DEVICE, _FRAMES, f"frame {frame.frame}", begin, end, {"frame": frame.frame})
    if record.node_times is not None:
        for node, (start_ms, end_ms) in zip(frame.plan.nodes, record.node_times.tolist(), strict=True):
            if start_ms <= end_ms:  # neither is NaN: the node ran
                start, stop = begin + 1e3 * start_ms, begin + 1e3 * end_ms
                track = tracks.track(node.block or "engine", start, stop)
                args = {"block": node.block, "kind": type(node).__name__.removesuffix("Node").lower()}
                yield _slice(_DEVICE, track, node.name.rpartition(":")[2], start, stop, args)
    if record.counters is not None:
        for counter in frame.plan.counters:
            count = int(record.counters[counter.index])
            yield {"ph": "C", "pid": _DEVICE, "tid": 0, "name": counter.name, "ts": end, "args": {"count": count}}


class _Tracks:
    """A track per block, and more for nodes of one block that run at once: slices of a track may not overlap."""

    def __init__(self) -> None:
        self._lanes: dict[str, list[tuple[int, float]]] = {}  # per block: track id, and when it is free again
        self._count = _FRAMES

    def track(self, block: str, start: float, end: float) -> int:
        """The first track of the block that is free at `start`."""
        lanes = self._lanes.setdefault(block, [])
        for position, (track, free) in enumerate(lanes):
            if free <= start:
                lanes[position] = (track, end)
                return track
        self._count += 1
        lanes.append((self._count, end))
        return self._count

    def names(self) -> Iterator[Event]:
        """The events that name the tracks and put them in the order in which blocks first ran."""
        for block, lanes in self._lanes.items():
            for lane, (track, _) in enumerate(lanes):
                yield _name("thread_name", _DEVICE, track, block if lane == 0 else f"{block} ({lane + 1})")
                order = {"sort_index": track}
                yield {"ph": "M", "pid": _DEVICE, "tid": track, "name": "thread_sort_index", "args": order}


def _slice(process: int, track: int, name: str, start: float, end: float, args: Event) -> Event:
    return {"ph": "X", "pid": process, "tid": track, "name": name, "ts": start, "dur": end - start, "args": args}


def _name(kind: str, process: int, track: int, name: str) -> Event:
    return {"ph": "M", "pid": process, "tid": track, "name": kind, "args": {"name": name}}
