"""`cudagraph bench`: the harness judges before it measures, and every suite runs at small sizes."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager

import numpy as np
import pytest
from typer.testing import CliRunner

from cudagraph.cli.app import app
from cudagraph.cli.bench import SUITES, harness, peers
from cudagraph.cli.bench.command import Run, record
from cudagraph.cli.bench.environment import environment
from cudagraph.cli.bench.harness import Absent, Case, Options, run
from cudagraph.cli.bench.printing import lines, seconds
from cudagraph.cli.bench.single import error_of

QUICK = Options("host", 0.0, quick=True, compiled=False)


def measured(case, options=QUICK):
    @contextmanager
    def opened():
        yield case

    return next(run("suite", {"case": opened}, options))


class Clock:
    """Time that passes only in `pause`, so that ratios do not depend on what else the machine does."""

    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch, request):
    if "suite" not in getattr(getattr(request.node, "callspec", None), "params", {}):
        monkeypatch.setattr(harness, "time", Clock())
    return harness.time


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads of torch that wait for each other on a busy machine take seconds for nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDAGRAPH_THREADS", "1")
        torch = peers.torch_module()
        yield
    if torch is not None:
        torch.set_num_threads(os.cpu_count() or 1)
        peers.torch_module.cache_clear()


def pause(milliseconds):
    def call():
        harness.time.now += milliseconds / 1e3

    return call


def right():
    return 0.0


def fails(error):
    raise error


def test_a_ratio_is_their_time_by_ours():
    result = measured(Case(pause(3), right, {"slower": pause(12), "faster": pause(1)}))
    assert result.peers["slower"].ratio == pytest.approx(4)
    assert result.peers["faster"].ratio == pytest.approx(1 / 3)
    assert result.ours.median == pytest.approx(3e-3) and result.ours.calls == 1
    assert result.peers["faster"].timing.calls == 2  # a sample is long enough for the clock


def test_sides_are_measured_in_turn():
    turns = []
    call = pause(3)
    measured(Case(lambda: (turns.append("a"), call()), right, {"b": lambda: (turns.append("b"), call())}))
    assert turns[-6:] == ["a", "b"] * 3


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda: 0.5, "relative error is 0.5, more than 1e-05"),
        (lambda: float("nan"), "nan"),
        (lambda: fails(AssertionError("no steady state")), "no steady state"),
    ],
)
def test_what_is_wrong_has_no_ratio(check, said):
    result = measured(Case(pause(1), check, {"other": pause(9)}))
    assert said in result.wrong
    assert result.ours is None and not result.peers and not result.good
    text = " ".join(map(str, lines(result)))
    assert "wrong" in text and "9" not in text.replace(said, "")


def test_a_failure_stops_no_other_case():
    @contextmanager
    def broken():
        raise ValueError("nothing to open")
        yield

    @contextmanager
    def absent():
        raise Absent("no such library")
        yield

    @contextmanager
    def fine():
        yield Case(pause(1), right)

    results = list(run("suite", {"broken": broken, "absent": absent, "fine": fine}, QUICK))
    assert [result.failed for result in results] == ["ValueError: nothing to open", "", ""]
    assert results[1].skipped == {"this case": "no such library"} and results[1].good
    assert results[2].ours is not None


def test_what_goes_wrong_while_closing_takes_the_ratio_back():
    @contextmanager
    def opened():
        yield Case(pause(1), right, {"other": pause(1)})
        raise RuntimeError("the engine ran the old plan")

    result = next(run("suite", {"case": opened}, QUICK))
    assert "old plan" in result.failed and result.ours is None and not result.peers


def test_a_peer_that_fails_is_skipped_with_its_reason():
    result = measured(
        Case(pause(1), right, {"broken": lambda: fails(RuntimeError("no kernel image")), "fine": pause(1)})
    )
    assert list(result.peers) == ["fine"]
    assert result.skipped == {"broken": "RuntimeError: no kernel image"}


def test_the_share_of_the_roofline_is_the_larger_of_both():
    result = measured(Case(pause(10), right, moved=1e6, bandwidth=1e9, flops=1e6, peak=2e8, amount=2, unit="rows"))
    assert result.share == pytest.approx(0.5)
    assert result.rate == pytest.approx(200)


def test_the_json_says_what_was_measured_and_where():
    made = Run("engine", [measured(Case(pause(1), right, {"other": pause(1)}))])
    facts = environment("host")
    found = json.loads(json.dumps(record(made, facts, QUICK)))
    assert found["schema"] == 1 and found["suite"] == "engine" and found["options"]["quick"] is True
    assert found["results"][0]["peers"]["other"]["timing"]["samples"] == 3
    assert {"numpy"} <= found["environment"]["packages"].keys()
    assert {"processor", "threads", "load", "commit", "python", "gpu"} <= found["environment"].keys()


def test_the_error_is_relative_to_the_largest_value():
    assert error_of([1.0, 3.0], [1.0, 4.0]) == 0.25
    assert error_of([], []) == 0.0
    assert np.isnan(error_of([np.nan], [1.0]))


def test_times_have_three_digits():
    assert [seconds(value) for value in (2.5, 0.0123456, 1.5e-6, 2e-9)] == ["2.5 s", "12.3 ms", "1.5 us", "2 ns"]


def needed(suite):
    """The packages without which a suite has nothing to compare with."""
    needs = {"layers": ["torch"], "models": ["torch", "transformers"]}
    for name in needs.get(suite, []):
        pytest.importorskip(name)


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_runs_and_is_right(suite, tmp_path):
    needed(suite)
    line = ["bench", suite, "--device", "host", "--quick", "--seconds", "0", "--json", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, line)
    found = json.loads((tmp_path / f"{suite}.json").read_text())
    assert done.exit_code == 0, [(each["case"], each["wrong"], each["failed"]) for each in found["results"]]
    assert found["results"] and all(each["ours"] for each in found["results"])
    assert json.loads(done.stdout)[0]["results"] == found["results"]


def test_a_wrong_case_makes_the_command_fail(monkeypatch):
    from cudagraph.cli.bench import particles

    @contextmanager
    def wrong():
        yield Case(pause(1), lambda: 1.0, {"other": pause(5)})

    monkeypatch.setattr(particles, "cases", lambda options: {"the wrong one": wrong})
    done = CliRunner().invoke(app, ["bench", "particles", "--device", "host", "--quick"])
    assert done.exit_code == 1
    assert "the wrong one: wrong: the largest relative error is 1, more than 1e-05" in done.stdout
    assert "other" not in done.stdout


def test_a_suite_that_cannot_run_says_why(monkeypatch):
    from cudagraph.cli.bench import layers

    monkeypatch.setattr(layers, "torch_module", lambda: None)
    done = CliRunner().invoke(app, ["bench", "layers", "--device", "host", "--quick"])
    assert done.exit_code == 0
    assert "skipped: torch is not installed" in done.stdout


def test_an_unknown_suite_is_named():
    done = CliRunner().invoke(app, ["bench", "colours", "--device", "host"])
    assert "there is no suite 'colours'; choose from engine" in str(done.exception)
