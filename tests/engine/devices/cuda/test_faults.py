"""Faults of running kernels, and interpreters that end early: each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_in_child(target: str, repository: Path) -> subprocess.CompletedProcess[str]:
    """Run one test in a fresh interpreter of the same kind."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{HERE / target}"]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    return subprocess.run(
        command, cwd=repository, capture_output=True, text=True, timeout=120, env=environment, check=False
    )


@pytest.mark.parametrize("name", ["wait", "finished", "launch", "node_timing", "closing_everything_after_a_fault"])
def test_a_fault_surfaces_and_closing_is_safe(driver, repository, name):
    done = pytest_in_child(f"fault_child.py::test_{name}", repository)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-4000:]


@pytest.mark.parametrize("name", ["left_open", "left_open_with_frames_in_flight", "closed_in_the_wrong_order"])
def test_an_interpreter_that_ends_early_ends_cleanly(driver, repository, name):
    done = pytest_in_child(f"exit_child.py::test_{name}", repository)
    assert done.returncode == 0 and "1 passed" in done.stdout, (
        f"{done.returncode} {done.stdout[-4000:]} {done.stderr[-2000:]}"
    )
