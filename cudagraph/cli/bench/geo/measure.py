"""Measuring programs in turn, checking what they compute, and writing it all down."""

from __future__ import annotations

import csv
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from cudagraph.engine import CudaEngine
from cudagraph.errors import DescriptionError

_PACKAGES = ("cudagraph", "numpy", "torch", "psann", "cupy-cuda12x", "cupy-cuda13x", "cuda-core")
_SHORTEST = 2e-3  # seconds of one sample: shorter programs are run several times
_MOST_RUNS = 10_000


@dataclass(frozen=True)
class Entrant:
    """One program: `run` starts it, `wait` waits for it, `output` is what it computed last."""

    name: str
    run: Callable[[], object]
    output: Callable[[], np.ndarray]
    wait: Callable[[], object] = lambda: None
    params: int | None = None
    peer: str | None = None  # the entrant that does the same, to be compared with


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one run: the median of several samples, and the tenth and ninetieth percentile."""

    median_ms: float
    low_ms: float
    high_ms: float
    samples_ms: tuple[float, ...]


@dataclass(frozen=True)
class Ratio:
    """The median of paired samples, and the tenth and ninetieth percentile."""

    median: float
    low: float
    high: float


@dataclass
class Result:
    """What is known of one entrant. It is correct when its error is within the tolerance."""

    name: str
    params: int | None
    peer: str | None
    error: float
    tolerance: float
    timing: Timing | None = None

    @property
    def correct(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.error <= self.tolerance


@dataclass
class Cell:
    """The results of one combination of settings."""

    settings: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # entrants that could not run, and why
    absent: dict[str, str] = field(default_factory=dict)  # those whose package is not installed

    def ratios(self) -> dict[str, Ratio | None]:
        """How many times as fast each entrant is as its peer; None where one of the two computes something wrong."""
        pairs = [(result.name, result.peer) for result in self.results if result.peer]
        return {f"{name} / {peer}": self.ratio(name, peer) for name, peer in pairs if self.knows(name, peer)}

    def knows(self, *names: str) -> bool:
        """Whether all of these entrants were measured."""
        return set(names) <= {result.name for result in self.results if result.timing is not None}

    def ratio(self, name: str, peer: str) -> Ratio | None:
        """The peer's time over an entrant's, sample by sample; None where one of the two computes something wrong."""
        named = {result.name: result for result in self.results}
        ours, theirs = named[name], named[peer]
        if not (ours.correct and theirs.correct) or ours.timing is None or theirs.timing is None:
            return None
        return Ratio(*_spread([b / a for a, b in zip(ours.timing.samples_ms, theirs.timing.samples_ms, strict=True)]))

    def record(self) -> dict[str, Any]:
        """The same for `results.json`."""
        results = [asdict(result) | {"correct": result.correct} for result in self.results]
        ratios = {name: None if ratio is None else asdict(ratio) for name, ratio in self.ratios().items()}
        rest = {"ratios": ratios, "failed": self.failed, "absent": self.absent}
        return {"settings": self.settings, "results": results, **rest}


class Report:
    """A folder with manifest.json, results.json and summary.csv, written anew after each cell, and with plots."""

    def __init__(self, suite: str, out: Path, arguments: Mapping[str, Any], *, resume: Path | None = None) -> None:
        self.folder = resume or out / suite / time.strftime("%Y%m%d_%H%M%S")
        self.records: list[dict[str, Any]] = []
        if resume is not None:
            self.records = _read_records(resume / "results.json")
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest = {"suite": suite, "arguments": dict(arguments), "environment": environment()}
        _write_json(self.folder / "manifest.json", manifest)

    def has(self, settings: Mapping[str, Any]) -> bool:
        """Whether a cell of these settings is there, with nothing failed or wrong."""
        return any(
            record["settings"] == settings and not record["failed"] and all(r["correct"] for r in record["results"])
            for record in self.records
        )

    def add(self, cell: Cell) -> None:
        """Take a cell, in place of an older one of the same settings."""
        self.records = [record for record in self.records if record["settings"] != cell.settings] + [cell.record()]
        _write_json(self.folder / "results.json", self.records)
        rows = [row for record in self.records for row in _rows(record)]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with (self.folder / "summary.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)


def environment() -> dict[str, Any]:
    """Machine, packages and time."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": versions,
        "variables": {name: value for name, value in os.environ.items() if name.startswith("CUDAGRAPH_")},
    }


def block_entrant(engine: CudaEngine, name: str, block: Any, x: np.ndarray, **more: Any) -> Entrant:
    """A block that is alone in its engine, with its input bound and its plan made."""
    engine.bind(engine.add(block).x, x)
    engine.update(sync=True)
    return Entrant(name, engine.update, lambda: engine.read(block.y), engine.synchronize, **more)


def judge(entrant: Entrant, expected: np.ndarray, tolerance: float) -> Result:
    """The largest error of what an entrant computes, relative to the largest expected value."""
    entrant.run()
    entrant.wait()
    given = np.asarray(entrant.output(), np.float64)
    same = given.shape == expected.shape
    scale = max(1e-30, float(np.abs(expected).max(initial=0)))
    error = float(np.abs(given - expected).max(initial=0)) / scale if same else float("nan")
    return Result(entrant.name, entrant.params, entrant.peer, error, tolerance)


def measure(entrants: Sequence[Entrant], *, samples: int, warmup: int) -> dict[str, Timing]:
    """Each entrant in turn, sample by sample, so that what else the machine does meets all of them alike."""
    runs = {entrant.name: _runs(entrant, warmup) for entrant in entrants}
    taken: dict[str, list[float]] = {entrant.name: [] for entrant in entrants}
    for _ in range(samples):
        for entrant in entrants:
            taken[entrant.name].append(_sample(entrant, runs[entrant.name]))
    return {name: _timing([1e3 * seconds for seconds in seconds_]) for name, seconds_ in taken.items()}


def fill_cell(
    cell: Cell, entrants: Sequence[tuple[Entrant, np.ndarray]], *, tolerance: float, samples: int, warmup: int
) -> Cell:
    """Judge every entrant against what it is to compute, then measure all of them together."""
    cell.results = [judge(entrant, expected, tolerance) for entrant, expected in entrants]
    timings = measure([entrant for entrant, _ in entrants], samples=samples, warmup=warmup)
    for result in cell.results:
        result.timing = timings[result.name]
    return cell


def _runs(entrant: Entrant, warmup: int) -> int:
    """Warm up, and find how many runs make a sample."""
    seconds = [_sample(entrant, 1) for _ in range(max(1, warmup))]
    return max(1, min(_MOST_RUNS, round(_SHORTEST / max(1e-9, min(seconds)))))


def _sample(entrant: Entrant, runs: int) -> float:
    entrant.wait()
    began = time.perf_counter()
    for _ in range(runs):
        entrant.run()
    entrant.wait()
    return (time.perf_counter() - began) / runs


def _timing(values: list[float]) -> Timing:
    return Timing(*_spread(values), tuple(values))


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, tenth and ninetieth percentile."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return statistics.median(ordered), ordered[round(0.1 * last)], ordered[round(0.9 * last)]


def _rows(record: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for result in record["results"]:
        timing = {name: value for name, value in (result["timing"] or {}).items() if name != "samples_ms"}
        known = {name: result[name] for name in ("name", "params", "error", "correct")}
        yield {**record["settings"], **known, **timing}


def _read_records(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise DescriptionError(f"{path} is not what a run left behind: {error}") from None


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
