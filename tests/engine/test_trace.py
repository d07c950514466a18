from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from cudagraph.engine.devices.base import FrameRecord
from cudagraph.engine.plan import Buffer, Counter, FillNode, Place, Plan
from cudagraph.engine.trace import TraceFrame, write_frames, write_trace
from cudagraph.errors import DescriptionError


@pytest.fixture
def plan():
    counters = Buffer(0, "counters", (2,), np.dtype(np.uint32), Place.COUNTERS, 0)
    names = [(":reset", ""), ("sim/a:emit", "sim/a"), ("sim/a:sort", "sim/a"), ("sim/b:draw", "sim/b")]
    nodes = tuple(
        FillNode(index=i, name=name, block=block, writes=(0,), target=0, value=0, nbytes=8)
        for i, (name, block) in enumerate(names)
    )
    return Plan(
        (counters,), nodes, (), counters=(Counter(0, "sim/a.born", 9), Counter(1, "sim/b.drawn", 9)), counter_buffer=0
    )


TIMES = np.array([[0.0, 0.01], [0.01, 0.05], [0.02, 0.04], [0.05, 0.08]])  # nodes 1 and 2, of one block, overlap


def make_record(frame, times=TIMES, elapsed=0.1):
    return FrameRecord(frame, elapsed, np.array([frame, 7], np.uint32), times)


def make_frames(plan, count=2):
    tiers = ["structure", "hot"]
    return [TraceFrame(i, 1000.0 * i, 30.0, tiers[i % 2], make_record(i), plan, apply_us=20.0) for i in range(count)]


def read_events(path):
    trace = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert trace.keys() == {"traceEvents", "displayTimeUnit"}
    assert trace["displayTimeUnit"] == "ms"
    return trace["traceEvents"]


def names_of_tracks(events):
    return {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}


def slices(events, track):
    names = names_of_tracks(events)
    return [e for e in events if e["ph"] == "X" and names[e["pid"], e["tid"]] == track]


def test_every_event_is_well_formed(plan, tmp_path):
    write_trace(tmp_path / "t.json", make_frames(plan), device="H200", engine="my engine")
    events = read_events(tmp_path / "t.json")
    assert {e["ph"] for e in events} == {"M", "X", "C", "s", "f"}
    for event in events:
        assert {"name", "ph", "pid", "tid"} <= event.keys()
        assert event["ph"] == "M" or event["ts"] >= 0
        assert event["ph"] != "X" or event["dur"] >= 0
    assert {e["args"]["name"] for e in events if e["name"] == "process_name"} == {"H200", "my engine"}
    tracks = [(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"]
    assert len(set(tracks)) == len(tracks)
    assert {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"} <= set(tracks)


def test_slices_of_a_track_do_not_overlap(plan, tmp_path):
    write_trace(tmp_path / "t.json", make_frames(plan))
    events = read_events(tmp_path / "t.json")
    for track in set(names_of_tracks(events).values()) - {"update"}:  # where slices nest on purpose
        found = sorted(slices(events, track), key=lambda event: event["ts"])
        assert all(a["ts"] + a["dur"] <= b["ts"] + 1e-6 for a, b in itertools.pairwise(found))


def test_blocks_have_tracks_of_their_own(plan, tmp_path):
    write_trace(tmp_path / "t.json", make_frames(plan, 1))
    events = read_events(tmp_path / "t.json")
    assert {track: [e["name"] for e in slices(events, track)] for track in names_of_tracks(events).values()} == {
        "update": ["update 0", "apply", "launch"],
        "frames": ["frame 0"],
        "engine": ["reset"],
        "sim/a": ["emit"],
        "sim/a (2)": ["sort"],
        "sim/b": ["draw"],
    }
    (draw,) = slices(events, "sim/b")
    assert (draw["ts"], draw["dur"]) == pytest.approx((30.0 + 50.0, 30.0))
    assert draw["args"] == {"block": "sim/b", "kind": "fill"}


def test_the_update_shows_what_it_applied(plan, tmp_path):
    write_trace(tmp_path / "t.json", make_frames(plan))
    update, apply, launch, *_ = slices(read_events(tmp_path / "t.json"), "update")
    assert update["args"] == {"frame": 0, "tier": "structure"}
    assert (update["ts"], update["dur"]) == (0.0, 30.0)
    assert (apply["ts"], apply["dur"]) == (0.0, 20.0)
    assert (launch["ts"], launch["dur"]) == (20.0, 10.0)


def test_arrows_lead_from_launch_to_frame(plan, tmp_path):
    write_trace(tmp_path / "t.json", make_frames(plan))
    events = read_events(tmp_path / "t.json")
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    ends = {e["id"]: e for e in events if e["ph"] == "f"}
    assert starts.keys() == ends.keys() == {0, 1}
    assert all(starts[frame]["ts"] <= ends[frame]["ts"] for frame in starts)
    assert ends[1]["ts"] == slices(events, "frames")[1]["ts"]


def test_append_counts_are_counter_tracks(plan, tmp_path):
    write_trace(tmp_path / "t.json", make_frames(plan))
    counts = [(e["name"], e["args"]) for e in read_events(tmp_path / "t.json") if e["ph"] == "C"]
    assert counts == [
        ("sim/a.born", {"count": 0}),
        ("sim/b.drawn", {"count": 7}),
        ("sim/a.born", {"count": 1}),
        ("sim/b.drawn", {"count": 7}),
    ]


def test_frames_wait_for_the_device(plan, tmp_path):
    frames = [TraceFrame(i, 10.0 * i, 5.0, "", make_record(i), plan) for i in range(3)]
    write_trace(tmp_path / "t.json", frames)
    assert [e["ts"] for e in slices(read_events(tmp_path / "t.json"), "frames")] == pytest.approx([5.0, 105.0, 205.0])


def test_what_was_not_measured_is_left_out(plan, tmp_path):
    skipped = TIMES.copy()
    skipped[1] = np.nan
    records = [
        FrameRecord(0, None, None, None),
        FrameRecord(1, 0.1, None, None),
        make_record(2, skipped, elapsed=None),
        make_record(3, np.full((4, 2), np.nan), elapsed=None),
    ]
    write_frames(tmp_path / "t.json", records, plan, "H200")
    events = read_events(tmp_path / "t.json")
    assert [round(e["dur"]) for e in slices(events, "frames")] == [0, 100, 80, 0]
    assert [e["name"] for e in events if e["ph"] == "X" and e["tid"] > 1] == ["reset", "sort", "draw"]


def test_device_side_only(plan, tmp_path):
    write_frames(tmp_path / "t.json", [make_record(4), make_record(5)], plan, "H200")
    events = read_events(tmp_path / "t.json")
    assert {e["args"]["name"] for e in events if e["name"] == "process_name"} == {"H200"}
    assert [e["name"] for e in slices(events, "frames")] == ["frame 4", "frame 5"]
    assert {e["pid"] for e in events} == {2}


def test_no_frames_are_a_trace_too(tmp_path):
    write_trace(tmp_path / "t.json", [])
    assert all(event["ph"] == "M" for event in read_events(tmp_path / "t.json"))


def test_a_path_that_cannot_be_written(plan, tmp_path):
    with pytest.raises(DescriptionError, match=r"cannot be written to .*missing.*: No such file"):
        write_trace(tmp_path / "missing" / "t.json", make_frames(plan))
