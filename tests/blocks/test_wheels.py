"""The block library on the cuda device: real CUDA packages, emulated driver, real results."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheels import interpreters, run_on_emulated_driver


@pytest.mark.parametrize("interpreter", interpreters()[-1:])  # the engine's own tests run with each of them
def test_blocks_work_with_these_wheels(interpreter: str) -> None:
    run_on_emulated_driver(interpreter, Path(__file__).parent)
