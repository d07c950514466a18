"""`cudagraph bench geo-sparse`: what it writes, how it goes on, and that a wrong result gets no ratio."""

from __future__ import annotations

import csv
import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph.cli.bench.geo import measure, suite
from cudagraph.cli.bench.geo.suite import Options, headline, measured, run

SMALL = Options(shape=("4x4",), depth=("2",), k=("4",), batch=("8",), device="host", samples=2, warmup=1, plots=False)


@pytest.fixture
def without_peers(monkeypatch):
    for name in ("torch", "psann"):
        monkeypatch.setitem(sys.modules, name, None)


def small(tmp_path: Path, **more: Any) -> Options:
    return replace(SMALL, out=tmp_path, **more)


def folder_of(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "geo_sparse").iterdir()
    return folder


def test_it_writes_what_it_measured(tmp_path, without_peers, capsys):
    assert run(small(tmp_path, activation=("relu", "psann"))) == 0
    folder = folder_of(tmp_path)
    manifest, results = (json.loads((folder / f"{name}.json").read_text()) for name in ("manifest", "results"))
    assert {"python", "packages", "cores", "platform", "time"} <= manifest["environment"].keys()
    assert [record["settings"]["activation"] for record in results] == ["relu", "psann"]
    assert [result["name"] for result in results[0]["results"]] == ["net", "dense"]
    assert results[0]["absent"].keys() == {"net (psann)", "dense (torch)"}
    assert all(result["correct"] and len(result["timing"]["samples_ms"]) == 2 for result in results[0]["results"])
    with (folder / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and float(rows[0]["median_ms"]) > 0 and rows[0]["params"] == "371"
    printed = capsys.readouterr().out
    assert "net / dense: " in printed and "not measured: " in printed


@pytest.mark.parametrize("kind", ["compare", "micro", "sweep"])
def test_psann_and_torch_are_measured_where_they_are(kind, tmp_path):
    pytest.importorskip("psann")
    cell = measured(next(small(tmp_path, kind=kind).settings()), SMALL)
    assert not cell.failed | cell.absent
    assert all(result.correct for result in cell.results)
    assert len(cell.results) == {"compare": 4, "micro": 4, "sweep": 2}[kind]
    assert all(ratio is not None and 0 < ratio.low <= ratio.median <= ratio.high for ratio in headline(cell).values())


def test_it_goes_on_where_it_stopped(tmp_path, without_peers, monkeypatch):
    cells: list[Any] = []
    monkeypatch.setattr(
        suite, "measured", lambda settings, options: cells.append(settings) or measured(settings, options)
    )
    run(small(tmp_path, kind="sweep", activation=("relu",)))
    folder = folder_of(tmp_path)
    run(small(tmp_path, kind="sweep", activation=("relu", "psann"), resume=folder))
    assert [cell["activation"] for cell in cells] == ["relu", "psann"]
    assert len(json.loads((folder / "results.json").read_text())) == 2
    (folder / "results.json").write_text("[")
    with pytest.raises(cg.DescriptionError, match="not what a run left behind"):
        run(small(tmp_path, resume=folder))


def test_a_cell_with_failures_is_measured_again(tmp_path):
    report = measure.Report("suite", tmp_path, {})
    right, wrong = (measure.Result("net", 1, None, error, 1e-5, measure.Timing(1, 1, 1, (1,))) for error in (0, np.nan))
    report.add(measure.Cell({"k": 1}, [right]))
    report.add(measure.Cell({"k": 2}, [right], {"net (psann)": "out of memory"}))
    report.add(measure.Cell({"k": 3}, [wrong]))
    assert [report.has({"k": k}) for k in range(5)] == [False, True, False, False, False]


def test_a_wrong_result_has_no_ratio(tmp_path, without_peers, monkeypatch, capsys):
    monkeypatch.setattr(suite, "_reference", lambda block, x: np.zeros((len(x), 1)))
    assert run(small(tmp_path)) == 1
    printed = capsys.readouterr().out
    assert "net / dense: no figure, because a result is wrong" in printed
    assert "WRONG" in printed and "times as fast" not in printed


def test_pictures(tmp_path, without_peers):
    pytest.importorskip("matplotlib")
    run(small(tmp_path, kind="sweep", k=("2", "4"), activation=("relu",), plots=True))
    assert {path.name for path in folder_of(tmp_path).glob("*.png")} == {"medians.png", "over_k.png"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"kind": "speed"}, "compare, micro, sweep, not 'speed'"),
        ({"shape": ("4",)}, "rows x columns"),
        ({"k": ("0",)}, "--k takes numbers of at least 1"),
        ({"dtype": ("int8",)}, "not 'int8'"),
    ],
)
def test_options_that_cannot_be_are_explained(more, message, tmp_path):
    with pytest.raises(cg.DescriptionError, match=message):
        run(small(tmp_path, **more))


@pytest.mark.parametrize("name", ["compare", "micro", "sweep"])
def test_the_scripts_are_the_command(name, repository, tmp_path, monkeypatch, capsys):
    given = "--shape 3x3 --depth 1 --k 3 --activation relu --batch 4 --samples 1 --device host --no-plots --json --out"
    monkeypatch.setattr(sys, "argv", ["script", *given.split(), str(tmp_path)])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(repository / "benchmarks" / "geo_sparse" / f"{name}.py"), run_name="__main__")
    assert done.value.code == 0
    (cell,) = json.loads(capsys.readouterr().out)["cells"]
    assert cell["settings"]["what"] == name
