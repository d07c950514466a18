"""The benchmarks run and check their own results; what they measure is printed by them, not asserted here."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, repository / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("step", ["launches", "hot_changes", "structure"])
def test_gpu_figures_of_chains(repository: Path, step: str) -> None:
    figures = getattr(_load(repository, "gpu_engine"), step)("host", 3)
    assert all(value > 0 for value in figures.values() if isinstance(value, float))


@pytest.mark.parametrize("step", ["gemm", "kernel_swap"])
def test_gpu_figures_of_live_changes(repository: Path, step: str) -> None:
    assert getattr(_load(repository, "gpu_engine"), step)("host")["rebuilds"] == 1


@pytest.mark.parametrize("device", ["host", "recording"])
def test_thousands_of_frames_with_live_edits_hold_no_more_than_the_first(repository: Path, device: str) -> None:
    """In a process of its own: what other tests leave behind moves the memory of this one by megabytes."""
    command = [sys.executable, "benchmarks/soak.py", "--device", device, "--frames", "3000", "--json"]
    done = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout)
    first, last = figures["samples"][0], figures["samples"][-1]
    assert figures["rebuilds"] > 10
    assert last["allocations"] == first["allocations"]
    assert last["open_files"] <= first["open_files"]
    assert figures["left_after_close"] == 0
    assert last["blocks"] - first["blocks"] < 1500  # a Python object that stays after every second frame would be seen
    assert figures["growth_kb"] < 2048


def test_the_page_of_reliability_is_made_from_what_was_recorded(repository: Path) -> None:
    made = _load(repository, "reliability").recorded()
    page = (repository / "docs" / "reliability.md").read_text()
    assert page == made, "run: python benchmarks/reliability.py"
    soak = json.loads((repository / "docs" / "evidence" / "soak.json").read_text())
    assert {run["device"]: run["frames"] for run in soak["runs"]} == _load(repository, "soak").RECORDED
    for run in soak["runs"]:
        assert len({sample["allocations"] for sample in run["samples"]}) == 1
        assert len({sample["open_files"] for sample in run["samples"]}) == 1
        assert (run["left_after_close"], run["growth_kb"] < 2048) == (0, True)
    fuzz = json.loads((repository / "docs" / "evidence" / "fuzz.json").read_text())
    assert fuzz["seconds"] >= 600 and not fuzz["failure"]


def test_the_versions_of_python_that_are_claimed_were_tried(repository: Path) -> None:
    runs = json.loads((repository / "docs" / "evidence" / "pythons.json").read_text())["runs"]
    tried = {run["python"].rpartition(".")[0]: run["steps"] for run in runs}
    for steps in tried.values():
        assert steps and "failed" not in steps.values()
    project = (repository / "pyproject.toml").read_text()
    claimed = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert set(claimed) <= {*tried, "3.11"}  # with the oldest one .ci/run tries everything
    said = f"[Tested](reliability.md#python-versions) with Python {claimed[0]} to {claimed[-1]} on Linux x86-64"
    assert said in (repository / "docs" / "index.md").read_text()


@pytest.fixture
def pythons(repository: Path) -> ModuleType:
    return _load(repository, "pythons")


def _stand_in(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_other_versions_of_python_are_found(tmp_path: Path, pythons: ModuleType) -> None:
    old = _stand_in(tmp_path / "old", "echo 3.9.1; exit 1")
    new, newer = (_stand_in(tmp_path / f"new{patch}", f"echo 3.99.{patch}") for patch in (2, 1))
    broken = _stand_in(tmp_path / "broken", "echo no such version >&2; exit 127")
    names = " ".join((old, broken, "/no/such/python", sys.executable, new, newer))
    assert pythons.found({"PYTHONS": names}) == [new]


def test_a_python_that_fails_is_told(
    tmp_path: Path, pythons: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    python = _stand_in(tmp_path / "python", "case $1 in -c) echo 3.99.0;; *) echo no pip here; exit 3;; esac")
    (tmp_path / "a.whl").touch()
    (tmp_path / "a.tar.gz").touch()
    monkeypatch.setattr(pythons, "build", lambda folder: (tmp_path, tmp_path))
    monkeypatch.setattr(sys, "argv", ["pythons.py", python, "--quick"])
    assert pythons.main() == 1
    printed = capsys.readouterr().out
    assert "no pip here" in printed and "tried: 3.99.0 failed" in printed
    monkeypatch.setattr(sys, "argv", ["pythons.py", "--quick"])
    monkeypatch.setattr(pythons, "found", lambda environment: [])
    assert pythons.main() == 0
    assert "tried: none" in capsys.readouterr().out


def test_what_was_recorded_of_other_versions_stays(pythons: ModuleType) -> None:
    old, new = [{"python": "3.12.1"}, {"python": "3.9.9"}], [{"python": "3.12.4"}, {"python": "3.11.0"}]
    assert [run["python"] for run in pythons.recorded(old, new)] == ["3.9.9", "3.11.0", "3.12.4"]


@pytest.fixture(scope="module")
def record(repository: Path) -> ModuleType:
    return _load(repository, "record")


def test_the_page_of_benchmarks_is_made_from_the_evidence(repository: Path, record: ModuleType) -> None:
    page = (repository / "docs" / "benchmarks.md").read_text()
    assert page == record.page(), "run: python benchmarks/record.py --docs"
    for image in re.findall(r"\]\((images/[^)]+)\)", page):
        assert (repository / "docs" / image).exists()


def test_the_pages_of_evidence_are_made_from_their_figures(repository: Path, record: ModuleType) -> None:
    found = sorted((repository / "docs" / "evidence").glob(record.RUNS))
    assert found
    for path in found:
        assert path.with_suffix(".md").read_text() == record.evidence_page(json.loads(path.read_text()))


def _suite(**more: object) -> dict[str, object]:
    peer = {"timing": {"median": 4e-3}, "ratio": 2.0, "low": 1.5, "high": 12.4}
    case = {"case": "a | case", "wrong": "", "failed": "", "ours": {"median": 2e-3}, "peers": {"torch eager": peer}}
    case |= {"skipped": {"Warp": "not installed"}, "share": 0.5, "rate": 500.0, "unit": "rows", "figures": {}}
    facts = {
        "date": "2026-01-02",
        "processor": "A CPU",
        "cores": 4,
        "threads": 4,
        "load": 0.1,
        "gpu": {"name": "GPU 1"},
    }
    facts |= {
        "description": "GPU 1 (sm_90)",
        "commit": "",
        "cudagraph": "1.0",
        "python": "3.12",
        "packages": {"numpy": "2"},
    }
    return {"suite": "kernels", "absent": "", "environment": facts, "results": [case | more]}


def test_a_folder_becomes_evidence_and_a_page(tmp_path: Path, record: ModuleType) -> None:
    (tmp_path / "suites.jsonl").write_text(json.dumps(_suite()) + "\n")
    (tmp_path / "steps.tsv").write_text("doctor\t0\t2\t30\tready\ngpu tests\t124\t60\t60\tkilled\n")
    (tmp_path / "gpu_engine.json").write_text('{"launch_20": {"update_us": 1.5}}')
    made = record.record(tmp_path, tmp_path / "evidence")
    assert made.name == "2026-01-02-gpu-1.md"
    text = made.read_text()
    assert "| gpu tests | 124 | 60 | 60 | killed |" in text and '"update_us": 1.5' in text
    assert "| a &#124; case | 2 ms, 500 rows/s | **2.00** (1.50 to 12) | 50% |" in text
    assert "- Without Warp in 1 case: not installed" in text
    page = record.page(tmp_path / "evidence")
    assert "## GPU 1 (sm_90)" in page and "(images/bench-gpu-1-kernels.svg)" in page


def test_a_suite_that_ran_twice_has_the_newer_result_of_each_case(tmp_path: Path, record: ModuleType) -> None:
    first, again = _suite(), _suite(case="another")
    faster = {**first["results"][0], "ours": {"median": 1e-3}}  # type: ignore[index]
    again["results"] = [faster, *again["results"]]  # type: ignore[misc]
    (tmp_path / "suites.jsonl").write_text(f"{json.dumps(first)}\n{json.dumps(again)}\n")
    text = record.record(tmp_path, tmp_path / "evidence").read_text()
    assert text.count("## kernels") == 1 and text.count("| a &#124; case |") == 1 and text.count("| another |") == 1
    assert "| a &#124; case | 1 ms" in text


@pytest.mark.parametrize(("field", "label"), [("wrong", "wrong"), ("failed", "failed")])
def test_no_ratio_is_written_of_what_is_wrong(tmp_path: Path, record: ModuleType, field: str, label: str) -> None:
    broken = _suite(**{field: "the error is 1", "ours": None, "peers": {}, "share": None, "rate": None})
    (tmp_path / "suites.jsonl").write_text(json.dumps(broken))
    text = record.record(tmp_path, tmp_path).read_text()
    assert f"**{label}**: the error is 1" in text and "2.00" not in text


def test_the_newest_run_of_a_device_is_shown(tmp_path: Path, record: ModuleType) -> None:
    for date in ("2026-01-02", "2026-03-04"):
        suite = _suite()
        suite["environment"] |= {"date": date}  # type: ignore[operator]
        (tmp_path / "suites.jsonl").write_text(json.dumps(suite))
        record.record(tmp_path, tmp_path / "evidence")
    page = record.page(tmp_path / "evidence")
    assert "2026-03-04" in page and "2026-01-02" not in page


def test_the_plots_are_drawn_the_same_each_time(tmp_path: Path, record: ModuleType) -> None:
    pytest.importorskip("matplotlib")
    suite = _suite()
    evidence = {"environment": suite["environment"]}
    first = record.draw(evidence, suite, tmp_path).read_bytes()
    assert first == record.draw(evidence, suite, tmp_path).read_bytes()
    assert b"torch eager" in first or b"<path" in first


def test_the_gpu_run_goes_on_after_a_step_that_fails(repository: Path, tmp_path: Path) -> None:
    """With an interpreter that only fails, every step is tried, and is on the list with its exit code."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n")
    python.chmod(0o755)
    command = [str(repository / "benchmarks" / "gpu_run.sh"), str(tmp_path / "out"), "--device", "host", "--quick"]
    subprocess.run(["bash", *command], env={**os.environ, "PYTHON": str(python)}, check=True, capture_output=True)
    steps = [line.split("\t") for line in (tmp_path / "out" / "steps.tsv").read_text().splitlines()]
    names = ["doctor", "gpu tests of the engine", "gpu tests of blocks", "bench engine"]
    assert [step[0] for step in steps[:4]] == names and len(steps) == 12
    assert all(step[1] == "3" and step[4] == "no such module" for step in steps)


def test_the_gpu_run_stops_when_its_time_is_over(repository: Path, tmp_path: Path) -> None:
    command = [
        "bash",
        str(repository / "benchmarks" / "gpu_run.sh"),
        str(tmp_path),
        "--device",
        "host",
        "--seconds",
        "0",
    ]
    subprocess.run(command, check=True, capture_output=True)
    steps = [line.split("\t") for line in (tmp_path / "steps.tsv").read_text().splitlines()]
    assert {step[1] for step in steps} == {"skipped"}
