"""Runs the suite of the emulated driver with the wheels of CUDA 12 and of CUDA 13, each in a process of its own.

CUDAGRAPH_TEST_CU12 and CUDAGRAPH_TEST_CU13 name the interpreters that have them; the running one counts too.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def interpreters() -> list[str]:
    """The interpreters with CUDA wheels."""
    named = [os.environ.get(f"CUDAGRAPH_TEST_{name}") for name in ("CU12", "CU13")]
    own = [sys.executable] if importlib.util.find_spec("cuda") else []
    return list(dict.fromkeys(path for path in [*named, *own] if path))


@pytest.mark.parametrize("interpreter", interpreters())
def test_the_suite_passes_with_these_wheels(interpreter: str, repository: Path) -> None:
    command = [interpreter, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(HERE / "suite")]
    environment = os.environ | {"CUDAGRAPH_TEST_DRIVER": "emulated"}
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
