"""The faults of live use on the cuda device: real CUDA packages, emulated driver, real results."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheels import interpreters, run_on_emulated_driver


@pytest.mark.parametrize("interpreter", interpreters())
def test_the_cuda_device_survives_with_these_wheels(interpreter: str) -> None:
    run_on_emulated_driver(interpreter, Path(__file__).parent / "live")
