"""The emulated driver's own suite, with the wheels of CUDA 12 and of CUDA 13."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheels import interpreters, run_on_emulated_driver


@pytest.mark.parametrize("interpreter", interpreters())
def test_the_suite_passes_with_these_wheels(interpreter: str) -> None:
    run_on_emulated_driver(interpreter, Path(__file__).parent / "suite")
