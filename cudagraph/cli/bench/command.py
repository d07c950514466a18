"""`cudagraph bench`: run suites, print them, and write what they gave as JSON."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.text import Text

from cudagraph.errors import DescriptionError

from ..output import print_json, show
from . import MODULES, SUITES
from .environment import environment
from .harness import Absent, Options, Result
from .harness import run as measured
from .printing import head, lines

SCHEMA = 1
"""Of the JSON; it changes when a field changes its meaning."""


@dataclass
class Run:
    """A suite as far as it has come; `absent` says why it cannot run here."""

    suite: str
    results: list[Result] = field(default_factory=list)
    absent: str = ""


def bench(names: Iterable[str], options: Options, *, as_json: bool, out: Path | None) -> int:
    """Run suites, all of them when none is named. The exit code is 1 when a result is wrong or a case failed."""
    chosen = [_known(name) for name in names] or list(SUITES)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    facts = environment(options.device)
    if not as_json:
        show(*head(facts))
    runs = []
    for name in chosen:
        run = Run(name)
        for _ in _steps(run, options):
            if out is not None:  # after each case: what was measured is kept when the rest takes too long
                (out / f"{name}.json").write_text(json.dumps(record(run, facts, options)) + "\n")
            if not as_json:
                _print_step(run)
        runs.append(run)
    if as_json:
        print_json([record(run, facts, options) for run in runs])
    return int(any(not result.good for run in runs for result in run.results))


def record(run: Run, facts: dict[str, Any], options: Options) -> dict[str, Any]:
    """What a suite gave, as JSON keeps it."""
    return {
        "schema": SCHEMA,
        "suite": run.suite,
        "absent": run.absent,
        "environment": facts,
        "options": asdict(options),
        "results": [asdict(result) for result in run.results],
    }


def _known(name: str) -> str:
    known = name.replace("-", "_")
    if known not in SUITES:
        raise DescriptionError(f"there is no suite {name!r}; choose from {', '.join(SUITES)}")
    return known


def _steps(run: Run, options: Options) -> Iterator[None]:
    """Before the first case, and after each."""
    suite = importlib.import_module(f"{__package__}.{MODULES.get(run.suite, run.suite)}")
    try:
        cases = suite.cases(options)
    except Absent as absent:
        run.absent = str(absent)
        cases = {}
    yield
    for result in measured(run.suite, cases, options):
        run.results.append(result)
        yield


def _print_step(run: Run) -> None:
    if run.results:
        show(*lines(run.results[-1]))
        return
    show("", Text(f"{run.suite}: {SUITES[run.suite]}", style="bold"))
    if run.absent:
        show(f"  skipped: {run.absent}")
