"""Writes docs/reliability.md from the runs recorded in docs/evidence: soak.json, fuzz.json and pythons.json.

python benchmarks/soak.py --record                        makes the first
cudagraph fuzz --seconds 600 --seed 1 --json > docs/evidence/fuzz.json    the second
python benchmarks/pythons.py PYTHON ... --record          the third
python benchmarks/reliability.py                          writes the page
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def page(soak: dict[str, Any], fuzz: dict[str, Any], pythons: dict[str, Any]) -> str:
    """The page, from what was recorded."""
    environment = soak["environment"]
    parts = [
        "# Reliability\n",
        "This page is written by `python benchmarks/reliability.py` from recorded runs "
        "([soak](evidence/soak.json), [fuzz](evidence/fuzz.json), [pythons](evidence/pythons.json)); "
        f"the first two were made with Python {environment['python']} on {environment['system']}.\n",
        "## A long run with live edits\n",
        "One engine runs frame after frame while random edits of every sort are made: parameters, weights, "
        "arrays of the same and of other shapes, kernel sources, options, profiling, blocks that come and go. "
        "After each tenth of the frames the pipeline is brought back to its first form, and what the process holds "
        "is noted.\n",
        *(_run(run) for run in soak["runs"]),
        "## Random pipelines against a fresh build and NumPy\n",
        "[`cudagraph fuzz`](command-line.md#cudagraph-fuzz) builds random pipelines and edits them at random. "
        "After each frame everything that can be read is compared bit by bit with an engine that was built from "
        "scratch for the same pipeline, and each block of that one with NumPy.\n",
        _table(
            ("Device", "Seed", "Seconds", "Programs", "Edits", "Frames", "Tensors compared", "Differences"),
            [
                (
                    fuzz["device"],
                    fuzz["seed"],
                    f"{fuzz['seconds']:.0f}",
                    *(f"{fuzz[name]:,}" for name in ("programs", "steps", "frames", "compared")),
                    1 if fuzz["failure"] else 0,
                )
            ],
        ),
        "## Python versions\n",
        "`python benchmarks/pythons.py` begins with a fresh clone and empty virtual environments for each version. "
        "What is installed runs outside of the clone, with warnings as errors. The tests are the parts of the suite "
        "that take minutes: description, engine, command line, faults, examples, documentation, packaging.\n",
        _pythons(pythons["runs"]),
    ]
    return "\n".join(parts)


def _pythons(runs: Sequence[dict[str, Any]]) -> str:
    facts = {"System": "system", "C++ compiler": "compiler", "NumPy": "numpy", "Date": "date"}
    steps = dict.fromkeys(step for run in runs for step in run["steps"])
    rows = [(label, *(run.get(key, "") for run in runs)) for label, key in facts.items()]
    rows += [(step, *(run["steps"].get(step, "not tried") for run in runs)) for step in steps]
    return _table(("", *(run["python"] for run in runs)), rows)


def _run(run: dict[str, Any]) -> str:
    edits = ", ".join(f"{count:,} {name}" for name, count in sorted(run["edits"].items(), key=lambda item: -item[1]))
    rows = [
        (
            f"{sample['frame']:,}",
            f"{sample['resident_kb'] / 1024:.1f}",
            sample["allocations"],
            sample["open_files"],
            f"{sample['objects']:,}",
        )
        for sample in run["samples"]
    ]
    return "\n".join(
        (
            f"### {run['frames']:,} frames on {run['description']}\n",
            f"{run['us_per_frame']:.0f} us per frame with its edit; {run['rebuilds']:,} plans built. Edits: {edits}.\n",
            _table(("Frame", "Memory of the process (MB)", "Device allocations", "Open files", "Python objects"), rows),
        )
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ("---:",) * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in lines)


def recorded() -> str:
    """The page of what is recorded now."""
    names = ("soak", "fuzz", "pythons")
    return page(*(json.loads((DOCS / "evidence" / f"{name}.json").read_text()) for name in names))


if __name__ == "__main__":
    (DOCS / "reliability.md").write_text(recorded())
